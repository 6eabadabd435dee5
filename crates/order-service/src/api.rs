//! The wire types of the order routes, and the rules a new order must keep.
//!
//! Beyond the contract's rules nothing is refused: no e-mail syntax, no list of countries.

use crate::order::Order;
use ofs_events::{CorrelationId, OrderId, OrderStatus, Timestamp};
use ofs_runtime::problem::Invalid;
use ofs_runtime::text::is_hidden;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;
use uuid::Uuid;

/// The longest `customerEmail`, in characters.
pub const MAX_EMAIL: usize = 320;
/// The longest `productType`, in characters.
pub const MAX_PRODUCT: usize = 64;
/// The longest `paymentScenario`, in characters.
pub const MAX_SCENARIO: usize = 256;

/// The body of `POST /orders`. Missing members are reported together with invalid ones.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(example = json!({"customerEmail": "user@example.com", "productType": "Phone",
    "country": "US", "paymentScenario": "success"}))]
pub struct NewOrder {
    /// Where the customer is reached; trimmed, 1 to 320 characters.
    #[schema(value_type = String, required = true, pattern = "^[\\t-\\r ]*\
        [^\\s\\u0000-\\u001F\\u007F-\\u009F\\u061C\\u200E\\u200F\\u2028-\\u202E\\u2066-\\u2069]\
        ([^\\u0000-\\u001F\\u007F-\\u009F\\u061C\\u200E\\u200F\\u2028-\\u202E\\u2066-\\u2069]{0,318}\
        [^\\s\\u0000-\\u001F\\u007F-\\u009F\\u061C\\u200E\\u200F\\u2028-\\u202E\\u2066-\\u2069])?\
        [\\t-\\r ]*$")]
    pub customer_email: Option<String>,
    /// What is ordered; trimmed, 1 to 64 characters.
    #[schema(value_type = String, required = true,
        pattern = "^[\\t-\\r ]*[^\\s\\u0000]([^\\u0000]{0,62}[^\\s\\u0000])?[\\t-\\r ]*$")]
    pub product_type: Option<String>,
    /// Two ASCII letters in any case.
    #[schema(value_type = String, required = true, pattern = "^[\\t-\\r ]*[A-Za-z]{2}[\\t-\\r ]*$")]
    pub country: Option<String>,
    /// Steers the simulated payment: `success`, a `sim:` scenario, any other text declines; trimmed, at
    /// most 256 characters.
    #[serde(default)]
    #[schema(
        pattern = "^[\\t-\\r ]*([^\\s\\u0000]([^\\u0000]{0,254}[^\\s\\u0000])?)?[\\t-\\r ]*$"
    )]
    pub payment_scenario: Option<String>,
}

/// A new order that keeps the rules; equal requests have equal ones.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// Trimmed, not blank.
    pub customer_email: String,
    /// Trimmed, not blank.
    pub product_type: String,
    /// Two upper-case ASCII letters.
    pub country: String,
    /// Trimmed; may be empty.
    pub payment_scenario: Option<String>,
}

impl fmt::Debug for NewOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewOrder").finish_non_exhaustive()
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").finish_non_exhaustive()
    }
}

/// Namespace of request fingerprints; a constant, because they are stored.
const FINGERPRINT: Uuid = Uuid::from_u128(0x6f66_732d_6f72_4465_8000_706c_6163_6501);

impl Accepted {
    /// Stands for the request's meaning: the same for bodies that differ in spelling only.
    #[must_use]
    pub fn fingerprint(&self) -> Uuid {
        Uuid::new_v5(&FINGERPRINT, &serde_json::to_vec(self).unwrap_or_default())
    }
}

impl NewOrder {
    /// Trims, and applies the rules.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first.
    pub fn accept(self) -> Result<Accepted, Vec<Invalid>> {
        let mut errors = Vec::new();
        let accepted = Accepted {
            customer_email: text("/customerEmail", self.customer_email, MAX_EMAIL, &mut errors),
            product_type: text("/productType", self.product_type, MAX_PRODUCT, &mut errors),
            country: country(self.country, &mut errors),
            payment_scenario: self.payment_scenario.map(|text| text.trim().to_owned()),
        };
        if accepted.customer_email.chars().any(|c| c != '\0' && is_hidden(c)) {
            errors.push(Invalid::new("/customerEmail", HIDDEN));
        }
        if let Some(scenario) = &accepted.payment_scenario {
            check("/paymentScenario", scenario, MAX_SCENARIO, &mut errors);
        }
        if errors.is_empty() { Ok(accepted) } else { Err(errors) }
    }
}

const NUL: &str = "must not hold the character U+0000";

/// Such characters start a new header in whoever mails, or show another address than there is.
const HIDDEN: &str =
    "must not hold control characters, line breaks or characters that change the direction of text";

fn text(at: &str, value: Option<String>, max: usize, errors: &mut Vec<Invalid>) -> String {
    let Some(value) = value else {
        errors.push(Invalid::new(at, "is missing"));
        return String::new();
    };
    let value = value.trim();
    if value.is_empty() {
        errors.push(Invalid::new(at, "must not be blank"));
    }
    check(at, value, max, errors);
    value.to_owned()
}

fn check(at: &str, value: &str, max: usize, errors: &mut Vec<Invalid>) {
    if value.chars().count() > max {
        errors.push(Invalid::new(at, format!("must have at most {max} characters")));
    }
    if value.contains('\0') {
        errors.push(Invalid::new(at, NUL));
    }
}

fn country(value: Option<String>, errors: &mut Vec<Invalid>) -> String {
    let Some(value) = value else {
        errors.push(Invalid::new("/country", "is missing"));
        return String::new();
    };
    let value = value.trim().to_ascii_uppercase();
    if value.len() != 2 || !value.bytes().all(|letter| letter.is_ascii_uppercase()) {
        errors.push(Invalid::new("/country", "must be two ASCII letters, such as US"));
    }
    value
}

/// The answer to `POST /orders`; kept as the answer to its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placed {
    /// The order's id.
    pub id: OrderId,
    /// On every event that follows from the order.
    pub correlation_id: CorrelationId,
}

/// An order as it stands.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderView {
    /// The order's id.
    pub id: OrderId,
    /// Where the customer is reached.
    #[schema(example = "user@example.com")]
    pub customer_email: String,
    /// What was ordered.
    #[schema(example = "Phone")]
    pub product_type: String,
    /// Two upper-case letters.
    #[schema(example = "US")]
    pub country: String,
    /// As sent, trimmed.
    #[schema(example = "success")]
    pub payment_scenario: Option<String>,
    /// Follows the events.
    pub status: OrderStatus,
    /// Why the payment failed, if it did.
    pub failure_reason: Option<String>,
    /// When the order is expected to arrive, once it is scheduled.
    pub eta_utc: Option<Timestamp>,
    /// When the order was taken.
    pub created_at: Timestamp,
    /// When the last thing happened to it.
    pub updated_at: Timestamp,
    /// On every event about this order.
    pub correlation_id: CorrelationId,
}

impl From<Order> for OrderView {
    fn from(order: Order) -> Self {
        OrderView {
            id: order.id,
            status: order.status(),
            customer_email: order.customer_email,
            product_type: order.product_type,
            country: order.country,
            payment_scenario: order.payment_scenario,
            failure_reason: order.failure_reason,
            eta_utc: order.eta_utc,
            created_at: order.created_at,
            updated_at: order.updated_at,
            correlation_id: order.correlation_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(email: &str, product: &str, country: &str, scenario: Option<&str>) -> NewOrder {
        NewOrder {
            customer_email: Some(email.to_owned()),
            product_type: Some(product.to_owned()),
            country: Some(country.to_owned()),
            payment_scenario: scenario.map(str::to_owned),
        }
    }

    #[test]
    fn texts_are_trimmed_and_the_country_is_upper_cased() {
        let accepted = order(" a@b ", "\tPhone ", " us ", Some(" ")).accept().expect("valid");
        assert_eq!(accepted.customer_email, "a@b");
        assert_eq!(accepted.product_type, "Phone");
        assert_eq!(accepted.country, "US");
        assert_eq!(accepted.payment_scenario.as_deref(), Some(""));
    }

    #[test]
    fn limits_count_characters_not_bytes() {
        assert!(order(&"ü".repeat(320), &"語".repeat(64), "de", None).accept().is_ok());
        assert!(order("a", "p", "de", Some(&"語".repeat(256))).accept().is_ok());
        for new in [
            order(&"a".repeat(321), "p", "de", None),
            order("a", &"p".repeat(65), "de", None),
            order("a", "p", "de", Some(&"s".repeat(257))),
        ] {
            assert_eq!(new.accept().expect_err("too long").len(), 1);
        }
    }

    #[test]
    fn an_address_that_hides_something_is_refused() {
        for hidden in ["\r\n", "\n", "\u{1b}[2J", "\u{202e}", "\u{2066}", "\u{2028}", "\u{85}"] {
            let new = order(&format!("a{hidden}Bcc: b@example.com"), "Phone", "US", None);
            let errors = new.accept().expect_err("refused");
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert_eq!(errors[0].pointer, "/customerEmail");
        }
        assert!(order("jürgen@例え.jp", "Phone", "US", None).accept().is_ok());
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let pointers = |new: NewOrder| {
            let errors = new.accept().expect_err("refused");
            errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>()
        };
        assert_eq!(
            pointers(order("  ", "", "USA", Some("a\0b"))),
            ["/customerEmail", "/productType", "/country", "/paymentScenario"]
        );
        assert_eq!(pointers(NewOrder::default()), ["/customerEmail", "/productType", "/country"]);
        for country in ["", "U", "U1", "ß", "ÄÖ", "U S", "ſt"] {
            assert_eq!(pointers(order("a", "p", country, None)), ["/country"], "{country}");
        }
    }

    #[test]
    fn spelling_does_not_change_the_fingerprint_but_meaning_does() {
        let of = |new: NewOrder| new.accept().expect("valid").fingerprint();
        let one = of(order("a@b", "Phone", "US", None));
        assert_eq!(one, of(order(" a@b", "Phone ", "us", None)));
        assert_ne!(one, of(order("a@b", "Phone", "US", Some(""))));
        assert_ne!(one, of(order("a@b", "Phone", "GB", None)));
    }

    #[test]
    fn debug_output_holds_no_personal_data() {
        let new = order("user@example.com", "Phone", "US", None);
        assert!(!format!("{new:?}").contains("user"));
        assert!(!format!("{:?}", new.accept()).contains("user"));
    }
}

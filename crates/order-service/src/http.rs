//! The routes of the order service: take an order, show an order.
//!
//! An order and the answer to its idempotency key become durable together, before the 201.

use crate::api::{Accepted, NewOrder, OrderView, Placed};
use crate::batch;
use crate::order::{self, Order};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ofs_events::OrderId;
use ofs_runtime::access::Caller;
use ofs_runtime::desk::{Answer, Desk, Request, Subject};
use ofs_runtime::extract::{Body, Id};
use ofs_runtime::problem::{Kind, Problem};
use ofs_runtime::store::Record;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Request header that makes a repeated `POST /orders` answer like the first.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Response header: the answer is an earlier request's.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// `unknown-order`: The order does not exist.
pub const UNKNOWN_ORDER: Kind =
    Kind { uri: "urn:ofs:problem:unknown-order", status: 404, title: "There is no such order" };

/// No such order.
#[must_use]
pub fn unknown_order(id: OrderId) -> Problem {
    Problem::new(UNKNOWN_ORDER, format!("order {id} is not known here; check the id"))
}

/// Within which time the payment of a new order should be decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PaymentDeadline(Duration);

/// The service's routes; the payment of a new order should be decided within `payment_deadline`.
#[must_use]
pub fn routes(payment_deadline: Duration) -> OpenApiRouter<Desk> {
    let routes = OpenApiRouter::new().routes(routes!(place_order)).routes(routes!(get_order));
    routes.merge(batch::routes()).layer(Extension(PaymentDeadline(payment_deadline)))
}

/// Take an order.
///
/// The order is durable when this answers 201. Send an `Idempotency-Key` and the request can be
/// repeated safely for 72 hours: the same body gets the first answer, another body gets 422.
#[utoipa::path(
    post, path = "/orders", tag = "orders", operation_id = "placeOrder",
    security(("key" = ["orders:write"])), request_body = NewOrder,
    params(("Idempotency-Key" = Option<String>, Header,
        pattern = "^(\"[!-~]{1,255}\"|[!#-~][!-~]{0,254})$",
        description = "1 to 255 visible ASCII characters, quoted or bare")),
    responses(
        (status = 201, body = Placed, description = "taken",
            headers(("Location" = String), ("Idempotency-Replayed" = Option<bool>)),
            links(
                ("order" = (operation_id = "getOrder", parameters(("id" = "$response.body#/id")))),
                ("timeline" = (operation_id = "getTimeline",
                    parameters(("id" = "$response.body#/id")))),
                ("records" = (operation_id = "readEvents",
                    parameters(("order" = "$response.body#/id")))),
                ("found" = (operation_id = "searchOrders",
                    parameters(("q" = "$response.body#/id")))),
                ("parked" = (operation_id = "listParked",
                    parameters(("order" = "$response.body#/id")))),
            )),
        (status = 400, description = "invalid; nothing was stored"),
        (status = 409, description = "the first request with this key is still running"),
        (status = 413, description = "over 64 KiB"),
        (status = 415, description = "not application/json"),
        (status = 422, description = "the key was used with another body"),
        (status = 503, description = "the store cannot take it now"),
    )
)]
async fn place_order(
    State(desk): State<Desk>,
    Extension(deadline): Extension<PaymentDeadline>,
    caller: Caller,
    headers: HeaderMap,
    Body(new): Body<NewOrder>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let new = new.accept().map_err(Problem::invalid_request)?;
    Ok(match place(&desk, deadline, &caller, key, new).await? {
        Answer::New(placed) => created(&placed),
        Answer::Repeated(placed) => {
            let mut response = created(&placed);
            response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
            response
        }
    })
}

/// Makes the order `new` durable; under the idempotency key `key` once only.
pub(crate) async fn place(
    desk: &Desk,
    PaymentDeadline(deadline): PaymentDeadline,
    caller: &Caller,
    key: Option<String>,
    new: Accepted,
) -> Result<Answer<Placed>, Problem> {
    let request = key.map(|key| Request { key: caller.own(key), fingerprint: new.fingerprint() });
    let (context, id) = (*desk.context(), OrderId(desk.context().new_id()));
    let place = move |_: Option<&Record>| Ok(order::place(&context, id, new.clone(), deadline));
    desk.decide(Subject::New(id.into()), request, place).await
}

fn created(placed: &Placed) -> Response {
    let location = [(header::LOCATION, format!("/orders/{}", placed.id))];
    (StatusCode::CREATED, location, Json(placed)).into_response()
}

/// The request's key.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let refuse = |detail| Err(Problem::invalid_header("Idempotency-Key", detail));
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return refuse("send it once");
    }
    let Ok(text) = value.to_str() else { return refuse(VISIBLE) };
    match name_of(text) {
        Ok(key) => Ok(Some(key)),
        Err(rule) => refuse(rule),
    }
}

const VISIBLE: &str = "use visible ASCII characters only, no spaces";

/// The idempotency key that `text` gives, without the quotes that a structured header has; else the rule
/// that it breaks.
pub(crate) fn name_of(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if text.is_empty() || text.len() > 255 {
        return Err("must have 1 to 255 characters");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(VISIBLE);
    }
    Ok(text.to_owned())
}

/// Show an order.
///
/// Exact: read from the store. The search index may be a moment behind.
#[utoipa::path(
    get, path = "/orders/{id}", tag = "orders", operation_id = "getOrder",
    security(("key" = ["orders:read"])),
    params(("id" = OrderId, Path, description = "the order")),
    responses(
        (status = 200, body = OrderView, description = "the order as it stands"),
        (status = 400, description = "not a UUID"),
        (status = 404, description = "no such order"),
        (status = 503, description = "the store cannot be reached"),
    )
)]
async fn get_order(
    State(desk): State<Desk>,
    Id(id): Id<OrderId>,
) -> Result<Json<OrderView>, Problem> {
    let record = desk.record(id.into()).await?.ok_or_else(|| unknown_order(id))?;
    let order: Order = record.read().map_err(|_| Problem::internal())?;
    Ok(Json(order.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[&'static [u8]]) -> Result<Option<String>, u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).expect("a header value");
            headers.append(IDEMPOTENCY_KEY, value);
        }
        idempotency_key(&headers).map_err(|problem| problem.status)
    }

    #[test]
    fn an_idempotency_key_is_visible_ascii_quoted_or_bare() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[b"abc-1"]), Ok(Some("abc-1".to_owned())));
        assert_eq!(key(&[b"\"abc-1\""]), Ok(Some("abc-1".to_owned())));
        assert_eq!(key(&[&[b'k'; 255]]), Ok(Some("k".repeat(255))));
        for bad in [&b""[..], b"\"\"", b"a b", b"\xc3\xa4", &[b'k'; 256]] {
            assert_eq!(key(&[bad]), Err(400));
        }
        assert_eq!(key(&[b"a", b"b"]), Err(400));
    }

    #[test]
    fn the_documentation_shows_what_a_new_order_needs() {
        let api = serde_json::to_value(routes(Duration::ZERO).into_openapi()).expect("json");
        let schemas = &api["components"]["schemas"];
        let new = &schemas["NewOrder"];
        assert_eq!(
            new["required"],
            serde_json::json!(["customerEmail", "productType", "country"]),
            "{new:#}"
        );
        assert_eq!(new["properties"]["customerEmail"]["type"], "string");
        assert!(schemas["Problem"]["properties"]["requestId"].is_object());
        assert!(api["paths"]["/orders"]["post"]["responses"]["422"].is_object());
    }
}

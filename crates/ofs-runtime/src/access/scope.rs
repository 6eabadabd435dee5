//! Scopes: what a key may do. Each stands for itself; none includes another.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

macro_rules! scopes {
    ($($scope:ident = $name:literal, $doc:literal;)+) => {
        /// What a caller may do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Scope {
            $(#[doc = $doc] #[serde(rename = $name)] $scope),+
        }

        impl Scope {
            /// Every scope there is.
            pub const ALL: &'static [Scope] = &[$(Scope::$scope),+];

            /// Its name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Scope::$scope => $name),+
                }
            }

            /// What it allows, for people.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Scope::$scope => $doc),+
                }
            }
        }
    };
}

scopes! {
    OrdersRead = "orders:read", "Show and search orders.";
    OrdersWrite = "orders:write", "Place orders.";
    EventsRead = "events:read", "Read the log.";
    Operate = "operate", "Parked events, the index, the pipeline, metrics.";
    Admin = "admin", "Keys and the audit trail.";
    Pii = "pii", "See e-mail addresses, which are masked without it, and search for them.";
}

impl PartialSchema for Scope {
    fn schema() -> RefOr<Schema> {
        let names = Scope::ALL.iter().map(|scope| scope.name());
        let what = "What a caller may do; none includes another.";
        let schema = ObjectBuilder::new().schema_type(Type::String).description(Some(what));
        schema.enum_values(Some(names)).build().into()
    }
}

impl ToSchema for Scope {}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Scope::ALL.iter().find(|scope| scope.name() == text).copied();
        let known = Scope::ALL.iter().map(|scope| scope.name()).collect::<Vec<_>>();
        found.ok_or_else(|| format!("must be one of {}", known.join(", ")))
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope there is.
    #[must_use]
    pub fn all() -> Self {
        Scope::ALL.iter().copied().collect()
    }

    /// Whether `scope` is among them.
    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.contains(*scope))
    }

    /// From the text that [`fmt::Display`] writes. Names that this build does not know are left out.
    #[must_use]
    pub fn read(text: &str) -> Self {
        text.split_whitespace().filter_map(|name| name.parse().ok()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | 1 << scope as u8))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Scope::name).collect();
        f.write_str(&names.join(" "))
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_it_was_made_from_and_nothing_else() {
        for scope in Scope::ALL {
            let one: Scopes = [*scope].into_iter().collect();
            assert_eq!(one.iter().collect::<Vec<_>>(), [*scope]);
            assert_eq!(scope.name().parse(), Ok(*scope));
        }
        assert_eq!(Scopes::read("pii unheard-of orders:read").to_string(), "orders:read pii");
        assert_eq!(Scopes::read(&Scopes::all().to_string()), Scopes::all());
        assert!(Scopes::read("").is_empty());
    }
}

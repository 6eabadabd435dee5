//! Links that keep the state of a page: its query with one thing changed.

use form_urlencoded::Serializer;

/// A query as pairs of name and value, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(pub Vec<(String, String)>);

impl Pairs {
    /// The pairs of a query string that say something.
    #[must_use]
    pub fn of(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        Self(pairs.filter(|(_, value)| !value.trim().is_empty()).collect())
    }

    /// The first value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Without any `names`.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let keeps = |pair: &&(String, String)| !names.contains(&pair.0.as_str());
        Self(self.0.iter().filter(keeps).cloned().collect())
    }

    /// With `name` once, as `value`.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs = self.without(&[name]);
        pairs.0.push((name.to_owned(), value.to_owned()));
        pairs
    }

    /// As a query string, with its question mark if there is anything.
    #[must_use]
    pub fn query(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let mut query = Serializer::for_suffix(String::from("?"), 1);
        query.extend_pairs(&self.0);
        query.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_changes_one_thing_and_keeps_the_rest() {
        let pairs = Pairs::of("q=a+b&country=&status=Created&cursor=x");
        assert_eq!(
            pairs.with("status", "PaymentFailed").without(&["cursor"]).query(),
            "?q=a+b&status=PaymentFailed"
        );
        assert_eq!(pairs.without(&["q", "status", "cursor"]).query(), "");
    }
}

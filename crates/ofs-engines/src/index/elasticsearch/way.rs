//! The URL of the index, taken apart: where requests go, who sends them, and the prefix of all names.

use super::OpenError;
use reqwest::Url;
use reqwest::header::HeaderValue;

/// Where requests go and who sends them.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Way {
    /// Holds user and password, so it is never printed; reqwest makes a header of them.
    pub(super) base: Url,
    /// What the header says instead of them.
    pub(super) key: Option<HeaderValue>,
}

impl Way {
    /// What `url` says, with the prefix.
    pub(super) fn of(url: &str) -> Result<(Way, String), OpenError> {
        let mut base = Url::parse(url).map_err(|error| OpenError::Url(error.to_string()))?;
        if !["http", "https"].contains(&base.scheme()) {
            return Err(OpenError::Scheme(base.scheme().to_owned()));
        }
        let (mut prefix, mut key) = (String::new(), None);
        for (name, value) in base.query_pairs() {
            match name.as_ref() {
                "prefix" => prefix = value.into_owned(),
                "api-key" => key = Some(header(&value)?),
                _ => return Err(OpenError::Parameter(name.into_owned())),
            }
        }
        if key.is_some() && (!base.username().is_empty() || base.password().is_some()) {
            return Err(OpenError::ApiKey("there is a user as well"));
        }
        base.set_query(None);
        base.set_fragment(None);
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Ok((Way { base, key }, prefix))
    }

    /// Whether both are the same but for the login.
    pub(super) fn leads_where(&self, other: &Way) -> bool {
        self.base.origin() == other.base.origin() && self.base.path() == other.base.path()
    }
}

fn header(key: &str) -> Result<HeaderValue, OpenError> {
    let mut value = HeaderValue::from_str(&format!("ApiKey {key}"))
        .map_err(|_| OpenError::ApiKey("it has characters that no key has"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_login_leads_to_the_same_place_and_another_place_does_not() {
        let way = |url: &str| Way::of(url).expect("a URL").0;
        let first = way("https://h:1/path?api-key=first");
        let second = way("https://h:1/path?api-key=second");
        assert!(first != second && second.leads_where(&first));
        for elsewhere in ["https://g:1/path", "https://h:2/path", "http://h:1/path", "https://h:1/"]
        {
            assert!(!way(elsewhere).leads_where(&first), "{elsewhere}");
        }
    }
}

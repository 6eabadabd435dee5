//! Who we are at the cluster: the login of the URL, read again whenever a client is made or refused.

use super::address::{Address, Login};
use crate::ServerUrl;
use ofs_runtime::context::Context;
use rdkafka::client::OAuthToken;

/// How long a token is said to be good. The library asks for it again before that, so this is how soon a
/// new one is noticed; when it really ends is between whoever issues it and the brokers.
const TOKEN_SECONDS: i64 = 60;

/// The login, as it is configured now.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    url: ServerUrl,
    at_start: Option<Login>,
}

impl Identity {
    pub fn new(url: ServerUrl, at_start: Option<Login>) -> Self {
        Self { url, at_start }
    }

    /// What is configured now; what was at the start if that cannot be read, or is of another kind.
    pub fn now(&self) -> Option<Login> {
        let at_start = self.at_start.as_ref()?;
        let now = Address::parse(&self.url.now()).ok().and_then(|address| address.login);
        let alike = now.filter(|now| now.mechanism == at_start.mechanism);
        Some(alike.unwrap_or_else(|| at_start.clone()))
    }

    /// The token that is configured now.
    pub fn token(&self) -> Option<OAuthToken> {
        let login = self.now()?;
        let until = Context::new("kafka").now().plus_seconds(TOKEN_SECONDS);
        Some(OAuthToken {
            token: login.password,
            principal_name: login.user,
            lifetime_ms: until.as_micros() / 1000,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_again_unless_it_cannot_be_or_is_of_another_kind() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("log");
        let first = "kafka+tls://me:first@h:1?sasl=oauthbearer";
        let at_start = Address::parse(first).expect("a URL").login;
        let url = ServerUrl::new(first.to_owned(), Some(file.clone()));
        let identity = Identity::new(url, at_start);
        let token = || identity.token().expect("a token").token;
        assert_eq!(token(), "first", "there is no file yet");
        for (text, expected) in [
            ("kafka+tls://me:second@h:1?sasl=oauthbearer\n", "second"),
            ("kafka+tls://me:thi", "first"),
            ("kafka+tls://me:password@h:1", "first"),
        ] {
            std::fs::write(&file, text).expect("written");
            assert_eq!(token(), expected, "{text}");
        }
    }
}

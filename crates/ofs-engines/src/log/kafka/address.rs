//! Where a cluster is and how to speak to it: the `kafka://` URL. Connects to nothing.

use std::fmt;

/// How a user proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
    OauthBearer,
}

impl Mechanism {
    const ALL: [Mechanism; 4] =
        [Self::Plain, Self::ScramSha256, Self::ScramSha512, Self::OauthBearer];

    /// As Kafka calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// A user and what it shows.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub mechanism: Mechanism,
    pub user: String,
    /// Its password, or its token where the mechanism is OAUTHBEARER.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {}", self.mechanism.name(), self.user)
    }
}

/// What a URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// `host:port`, separated by commas.
    pub brokers: String,
    pub tls: bool,
    /// A file of certificates to trust instead of the system's.
    pub ca: Option<String>,
    pub login: Option<Login>,
    /// Put before the name of each topic and group.
    pub prefix: String,
}

impl Address {
    /// Reads `kafka[+tls]://[user:password@]host:port[,host:port…][?prefix=…&sasl=…&ca=…]`.
    /// An error says what is wrong and never shows a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (tls, rest) = match url.split_once("://") {
            Some(("kafka", rest)) => (false, rest),
            Some(("kafka+tls", rest)) => (true, rest),
            _ => return Err("it must begin with kafka:// or kafka+tls://".to_owned()),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let place = place.strip_suffix('/').unwrap_or(place);
        let (login, brokers) = match place.rsplit_once('@') {
            Some((login, brokers)) => (Some(login), brokers),
            None => (None, place),
        };
        let host = |host: &str| {
            !host.is_empty()
                && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:[]".contains(c))
        };
        if !brokers.split(',').all(host) {
            return Err(
                "brokers must be written host:port, separated by commas; in user and password, \
                 percent-encode what is special in a URL"
                    .to_owned(),
            );
        }
        let asked = Asked::read(query)?;
        let login = login.map(|login| read_login(login, asked.sasl)).transpose()?;
        if login.is_none() && asked.sasl.is_some() {
            return Err("sasl= needs a user: kafka+tls://user:password@host:port".to_owned());
        }
        if asked.ca.is_some() && !tls {
            return Err("ca= needs kafka+tls://".to_owned());
        }
        let (brokers, ca, prefix) = (brokers.to_owned(), asked.ca, asked.prefix);
        Ok(Self { brokers, tls, ca, login, prefix })
    }

    /// Whether the login is a token.
    pub fn has_token(&self) -> bool {
        self.login.as_ref().is_some_and(|login| login.mechanism == Mechanism::OauthBearer)
    }

    /// What of this needs a build with the feature `kafka-tls`.
    pub fn needs_tls(&self) -> Option<&'static str> {
        let mechanism = self.login.as_ref().map(|login| login.mechanism);
        match mechanism {
            _ if self.tls => Some("TLS"),
            None | Some(Mechanism::Plain) => None,
            Some(mechanism) => Some(mechanism.name()),
        }
    }
}

#[derive(Default)]
struct Asked {
    prefix: String,
    sasl: Option<Mechanism>,
    ca: Option<String>,
}

impl Asked {
    fn read(query: &str) -> Result<Self, String> {
        let mut asked = Asked::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)?;
            match name {
                "prefix" => asked.prefix = prefix(value)?,
                "sasl" => asked.sasl = Some(mechanism(&value)?),
                "ca" => asked.ca = Some(value),
                _ => return Err(format!("`{name}` is unknown; known are prefix, sasl and ca")),
            }
        }
        Ok(asked)
    }
}

/// Topic names have at most 249 characters, of these.
fn prefix(text: String) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.len() <= 200 && text.chars().all(fits) {
        return Ok(text);
    }
    Err("prefix must be at most 200 letters, digits, dots, dashes and underscores".to_owned())
}

fn mechanism(text: &str) -> Result<Mechanism, String> {
    let known = Mechanism::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(text));
    known
        .ok_or_else(|| "sasl must be plain, scram-sha-256, scram-sha-512 or oauthbearer".to_owned())
}

fn read_login(text: &str, mechanism: Option<Mechanism>) -> Result<Login, String> {
    let Some((user, password)) = text.split_once(':') else {
        return Err("before @ there must be user:password".to_owned());
    };
    let mechanism = mechanism.unwrap_or(Mechanism::ScramSha512);
    Ok(Login { mechanism, user: decoded(user)?, password: decoded(password)? })
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "a % must be followed by two hex digits that make UTF-8".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_how() {
        let plain = Address::parse("kafka://one:9092,[::1]:9093?prefix=test-").expect("fine");
        assert_eq!((&*plain.brokers, &*plain.prefix), ("one:9092,[::1]:9093", "test-"));
        assert!(!plain.tls && plain.login.is_none() && plain.needs_tls().is_none());

        let full = "kafka+tls://me%40home:p%3A%2F@one:9092/?sasl=scram-sha-256&ca=/etc/ca.pem";
        let full = Address::parse(full).expect("fine");
        let login = full.login.clone().expect("a login");
        assert_eq!((&*login.user, &*login.password), ("me@home", "p:/"));
        assert_eq!((login.mechanism, full.tls), (Mechanism::ScramSha256, true));
        assert_eq!((full.ca.as_deref(), full.needs_tls()), (Some("/etc/ca.pem"), Some("TLS")));
    }

    #[test]
    fn without_tls_only_the_plain_login_needs_no_openssl() {
        let needs = |url: &str| Address::parse(url).expect("fine").needs_tls();
        assert_eq!(needs("kafka://u:p@h:1"), Some("SCRAM-SHA-512"));
        assert_eq!(needs("kafka://u:p@h:1?sasl=oauthbearer"), Some("OAUTHBEARER"));
        assert_eq!(needs("kafka://u:p@h:1?sasl=plain"), None);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for wrong in [
            "http://u:secret@h:1",
            "kafka://u:secret@",
            "kafka://u:secret@h:1,,g:2",
            "kafka://u:sec/ret@h:1/x",
            "kafka://u:secret@h:1?colour=red",
            "kafka://u:secret@h:1?sasl=md5",
            "kafka://u:secret@h:1?prefix=a/b",
            "kafka://u:%zzsecret@h:1",
            "kafka://secret@h:1",
            "kafka://h:1?sasl=plain",
            "kafka://h:1?ca=x",
        ] {
            let error = Address::parse(wrong).expect_err(wrong);
            assert!(!error.contains("secret"), "{error}");
        }
        let login = Address::parse("kafka://u:secret@h:1").expect("fine");
        assert!(!format!("{login:?}").contains("secret"));
    }
}

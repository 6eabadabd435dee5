//! Every configuration key, once: its name, default, meaning, and what its value looks like.
//!
//! Variables, `ofs config show`, checks and documentation are all made from this list.

/// What a key's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `IP:port`; port 0 takes any free one.
    Address,
    /// Host names, with commas between them.
    Names,
    /// Origins, such as `https://shop.example.com`, with commas between them.
    Origins,
    /// A file or directory.
    Path,
    /// A URL with a scheme; the scheme picks the engine.
    Url,
    /// An `http://` or `https://` URL.
    Http,
    /// The name of an issuer of tokens: an `https://` URL, taken as it is written.
    Issuer,
    /// Any text in one line.
    Text,
    /// A time with a unit, such as `200ms` or `30d`.
    Duration,
    /// A whole number above 0.
    Count,
    /// A log filter, such as `info` or `info,ofs_engines=debug`.
    Filter,
    /// A secret word, such as an API key.
    Secret,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `point` or `point:nth`, where to die.
    CrashAt,
}

/// One configuration key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name, kebab-case, with dots between tables.
    pub name: &'static str,
    /// Its value if it is not set; none means "not set".
    pub default: Option<&'static str>,
    /// What it does, in one line.
    pub doc: &'static str,
    /// May hold a password: masked when shown, and can be read from a file (`…_FILE`).
    pub secret: bool,
    /// What its value looks like.
    pub kind: Kind,
}

impl Key {
    /// The variable that sets it: `payment.gateway-timeout` → `OFS_PAYMENT_GATEWAY_TIMEOUT`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("OFS_{}", self.name.replace(['.', '-'], "_").to_uppercase())
    }
}

const fn key(name: &'static str, default: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, default: Some(default), doc, secret: false, kind }
}

const fn url(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key { name, default: Some(default), doc, secret: true, kind: Kind::Url }
}

const fn unset(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, default: None, doc, secret: false, kind }
}

/// Every key there is, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    key(
        "listen",
        "127.0.0.1:8080",
        Kind::Address,
        "Address of the HTTP server; unset, a process without order-service takes 8081 to 8083",
    ),
    unset(
        "http.hosts",
        Kind::Names,
        "Names, with commas between, under which the server is asked besides localhost; unset beyond loopback: any",
    ),
    unset(
        "http.cors-origins",
        Kind::Origins,
        "Origins, with commas between, whose pages may ask this server with a key; unset: none",
    ),
    unset(
        "http.rate",
        Kind::Count,
        "Requests a second that each key, and each address without one, may send; unset: no limit",
    ),
    unset(
        "auth.mode",
        Kind::OneOf(&["none", "required"]),
        "Whether requests need a key (required) or not (none); unset: none on the loopback, and beyond it a refusal to start",
    ),
    unset(
        "auth.issuer",
        Kind::Issuer,
        "OpenID Connect issuer whose tokens (JWT) are taken beside keys, exactly as their iss has it; unset: none",
    ),
    unset(
        "auth.audience",
        Kind::Text,
        "What the issuer's tokens must have in aud; needed with auth.issuer",
    ),
    unset(
        "tls.certificate",
        Kind::Path,
        "Certificate of the HTTP server with its chain, PEM; read again when it changes",
    ),
    unset("tls.key", Kind::Path, "The certificate's private key, PEM; read again when it changes"),
    unset(
        "tls.mode",
        Kind::OneOf(&["none", "required"]),
        "none: unencrypted on purpose, behind a proxy that encrypts; required: only with a certificate; unset: as there is one",
    ),
    unset(
        "metrics.listen",
        Kind::Address,
        "Address of a listener of its own for GET /metrics, which needs no key there",
    ),
    key("data-dir", "./ofs-data", Kind::Path, "Directory of the embedded engines' files"),
    url("log.url", "sqlite:", "Log: sqlite: (in data-dir) or kafka://host:port"),
    url("store.url", "sqlite:", "Store: sqlite: (in data-dir) or postgres://user:password@host/db"),
    url(
        "index.url",
        "tantivy:",
        "Index: tantivy: (in data-dir) or http://host:9200 (Elasticsearch)",
    ),
    key(
        "log.retention",
        "30d",
        Kind::Duration,
        "How long the SQLite log keeps records that every service has read",
    ),
    key("log.partitions", "6", Kind::Count, "Partitions of each topic that `ofs migrate` makes"),
    unset(
        "log.replication",
        Kind::Count,
        "Copies of each partition; unset, 3 where there are three brokers, else 1",
    ),
    unset("log.max-pages", Kind::Count, "Largest size of the SQLite log, in pages of 4 KiB"),
    key(
        "store.inbox-retention",
        "30d",
        Kind::Duration,
        "How long handled event ids are remembered",
    ),
    unset("store.max-pages", Kind::Count, "Largest size of the SQLite store, in pages of 4 KiB"),
    key(
        "order.payment-deadline",
        "2m",
        Kind::Duration,
        "An order whose payment is not decided by then counts as stuck",
    ),
    key(
        "payment.gateway-timeout",
        "1s",
        Kind::Duration,
        "A gateway call that takes longer is tried again later, aside from the flow",
    ),
    unset(
        "payment.simulator-ledger",
        Kind::Path,
        "File to which the simulated gateway appends each charge; unset, none is kept",
    ),
    key("fulfillment.eta", "3d", Kind::Duration, "Promised arrival, counted from scheduling"),
    key(
        "search.commit-interval",
        "200ms",
        Kind::Duration,
        "How often tantivy makes documents durable",
    ),
    key(
        "startup.timeout",
        "60s",
        Kind::Duration,
        "How long servers that are needed are waited for at the start",
    ),
    key("shutdown.timeout", "25s", Kind::Duration, "How long work in hand may take after a signal"),
    key("logs.format", "text", Kind::OneOf(&["text", "json"]), "Shape of the lines on stderr"),
    key(
        "logs.level",
        "info",
        Kind::Filter,
        "What is worth a line: error, warn, info, debug, trace",
    ),
    key("server", "http://127.0.0.1:8080", Kind::Http, "Server that the client commands talk to"),
    Key {
        name: "api-key",
        default: None,
        doc: "Key that the client commands and `--demo` send",
        secret: true,
        kind: Kind::Secret,
    },
    #[cfg(debug_assertions)]
    unset("crash-at", Kind::CrashAt, "Kill point and pass at which a debug build dies"),
];

/// The key called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The one of `names` that `text` was probably meant to be.
#[must_use]
pub fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(text, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(text.len()) / 3 + 1)
        .min()
        .map(|(_, name)| name)
}

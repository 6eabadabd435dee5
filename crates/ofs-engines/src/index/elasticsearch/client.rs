//! HTTP to the server: one request, one answer, and what a failure means.
//!
//! Does not know what the requests are for, and repeats none.

use super::{OpenError, Way};
use crate::{ServerUrl, tls};
use arc_swap::ArcSwap;
use bytes::Bytes;
use ofs_runtime::index;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// Connections idle for longer may have been dropped by whatever lies in between.
const IDLE: Duration = Duration::from_secs(30);
/// How long anything may take that no person waits for.
const LONG: Duration = Duration::from_secs(30);
/// Letters of the server's own words that are passed on.
const TEXT: usize = 300;

/// What the server calls an index, or alias, that is not there.
const MISSING: &str = "index_not_found_exception";

/// The server.
pub(super) struct Client {
    http: reqwest::Client,
    url: ServerUrl,
    way: ArcSwap<Way>,
    /// Scheme, host and port, to be printed.
    origin: String,
}

/// Why a request has no usable response.
#[derive(Debug)]
pub(super) struct Failure {
    /// None if there was no answer at all; "408 request timeout" if there was none in time.
    pub(super) status: Option<StatusCode>,
    /// The server's name for it, such as `index_not_found_exception`.
    kind: String,
    text: String,
    /// The request was on its way when the connection broke.
    broken: bool,
    /// The server is not the one it should be, or speaks no TLS.
    untrusted: bool,
}

impl Client {
    /// Goes `way`, which is what `url` says.
    pub(super) fn new(way: Way, url: ServerUrl) -> Result<Self, OpenError> {
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            // Only the configuration says where the index is, not the environment.
            .no_proxy()
            // Compressing costs the server more than a near network does.
            .no_gzip();
        if way.base.scheme() == "http" {
            // Otherwise a system without certificates could not even use plain HTTP.
            http = http.tls_certs_only([]);
        }
        let http = http.build().map_err(|error| OpenError::Http(why(&error)))?;
        let origin = way.base.origin().ascii_serialization();
        Ok(Self { http, url, way: ArcSwap::from_pointee(way), origin })
    }

    /// Makes sure that the server answers and lets us in.
    pub(super) async fn check(&self) -> Result<(), OpenError> {
        let Err(failure) = self.knows_its_indices().await else { return Ok(()) };
        let (at, status, untrusted) = (self.origin.clone(), failure.status, failure.untrusted);
        let reason = failure.text().replace(&format!("{at}: "), "");
        Err(match status {
            _ if untrusted => OpenError::Tls { at, reason },
            Some(StatusCode::UNAUTHORIZED) => OpenError::Login { at, reason },
            _ => OpenError::Unreachable { at, reason },
        })
    }

    /// Whether another login is configured than the one of `way`, and is used from now on. What else has
    /// changed in the URL is left to the next start.
    fn changes_login(&self, way: &Way) -> bool {
        match Way::of(&self.url.now()) {
            Ok((new, _)) if new != *way && new.leads_where(way) => {
                self.way.store(new.into());
                true
            }
            _ => false,
        }
    }

    /// Sends a request with an optional JSON body.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
        self.exchange(method, path, body, LONG, usize::MAX).await
    }

    /// Searches in `path`, for `within` at most; an answer of more than `most` bytes is too large.
    pub(super) async fn search<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
        within: Duration,
        most: usize,
    ) -> Result<T, Failure> {
        let body = ("application/json", body.to_string().into_bytes());
        self.exchange(Method::POST, path, Some(body), within, most).await
    }

    /// Sends lines of JSON.
    pub(super) async fn bulk<T: DeserializeOwned>(
        &self,
        path: &str,
        lines: Vec<u8>,
    ) -> Result<T, Failure> {
        let lines = Some(("application/x-ndjson", lines));
        self.exchange(Method::POST, path, lines, LONG, usize::MAX).await
    }

    /// Fails while a server that has just started does not know its indices yet, so that what it does
    /// not find then does not count as missing. Not being allowed to ask counts as knowing them.
    pub(super) async fn knows_its_indices(&self) -> Result<(), Failure> {
        let path = "_cluster/state/blocks?filter_path=blocks.global";
        match self.send::<Value>(Method::GET, path, None).await {
            // Block 1 is "state not recovered".
            Ok(state) if !state["blocks"]["global"]["1"].is_null() => {
                Err(Failure::unreadable("the server has started and still reads its state".into()))
            }
            Err(failure) if failure.status.is_none_or(|status| status != StatusCode::FORBIDDEN) => {
                Err(failure)
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Vec<u8>)>,
        within: Duration,
        most: usize,
    ) -> Result<T, Failure> {
        let body = body.map(|(kind, body)| (kind, Bytes::from(body)));
        let unanswered = |error: reqwest::Error| Failure::unanswered(&self.origin, &error);
        let way = self.way.load_full();
        let mut answer = self.ask(&way, &method, path, body.clone(), within).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.changes_login(&way) {
            let way = self.way.load_full();
            answer = self.ask(&way, &method, path, body, within).await?;
        }
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unanswered)? {
            body.extend_from_slice(&chunk);
            if body.len() > most {
                return Err(Failure::too_large(most));
            }
        }
        if !status.is_success() {
            return Err(Failure::answered(status, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|error| Failure::unreadable(format!("cannot read the answer: {error}")))
    }

    async fn ask(
        &self,
        way: &Way,
        method: &Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
        within: Duration,
    ) -> Result<reqwest::Response, Failure> {
        let url = way.base.join(path).map_err(|error| Failure::unreadable(error.to_string()))?;
        let mut request = self.http.request(method.clone(), url).timeout(within);
        if let Some(key) = &way.key {
            request = request.header(AUTHORIZATION, key.clone());
        }
        if let Some((kind, body)) = body {
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        let unanswered = |error: reqwest::Error| Failure::unanswered(&self.origin, &error);
        request.send().await.map_err(unanswered)
    }
}

impl Failure {
    fn unanswered(origin: &str, error: &reqwest::Error) -> Self {
        let status = error.is_timeout().then_some(StatusCode::REQUEST_TIMEOUT);
        let broken = !error.is_connect() && !error.is_timeout();
        let distrust = tls::why(error);
        let untrusted = distrust.is_some();
        let text = format!("{origin}: {}", distrust.unwrap_or_else(|| why(error)));
        Self { status, broken, untrusted, ..Self::saying(text) }
    }

    fn saying(text: String) -> Self {
        Self { status: None, kind: String::new(), text, broken: false, untrusted: false }
    }

    /// An answer came and is of no use.
    pub(super) fn unreadable(text: String) -> Self {
        Self::saying(text)
    }

    fn too_large(most: usize) -> Self {
        let text = format!("the answer has more than {most} bytes");
        Self { status: Some(StatusCode::PAYLOAD_TOO_LARGE), ..Self::saying(text) }
    }

    /// Whether it helps to put or ask for less at once.
    pub(super) fn is_too_large(&self) -> bool {
        self.status == Some(StatusCode::PAYLOAD_TOO_LARGE)
    }

    /// The server says `cause` of a part of the request.
    pub(super) fn of(cause: &Cause) -> Self {
        Self { kind: cause.kind.clone(), ..Self::saying(cause.text()) }
    }

    fn answered(status: StatusCode, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Answer {
            error: Whole,
        }
        #[derive(Deserialize)]
        struct Whole {
            /// Says which shard failed and why where the whole only says that all did.
            #[serde(default)]
            root_cause: Vec<Cause>,
            #[serde(flatten)]
            cause: Cause,
        }
        let cause = match serde_json::from_slice::<Answer>(body) {
            Ok(Answer { error }) => error.root_cause.into_iter().next().unwrap_or(error.cause),
            // Something in between answered, or a server that is going down.
            Err(_) => Cause { kind: String::new(), reason: None },
        };
        let text = format!("{} {}", status.as_u16(), cause.text());
        Self { status: Some(status), kind: cause.kind, ..Self::saying(text) }
    }

    /// Whether the server called it `kind`.
    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    /// The index, or alias, is not there.
    pub(super) fn is_missing(&self) -> bool {
        self.is(MISSING)
    }

    /// What was searched does not have the fields to sort by: it is another program's index.
    pub(super) fn is_foreign_mapping(&self) -> bool {
        self.is("query_shard_exception") && self.text.contains("No mapping found for")
    }

    /// Whether the server has too much to do.
    pub(super) fn is_overload(&self) -> bool {
        matches!(self.status.map(|status| status.as_u16()), Some(408 | 429 | 502..=504))
    }

    /// Whether asking again at once may help: an index went while it was searched, or a connection.
    pub(super) fn is_passing(&self) -> bool {
        let gone = |status: StatusCode| status.is_server_error() || status == StatusCode::NOT_FOUND;
        self.broken || self.status.is_some_and(gone)
    }

    /// What happened, in few words.
    pub(super) fn text(self) -> String {
        self.text
    }
}

impl From<Failure> for index::Error {
    fn from(failure: Failure) -> Self {
        if failure.is_missing() {
            index::Error::Missing(failure.text)
        } else {
            index::Error::Unavailable(failure.text)
        }
    }
}

/// How the server explains a failure.
#[derive(Debug, Deserialize)]
pub(super) struct Cause {
    #[serde(rename = "type")]
    pub(super) kind: String,
    reason: Option<String>,
}

impl Cause {
    /// The index, or alias, is not there.
    pub(super) fn is_missing(&self) -> bool {
        self.kind == MISSING
    }

    /// In few words, without the values of the document that the server likes to quote.
    pub(super) fn text(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or_default();
        let reason = reason.split(" Preview of field's value").next().unwrap_or_default();
        match (self.kind.as_str(), reason) {
            ("", _) => "without an explanation".to_owned(),
            (kind, "") => kind.to_owned(),
            (kind, reason) => format!("{kind}: {reason}").chars().take(TEXT).collect(),
        }
    }
}

/// The innermost cause says "connection refused", the outermost only "error sending request".
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

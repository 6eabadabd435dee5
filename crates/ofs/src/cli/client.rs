//! Client: JSON over HTTP to a running server; every way it can fail becomes a [`Failure`].

use super::output;
use crate::failure::{Exit, Failure};
use futures::{Stream, StreamExt as _};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde_json::Value;
use std::time::Duration;

/// How long one answer may take. Streams may stay quiet for as long as they like.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the answer to a request of many orders may take.
const LONG_PATIENCE: Duration = Duration::from_secs(600);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection may be silent before the system asks whether the server still lives.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The longest line of a stream that is read: a record of 1 MiB, each byte an escape, and some more.
const MAX_LINE: usize = 8 * 1024 * 1024;

/// A server, and how to talk to it.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    patience: Duration,
}

/// Query parameters; those without a value are left out.
pub type Query<'a> = &'a [(&'static str, Option<String>)];

impl Client {
    /// Talks to `server`, an `http://` or `https://` URL, and sends it `key`; nothing is connected yet.
    ///
    /// # Errors
    /// [`Exit::Usage`] if the URL or the key is invalid, [`Exit::Failed`] if the system has no usable certificates.
    pub fn new(server: &str, key: Option<&str>) -> Result<Self, Failure> {
        let usage = |error| Failure::new(Exit::Usage, format!("server `{server}`: {error}"));
        let server = Url::parse(server).map_err(usage)?;
        let mut builder =
            reqwest::Client::builder().connect_timeout(CONNECT).tcp_keepalive(KEEPALIVE);
        if server.scheme() == "http" {
            // Plain HTTP must work on a machine without certificates, such as a slim container.
            builder = builder.tls_certs_only(Vec::new());
        }
        if is_loopback(&server) {
            builder = builder.no_proxy();
        } else if key.is_some() && server.scheme() == "http" {
            output::note("warning: the key is sent unencrypted; ask the server by https://");
        }
        if let Some(key) = key {
            let wrong = |_| Failure::new(Exit::Usage, "the key is not one; check api-key");
            let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(wrong)?;
            value.set_sensitive(true);
            builder = builder.default_headers([(AUTHORIZATION, value)].into_iter().collect());
        }
        let http = builder.build().map_err(|error| {
            Failure::new(Exit::Failed, format!("make an HTTP client: {}", innermost(&error)))
        })?;
        Ok(Self { http, server, patience: PATIENCE })
    }

    /// The same, but an answer may take as long as `patience`.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// `GET path`, whatever the status: that and the body, as JSON or else as text.
    ///
    /// # Errors
    /// [`Failure`] if there is no response.
    pub async fn answer(&self, path: &[&str]) -> Result<(u16, Value), Failure> {
        let request = self.request(Method::GET, path, &[])?.timeout(self.patience);
        let response = request.send().await.map_err(|error| self.failure(&error))?;
        let status = response.status().as_u16();
        let body = response.text().await.map_err(|error| self.failure(&error))?;
        Ok((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
    }

    /// `GET path?query`, as JSON.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn get(&self, path: &[&str], query: Query<'_>) -> Result<Value, Failure> {
        let request = self.request(Method::GET, path, query)?.timeout(self.patience);
        self.json(request).await
    }

    /// `POST path?query` with `body`, as JSON.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn post(
        &self,
        path: &[&str],
        query: Query<'_>,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        self.post_with(path, query, body, None).await
    }

    /// As [`Client::post`], with an `Idempotency-Key`.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn post_with(
        &self,
        path: &[&str],
        query: Query<'_>,
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> Result<Value, Failure> {
        let mut request = self.request(Method::POST, path, query)?.timeout(self.patience);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        self.json(request).await
    }

    /// `POST path` with `lines` of JSON; the lines of the answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn post_lines(&self, path: &[&str], lines: String) -> Result<Vec<Value>, Failure> {
        let request = self.request(Method::POST, path, &[])?;
        let request = request.header("content-type", "application/x-ndjson").body(lines);
        let response = self.accepted(request.timeout(LONG_PATIENCE)).await?;
        let body = response.bytes().await.map_err(|error| self.failure(&error))?;
        let lines = body.split(|byte| *byte == b'\n');
        lines.filter(|line| !line.is_empty()).map(value).collect()
    }

    /// `GET path?query` as NDJSON, value by value, for as long as the server sends.
    ///
    /// # Errors
    /// [`Failure`], at once or from the stream.
    pub async fn stream(
        &self,
        path: &[&str],
        query: Query<'_>,
    ) -> Result<impl Stream<Item = Result<Value, Failure>> + use<>, Failure> {
        let lines = self.lines(path, query, &[("accept", "application/x-ndjson")]).await?;
        Ok(lines.map(|line| line.and_then(|line| value(&line))))
    }

    /// `GET path?query` with `headers`: the lines of the answer that are not blank, for as long as the
    /// server sends.
    ///
    /// # Errors
    /// [`Failure`], at once or from the stream.
    pub async fn lines(
        &self,
        path: &[&str],
        query: Query<'_>,
        headers: &[(&'static str, &str)],
    ) -> Result<impl Stream<Item = Result<Vec<u8>, Failure>> + use<>, Failure> {
        let request = self.request(Method::GET, path, query)?;
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = self.accepted(request).await?;
        Ok(lines(self.clone(), response))
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: Query<'_>,
    ) -> Result<RequestBuilder, Failure> {
        let mut url = self.server.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::new(Exit::Usage, "the server's URL cannot have a path"))?
            .pop_if_empty()
            .extend(path);
        let given = query.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let given: Vec<_> = given.collect();
        let request = self.http.request(method, url);
        Ok(if given.is_empty() { request } else { request.query(&given) })
    }

    async fn json(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let response = self.accepted(request).await?;
        let body = response.bytes().await.map_err(|error| self.failure(&error))?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| {
            let server = &self.server;
            Failure::new(Exit::Failed, format!("the answer of {server} is not JSON: {error}"))
        })
    }

    async fn accepted(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.failure(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.text().await.unwrap_or_default();
        Err(Failure::answered(status.as_u16(), &body))
    }

    fn failure(&self, error: &reqwest::Error) -> Failure {
        let (server, cause) = (&self.server, innermost(error));
        if error.is_connect() {
            let fix = "start it with `ofs run`, or name it with --server or OFS_SERVER";
            let detail = format!("{server} cannot be reached: {cause}; {fix}");
            return Failure::new(Exit::Unreachable, detail);
        }
        if error.is_timeout() {
            let waited = humantime::format_duration(self.patience);
            let detail = format!("{server} did not answer within {waited}");
            return Failure::new(Exit::Timeout, detail);
        }
        Failure::new(Exit::Unreachable, format!("the connection to {server} broke: {cause}"))
    }
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

/// The innermost cause says it best.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn lines(client: Client, response: Response) -> impl Stream<Item = Result<Vec<u8>, Failure>> {
    let chunks = response.bytes_stream();
    let start = (client, Box::pin(chunks), Vec::<u8>::new());
    futures::stream::try_unfold(start, |(client, mut chunks, mut buffer)| async move {
        loop {
            if let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return Ok(Some((line, (client, chunks, buffer))));
            }
            if buffer.len() > MAX_LINE {
                return Err(Failure::new(Exit::Failed, "the stream has a line without an end"));
            }
            match chunks.next().await {
                Some(chunk) => {
                    let chunk = chunk.map_err(|error| client.failure(&error))?;
                    buffer.extend_from_slice(&chunk);
                }
                None if buffer.trim_ascii().is_empty() => return Ok(None),
                None => return Ok(Some((buffer, (client, chunks, Vec::new())))),
            }
        }
    })
}

fn value(line: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(line)
        .map_err(|error| Failure::new(Exit::Failed, format!("a line of the stream: {error}")))
}

//! The search index in Elasticsearch 8: one index per generation, read through one alias.
//!
//! Keeps no state but the size of its requests; whatever there is, the server is asked. Replicas and
//! their number are the server's business.

mod bare;
mod bulk;
mod client;
mod generations;
mod grants;
mod mapping;
mod names;
mod query;
mod way;

pub use bare::bare;
pub use grants::grants;

use crate::ServerUrl;
use async_trait::async_trait;
use bulk::Pace;
use client::Client;
use mapping::lines;
use names::Names;
use ofs_events::Key;
use ofs_runtime::index::{Document, Error, Found, Index, Put, Query, Schema, Status, Target};
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;
use way::Way;

/// Why an index cannot be opened. No message holds a password or key.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not a URL, or it has no host.
    #[error("cannot use the URL of the index: {0}")]
    Url(String),
    /// Another scheme than `http` or `https`.
    #[error(
        "the URL of the index has the scheme `{0}:`; write http://host:9200 or https://host:9200"
    )]
    Scheme(String),
    /// A parameter this engine does not have.
    #[error("the URL of the index has an unknown parameter `{0}`; it takes `prefix` and `api-key`")]
    Parameter(String),
    /// A prefix that no index can have.
    #[error(
        "the URL of the index has the invalid prefix `{0}`; write at most 100 lower-case letters, digits, \
         `-`, `_` or `.`, beginning with a letter or digit"
    )]
    Prefix(String),
    /// A key that fits into no header, or one beside a user.
    #[error("cannot use the API key in the URL of the index: {0}")]
    ApiKey(&'static str),
    /// The HTTP client, most likely for want of the system's certificates.
    #[error("cannot set up HTTP for the index: {0}")]
    Http(String),
    /// The server does not answer, or cannot serve us now.
    #[error("cannot reach Elasticsearch at {at}: {reason}")]
    Unreachable {
        /// Scheme, host and port.
        at: String,
        /// What happened.
        reason: String,
    },
    /// The server does not let us in.
    #[error(
        "cannot log in to Elasticsearch at {at}: {reason}; check the user and the password, or the API key, \
         in the URL"
    )]
    Login {
        /// Scheme, host and port.
        at: String,
        /// What the server said.
        reason: String,
    },
    /// No secure connection came about.
    #[error(
        "cannot speak TLS with Elasticsearch at {at}: {reason}; check the host name in the URL, and name a \
         certificate authority of your own in SSL_CERT_FILE"
    )]
    Tls {
        /// Scheme, host and port.
        at: String,
        /// What went wrong.
        reason: String,
    },
}

impl OpenError {
    /// Whether the server does not let us in, or we do not trust it.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, OpenError::Login { .. } | OpenError::Tls { .. })
    }
}

/// The search index in an Elasticsearch cluster.
pub struct ElasticsearchIndex {
    client: Client,
    names: Names,
    schema: Schema,
    pace: Pace,
}

impl ElasticsearchIndex {
    /// The index of `schema` at `url`: `http(s)://[user:password@]host[:port][/path][?prefix=NAME][&api-key=KEY]`.
    /// The prefix is put before all names, so that several installations can share a cluster. Does not
    /// talk to the server, which may be down.
    ///
    /// # Errors
    /// If the URL is not of that form.
    pub fn open(url: impl Into<ServerUrl>, schema: Schema) -> Result<Self, OpenError> {
        let (client, prefix) = connect(url.into())?;
        let names = Names::new(prefix, schema.name()).map_err(OpenError::Prefix)?;
        Ok(Self { client, names, schema, pace: Pace::default() })
    }

    /// Makes sure that the server answers and lets us in.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), OpenError> {
        self.client.check().await
    }
}

/// The server at `url`, and the prefix that it gives.
fn connect(url: ServerUrl) -> Result<(Client, String), OpenError> {
    let (way, prefix) = Way::of(url.at_start())?;
    Ok((Client::new(way, url)?, prefix))
}

#[async_trait]
impl Index for ElasticsearchIndex {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    async fn put(&self, target: &Target, documents: &[Document]) -> Result<Vec<Put>, Error> {
        let generation = self.names.generation(target)?;
        let lines: Vec<_> = documents.iter().map(|one| lines(&self.schema, one)).collect();
        bulk::put(&self.client, &self.pace, &generation.writing, lines).await
    }

    async fn search(&self, query: &Query) -> Result<Found, Error> {
        query.check(&self.schema)?;
        query::search(&self.client, &self.names.alias(), &self.schema, query).await
    }

    async fn scan(
        &self,
        target: &Target,
        after: Option<Key>,
        max: usize,
    ) -> Result<Vec<Document>, Error> {
        let generation = self.names.generation(target)?;
        query::scan(&self.client, &generation.writing, after, max).await
    }

    async fn engine(&self) -> Option<String> {
        let told: Value = self.client.send(Method::GET, "", None).await.ok()?;
        Some(format!("Elasticsearch {}", told["version"]["number"].as_str()?))
    }

    async fn status(&self) -> Result<Status, Error> {
        generations::status(&self.client, &self.names, &self.schema).await
    }

    async fn begin(&self, target: &Target, instance: Uuid) -> Result<(), Error> {
        generations::begin(&self.client, &self.names, &self.schema, target, instance).await
    }

    async fn finish(&self, target: &Target) -> Result<(), Error> {
        generations::finish(&self.client, &self.names, &self.schema, target).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: Schema = Schema::new("things", "id", &[]);

    fn refused(url: &str) -> String {
        ElasticsearchIndex::open(url, SCHEMA).err().expect("refused").to_string()
    }

    #[test]
    fn a_url_is_checked_before_there_is_a_server() {
        for url in [
            "http://localhost:9200",
            "http://localhost:9200/behind/a/proxy?prefix=test-1.",
            "https://user:pass%40word@host.example",
            "https://host.example:9200?prefix=a_b&api-key=a2V5OnNlY3JldA==",
        ] {
            assert!(ElasticsearchIndex::open(url, SCHEMA).is_ok(), "{url}");
        }
        for (url, named) in [
            ("localhost:9200", "localhost"),
            ("ftp://host", "ftp"),
            ("http://", "URL"),
            ("no url", "URL"),
            ("http://host?prefix=UPPER", "UPPER"),
            ("http://host?prefix=-a", "-a"),
            ("http://host?prefix=a*", "a*"),
            ("http://host?perfix=a", "perfix"),
            ("http://host?api-key=a%0Ab", "API key"),
            ("http://user@host?api-key=ab", "API key"),
        ] {
            let text = refused(url);
            assert!(text.contains(named), "{url}: {text}");
        }
    }

    #[test]
    fn no_refusal_tells_a_secret() {
        for url in [
            "http://user:secret@host?prefix=A",
            "http://user:secret@host?api-key=secret",
            "http://user:secret@host:99999999",
            "x://user:secret@host",
        ] {
            assert!(!refused(url).contains("secret"), "{url}");
        }
    }
}

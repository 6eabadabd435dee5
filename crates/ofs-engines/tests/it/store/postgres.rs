//! The store on PostgreSQL: a fresh database for each test, on the server that
//! `OFS_TEST_POSTGRES_URL` names; without it these tests are skipped, and say so once.

mod crowd;
mod opening;
mod proxy;
mod statements;
mod tables;

use super::*;
use ofs_engines::store::postgres::{self, PostgresStore};
use std::sync::Once as First;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::{Client, Config, NoTls};

/// A database of its own; dropped with it.
pub struct Postgres {
    server: String,
    name: String,
}

impl Postgres {
    /// Where the database is.
    pub fn url(&self) -> String {
        with_database(&self.server, &self.name)
    }

    /// A connection that knows nothing of stores.
    pub async fn client(&self) -> Client {
        connect(&self.url()).await
    }

    /// An open store, for what only this engine has.
    pub async fn store(&self) -> Arc<dyn Store> {
        Arc::new(PostgresStore::open(&self.url()).await.unwrap())
    }
}

#[async_trait::async_trait]
impl Engine for Postgres {
    async fn open(&self) -> Arc<dyn Store> {
        self.store().await
    }

    async fn access(&self) -> Arc<dyn Access> {
        Arc::new(PostgresStore::open(&self.url()).await.unwrap())
    }

    async fn try_execute(&self, sql: &str) -> Result<(), String> {
        let done = self.client().await.batch_execute(sql).await;
        done.map_err(|error| error.as_db_error().unwrap().message().to_owned())
    }

    async fn tamper(&self, sql: &str) {
        self.execute(&format!("ALTER TABLE audit DISABLE TRIGGER USER; {sql}")).await;
    }

    /// Sessions that begin from then on find these functions before the server's own.
    async fn set_clock(&self, by_seconds: i64) {
        let sql = format!(
            "CREATE SCHEMA IF NOT EXISTS clock;
             CREATE TABLE IF NOT EXISTS clock.set (by interval NOT NULL);
             INSERT INTO clock.set VALUES (interval '{by_seconds} s');
             CREATE OR REPLACE FUNCTION clock.now() RETURNS timestamptz STABLE LANGUAGE sql AS
                 'SELECT pg_catalog.now() + sum(by) FROM clock.set';
             CREATE OR REPLACE FUNCTION clock.statement_timestamp() RETURNS timestamptz
                 STABLE LANGUAGE sql AS
                 'SELECT pg_catalog.statement_timestamp() + sum(by) FROM clock.set';
             ALTER DATABASE {} SET search_path = clock, pg_catalog, public",
            self.name
        );
        self.execute(&sql).await;
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let sql = format!("DROP DATABASE {name} WITH (FORCE)");
                connect(&server).await.batch_execute(&sql).await.unwrap();
            });
        });
        dropped.join().unwrap();
    }
}

/// A database with the schema in it.
pub async fn fresh() -> Option<Postgres> {
    let server = server()?;
    let template = template(&server).await;
    Some(create(server, &format!("TEMPLATE {template}")).await)
}

/// A database with nothing in it.
pub async fn empty_database() -> Option<Postgres> {
    Some(create(server()?, "").await)
}

#[expect(clippy::disallowed_methods, reason = "tests are configured by the environment")]
fn server() -> Option<String> {
    static SKIPPED: First = First::new();
    let url = std::env::var("OFS_TEST_POSTGRES_URL").ok();
    if url.is_none() {
        SKIPPED.call_once(|| eprintln!("skipped on PostgreSQL: OFS_TEST_POSTGRES_URL is not set"));
    }
    url
}

async fn create(server: String, how: &str) -> Postgres {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("ofs_test_{}_{count}", std::process::id());
    let client = connect(&server).await;
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
    client.batch_execute(&format!("CREATE DATABASE {name} {how}")).await.unwrap();
    Postgres { server, name }
}

/// The name of a migrated database to copy: made once per schema, by the first who needs it.
async fn template(server: &str) -> String {
    let schema = concat!(
        include_str!("../../../migrations/postgres/V1__init.sql"),
        include_str!("../../../migrations/postgres/V2__refused_documents.sql"),
        include_str!("../../../migrations/postgres/V3__additive_log_ends.sql"),
        include_str!("../../../migrations/postgres/V4__additive_api_keys.sql"),
        include_str!("../../../migrations/postgres/V5__additive_audit.sql"),
        include_str!("../../../migrations/postgres/V6__additive_parked_open.sql"),
        include_str!("../../../migrations/postgres/V7__additive_deadlines.sql"),
    );
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, schema.as_bytes()).simple();
    let name = format!("ofs_template_{id}");
    let client = connect(server).await;
    client.batch_execute("SELECT pg_advisory_lock(1)").await.unwrap();
    let sql = "SELECT count(*) FROM pg_database WHERE datname = $1 AND datistemplate";
    if client.query_one(sql, &[&name]).await.unwrap().get::<_, i64>(0) == 0 {
        let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        client.batch_execute(&sql).await.unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        postgres::migrate(&with_database(server, &name)).await.unwrap();
        until("nobody uses the template", async || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1";
            (client.query_one(sql, &[&name]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
        })
        .await;
        client.batch_execute(&format!("ALTER DATABASE {name} IS_TEMPLATE true")).await.unwrap();
    }
    name
}

pub async fn connect(url: &str) -> Client {
    let config: Config = url.parse().unwrap();
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The URL of `server` with another database.
fn with_database(server: &str, name: &str) -> String {
    let (base, query) = server.split_once('?').map_or((server, ""), |(base, query)| (base, query));
    let scheme = base.find("://").map_or(0, |at| at + 3);
    let host = base[scheme..].find('/').map_or(base, |at| &base[..scheme + at]);
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{host}/{name}{mark}{query}")
}

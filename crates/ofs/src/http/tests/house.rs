//! What the tests stand on: the embedded engines in a directory of their own, and one client.

use crate::history::History;
use crate::http::{
    App, Guard, Hosts, Jobs, Limits, Listeners, Origins, Refusals, Times, Verify, router,
};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use metrics_exporter_prometheus::PrometheusBuilder;
use ofs_engines::index::tantivy::{self, TantivyIndex};
use ofs_engines::log::sqlite::SqliteLog;
use ofs_engines::sqlite::Options;
use ofs_engines::store::sqlite::SqliteStore;
use ofs_events::{CorrelationId, Event, Key, PaymentAuthorizedV1, Topic};
use ofs_runtime::access::{Access, Audit, Keyring};
use ofs_runtime::books::Books;
use ofs_runtime::context::Context;
use ofs_runtime::log::{Bounds, Lag, Layout, Log, Message, Position, Received, Reset};
use ofs_runtime::log::{Error, Subscription};
use ofs_runtime::parked::Retrier;
use ofs_runtime::pipeline::{Pipeline, Station};
use ofs_runtime::rebuild::Rebuild;
use ofs_runtime::service::{Delivery, Fault, Handler, Reaction};
use ofs_runtime::store::{Commit, Parking, Record, Store};
use ofs_runtime::trouble::Troubles;
use search_indexer_worker::schema::SCHEMA;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

pub(super) const SERVICE: &str = "payment-worker";
pub(super) const ELSEWHERE: &str = "fulfillment-worker";

pub(super) fn order(number: u128) -> Key {
    Key(Uuid::from_u128(number))
}

/// Handles every event it can read, and changes nothing.
pub(super) struct Ignores;

#[async_trait::async_trait]
impl Handler for Ignores {
    fn topics(&self) -> &'static [Topic] {
        &[Topic::Orders]
    }

    async fn handle(
        &self,
        _: &Context,
        _: Option<&Record>,
        _: Delivery<'_>,
    ) -> Result<Reaction, Fault> {
        Ok(Reaction::Ignore)
    }
}

/// A log that cannot be reached.
pub(super) struct Unreachable;

fn down<T>() -> Result<T, Error> {
    Err(Error::Unavailable("refused".to_owned()))
}

#[async_trait::async_trait]
impl Log for Unreachable {
    async fn append(&self, messages: Vec<Message>) -> Vec<Result<Position, Error>> {
        messages.iter().map(|_| down()).collect()
    }
    async fn subscribe(&self, _: &str, _: &[Topic]) -> Result<Box<dyn Subscription>, Error> {
        down()
    }
    async fn read(&self, _: Topic, _: u32, _: u64, _: usize) -> Result<Vec<Received>, Error> {
        down()
    }
    async fn bounds(&self, _: Topic) -> Result<Vec<Bounds>, Error> {
        down()
    }
    async fn lag(&self, _: &str, _: &[Topic]) -> Result<Vec<Lag>, Error> {
        down()
    }
    async fn reset(&self, _: &str, _: &[Topic], _: Reset) -> Result<(), Error> {
        down()
    }
    async fn groups(&self) -> Result<Vec<String>, Error> {
        down()
    }
    async fn forget(&self, _: &str) -> Result<(), Error> {
        down()
    }
    async fn prepare(&self, _: Layout) -> Result<(), Error> {
        down()
    }
    async fn tidy(&self, _: Duration, _: &[ofs_runtime::log::Reader]) -> Result<(), Error> {
        down()
    }
}

pub(super) struct House {
    pub(super) app: App,
    _dir: tempfile::TempDir,
}

pub(super) async fn house() -> House {
    house_with(|log| log).await
}

pub(super) async fn house_with(change: impl FnOnce(Arc<dyn Log>) -> Arc<dyn Log>) -> House {
    let dir = tempfile::tempdir().expect("directory");
    let store = SqliteStore::open(&dir.path().join("store.db"), Options::default()).await;
    let store = Arc::new(store.expect("store"));
    let access: Arc<dyn Access> = store.clone();
    let store: Arc<dyn Store> = store;
    let log = SqliteLog::open(&dir.path().join("log.db"), Options::default(), store.instance())
        .expect("log");
    let log = change(Arc::new(log));
    let index = TantivyIndex::open(dir.path().join("index"), SCHEMA, tantivy::Options::default());
    let index = Arc::new(index.expect("index"));
    let station = |service| Station { service, topics: &[Topic::Orders], indexed: false };
    let stations = vec![station(SERVICE), station(ELSEWHERE)];
    let mut retrier = Retrier::default();
    retrier.add(Books::new(SERVICE, Arc::clone(&store)), Arc::new(Ignores), Arc::new(Ignores));
    let indexer = Books::new("search-indexer-worker", Arc::clone(&store));
    let app = App {
        pipeline: Pipeline::new(Arc::clone(&store), Arc::clone(&log), stations),
        retrier,
        rebuild: Rebuild::new(indexer, index.clone()),
        troubles: Troubles::default(),
        keyring: Keyring::new(Arc::clone(&access)),
        guard: Guard { keyring: None, issuer: None, local: true, refusals: Refusals::default() },
        audit: Audit::new(access),
        hosts: Hosts::default(),
        origins: Origins::default(),
        limits: Limits::default(),
        listeners: Listeners::default(),
        draining: CancellationToken::new(),
        metrics: PrometheusBuilder::new().build_recorder().handle(),
        about: Arc::default(),
        history: History::default(),
        verify: Verify::default(),
        jobs: Jobs::default(),
        times: Times::default(),
        store,
        log,
        index,
    };
    House { app, _dir: dir }
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("JSON")
    }

    pub(super) fn lines(&self) -> Vec<Value> {
        self.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Status, and the slug of the problem's type.
    pub(super) fn problem(&self) -> (u16, String) {
        let problem = self.json();
        let uri = problem["type"].as_str().expect("a type");
        (self.status.as_u16(), uri.trim_start_matches("urn:ofs:problem:").to_owned())
    }
}

impl House {
    pub(super) async fn send(&self, request: Request<Body>) -> axum::response::Response {
        let (router, _) = router(self.app.clone(), Vec::new());
        router.oneshot(request).await.expect("an answer")
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.send(request).await.into_parts();
        let bytes = to_bytes(body, 1 << 22).await.expect("a whole body");
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        Answer { status: head.status, headers: head.headers, text }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).header("host", "x").body(Body::empty()).expect("request")).await
    }

    pub(super) async fn post(&self, path: &str, body: Option<Value>) -> Answer {
        let request =
            Request::post(path).header("host", "x").header("content-type", "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.ask(request.body(body).expect("request")).await
    }

    /// The job of this process, once it has ended.
    pub(super) async fn job_that_ended(&self) -> Value {
        loop {
            let job = self.get("/parked/job").await.json()["job"].clone();
            if job["endedAt"].is_string() {
                return job;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Sends a form of a page of this server.
    pub(super) async fn press(&self, path: &str, form: &str) -> Answer {
        let request = Request::post(path).header("host", "x").header("origin", "http://x");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.ask(request.body(Body::from(form.to_owned())).expect("request")).await
    }

    pub(super) async fn append(&self, key: &[u8], value: &[u8]) {
        let message = Message {
            topic: Topic::Payments,
            key: Some(key.to_vec().into()),
            event_id: None,
            headers: vec![("eventType".to_owned(), "PaymentAuthorizedV1".to_owned())],
            value: value.to_vec().into(),
        };
        for position in self.app.log.append(vec![message]).await {
            position.expect("appended");
        }
    }

    pub(super) async fn append_paid(&self, order_id: Key) {
        self.append(order_id.to_string().as_bytes(), &paid(order_id)).await;
    }

    /// Parks `raw` for `owner`, as offset `offset`.
    pub(super) async fn park(&self, owner: &str, offset: u64, raw: &[u8]) {
        let at = Position { topic: Topic::Payments, partition: 0, offset };
        self.park_at(owner, at, order(1), raw).await;
    }

    /// Parks `raw`, which tells of the order `number`, for `owner`.
    pub(super) async fn park_order(&self, owner: &str, number: u8, raw: &[u8]) {
        let at = Position { topic: Topic::Orders, partition: 0, offset: number.into() };
        self.park_at(owner, at, order(number.into()), raw).await;
    }

    async fn park_at(&self, owner: &str, at: Position, key: Key, raw: &[u8]) {
        let parking = Parking {
            at,
            key: Some(key),
            event_id: None,
            event_type: None,
            raw_key: Some(key.to_string().into()),
            raw: raw.to_vec().into(),
            reason: format!("broken in {owner}"),
            unknown_type: false,
            retry_in: None,
        };
        let commit = Commit { owner: owner.to_owned(), parked: vec![parking], ..Commit::default() };
        self.app.store.commit(commit).await.expect("parked");
    }
}

pub(super) fn paid(key: Key) -> Vec<u8> {
    let correlation = CorrelationId(Uuid::from_u128(5));
    let payload = PaymentAuthorizedV1 { order_id: key.into() }.into();
    let event: Event = Context::new(SERVICE).first(correlation, payload);
    event.encode()
}

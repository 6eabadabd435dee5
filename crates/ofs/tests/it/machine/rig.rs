//! All services over one set of embedded engines, moved by hand: every process does one thing,
//! meets its fate meanwhile, and is gone.

mod world;

use super::fate::{Fate, Fated, Kind, Part, Script, Scripted, Trouble};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use ofs_engines::index::tantivy::{self, TantivyIndex};
use ofs_engines::log::sqlite::SqliteLog;
use ofs_engines::sqlite;
use ofs_engines::store::sqlite::SqliteStore;
use ofs_events::{OrderId, Topic};
use ofs_runtime::access::{Caller, Scopes};
use ofs_runtime::agreement::Agreement;
use ofs_runtime::books::Books;
use ofs_runtime::context::{Clock, Context};
use ofs_runtime::courier::{Courier, DeadlineLane, IndexLane, OutboxLane};
use ofs_runtime::desk::Desk;
use ofs_runtime::index::Index;
use ofs_runtime::log::{Log, Received};
use ofs_runtime::parked::Retrier;
use ofs_runtime::pipeline::Pipeline;
use ofs_runtime::rebuild::Rebuild;
use ofs_runtime::service::Service;
use ofs_runtime::store::{ParkedFilter, ParkedState, Store};
use ofs_runtime::trouble::Troubles;
use ofs_runtime::worker::Worker;
use search_indexer_worker::schema::SCHEMA;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Where a service is in [`Rig::services`].
pub fn index_of(service: &str) -> usize {
    let nth = crate::system::SERVICES.iter().position(|known| *known == service);
    nth.expect("a service")
}

pub struct Rig {
    pub store: Arc<dyn Store>,
    pub log: Arc<dyn Log>,
    pub index: Arc<dyn Index>,
    pub services: Vec<Service>,
    pub clock: Clock,
    /// What was in the log before retention cut it.
    cut: HashMap<Topic, Vec<Received>>,
    closed: HashSet<Part>,
    groups: HashMap<(usize, Topic), Group>,
    frozen: VecDeque<Frozen>,
    _dir: TempDir,
}

/// Where a service's group is on a topic, and how often a reader began there.
#[derive(Clone, Copy, Default)]
struct Group {
    at: u64,
    reader: u64,
}

/// What a worker acknowledges when it has come to its end: service, topic, its turn, offset.
type Acks = Vec<(usize, Topic, u64, u64)>;

struct Frozen {
    task: JoinHandle<()>,
    fate: Arc<Fate>,
    acks: Acks,
}

impl Rig {
    pub async fn start() -> Self {
        let dir = TempDir::new().expect("a directory");
        let (store, log) = (dir.path().join("store.db"), dir.path().join("log.db"));
        let clock = Clock::movable();
        let options = sqlite::Options { clock, ..sqlite::Options::default() };
        let store = SqliteStore::open(&store, options).await.expect("a store");
        let log = SqliteLog::open(&log, options, store.instance());
        let options =
            tantivy::Options { commit_interval: Duration::ZERO, ..tantivy::Options::default() };
        let index =
            TantivyIndex::open(dir.path().join("index"), SCHEMA, options).expect("an index");
        let mut rig = Self {
            store: Arc::new(store),
            log: Arc::new(log.expect("a log")),
            index: Arc::new(index),
            services: crate::system::services(),
            clock,
            cut: HashMap::new(),
            closed: HashSet::new(),
            groups: HashMap::new(),
            frozen: VecDeque::new(),
            _dir: dir,
        };
        rig.rebuild(None).await;
        rig
    }

    fn fated(&self, trouble: Option<Trouble>) -> Process {
        let fate = Fate::new(trouble);
        let store = Fated { engine: Arc::clone(&self.store), fate: Arc::clone(&fate) };
        let index = Fated { engine: Arc::clone(&self.index), fate: Arc::clone(&fate) };
        Process { store: Arc::new(store), index: Arc::new(index), fate }
    }

    fn books(&self, service: usize, store: &Arc<dyn Store>) -> Books {
        Books::of(Context::by(self.services[service].name(), self.clock), Arc::clone(store))
    }

    fn log(&self, process: &Process, script: Option<Script>) -> Arc<dyn Log> {
        let log = Fated { engine: Arc::clone(&self.log), fate: Arc::clone(&process.fate) };
        Arc::new(Scripted { log, script: Mutex::new(script), closed: self.closed.clone() })
    }

    /// Lets a process live until it ends, dies or freezes; whether it came to its end.
    async fn live(
        &mut self,
        fate: Arc<Fate>,
        acks: Acks,
        life: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        let mut task = tokio::spawn(Arc::clone(&fate).lead(life));
        let ended = tokio::select! {
            biased;
            ended = &mut task => Some(ended),
            () = fate.reached.cancelled() => None,
        };
        match ended {
            Some(Err(panic)) if fate.is(Kind::Panics) => assert!(panic.is_panic()),
            Some(ended) => {
                ended.expect("a process that does not panic");
                self.acknowledge(acks);
                return true;
            }
            None if fate.is(Kind::Freezes) => self.frozen.push_back(Frozen { task, fate, acks }),
            None => task.abort(),
        }
        false
    }

    /// The `nth` of the frozen processes goes on where it was; whether there was one.
    pub async fn thaw(&mut self, nth: usize) -> bool {
        let nth = nth % self.frozen.len().max(1);
        let Some(Frozen { task, fate, acks }) = self.frozen.remove(nth) else { return false };
        fate.thawed.cancel();
        task.await.expect("a process that does not panic");
        self.acknowledge(acks);
        true
    }

    /// Nothing if another reader has begun meanwhile.
    fn acknowledge(&mut self, acks: Acks) {
        for (service, topic, reader, end) in acks {
            let group = self.groups.entry((service, topic)).or_default();
            if group.reader == reader {
                group.at = group.at.max(end);
            }
        }
    }

    /// A client sends its order number `nth`; the answer, if there is one.
    pub async fn place(
        &mut self,
        nth: usize,
        scenario: &str,
        trouble: Option<Trouble>,
    ) -> Option<OrderId> {
        let process = self.fated(trouble);
        let service = &self.services[index_of(order_service::NAME)];
        let books = self.books(index_of(order_service::NAME), &process.store);
        let pipeline = Pipeline::new(Arc::clone(&self.store), Arc::clone(&self.log), Vec::new());
        let desk = Desk::new(books, Arc::clone(&self.index), Arc::new(pipeline));
        let (routes, _) = service.routes.clone().with_state(desk).split_for_parts();
        let order = serde_json::json!({"customerEmail": "user@example.com", "productType": "Phone",
            "country": "US", "paymentScenario": scenario});
        let request = Request::post("/orders")
            .extension(Caller::unknown(Scopes::all(), None))
            .header("content-type", "application/json")
            .header("idempotency-key", format!("order-{nth}"))
            .body(Body::from(order.to_string()))
            .expect("a request");
        let (tell, told) = tokio::sync::oneshot::channel();
        let life = async move {
            let answer = routes.oneshot(request).await.expect("an answer");
            let taken = answer.status() == StatusCode::CREATED;
            let body = axum::body::to_bytes(answer.into_body(), 10_000).await.expect("a body");
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let _ = tell.send(taken.then(|| body["id"].as_str().and_then(|id| id.parse().ok())));
        };
        if !self.live(process.fate, Acks::new(), life).await {
            return None;
        }
        told.await.ok()?.flatten()
    }

    /// A worker joins and reads `batches`, each some records of one topic, from `back` records before
    /// where its group is; then it leaves.
    pub async fn work(
        &mut self,
        service: usize,
        back: u64,
        batches: &[(usize, usize)],
        trouble: Option<Trouble>,
    ) {
        let handler = Arc::clone(&self.services[service].handler);
        let mut next = HashMap::new();
        let mut given = VecDeque::new();
        for (topic, count) in batches {
            let topic = handler.topics()[topic % handler.topics().len()];
            let group = self.groups.entry((service, topic)).or_default();
            let at = next.entry(topic).or_insert(group.at.saturating_sub(back));
            let read = self.log.read(topic, 0, *at, *count).await.expect("the log");
            if let Some(last) = read.last() {
                *at = last.at.offset + 1;
                given.push_back(read);
            }
        }
        let ends: HashMap<Topic, u64> = given.iter().flatten().map(end).collect();
        if ends.is_empty() {
            return;
        }
        let acks =
            ends.iter().map(|(topic, end)| (service, *topic, self.turn(service, *topic), *end));
        let acks = acks.collect();
        let process = self.fated(trouble);
        let stop = CancellationToken::new();
        let script = Script { batches: given, ends, stop: stop.clone() };
        let log = self.log(&process, Some(script));
        let books = self.books(service, &process.store);
        let worker = Worker::new(books, handler, log, Troubles::default());
        self.live(process.fate, acks, worker.run(stop)).await;
    }

    /// Takes `topic` over from whoever reads it for `service`.
    fn turn(&mut self, service: usize, topic: Topic) -> u64 {
        let group = self.groups.entry((service, topic)).or_default();
        group.reader += 1;
        group.reader
    }

    /// Everything that is new to a service, or everything there is.
    pub async fn work_all(&mut self, service: usize, again: bool) {
        let back = if again { u64::MAX } else { 0 };
        let topics = self.services[service].handler.topics().len();
        let all: Vec<(usize, usize)> = (0..topics).map(|topic| (topic, 1000)).collect();
        self.work(service, back, &all, None).await;
    }

    /// A courier carries what a service owes to the log.
    pub async fn deliver(&mut self, service: usize, trouble: Option<Trouble>) {
        let process = self.fated(trouble);
        let log = self.log(&process, None);
        let agreement = Agreement::new(Arc::clone(&process.store), Arc::clone(&log));
        let lane = OutboxLane::new(log, agreement);
        let books = self.books(service, &process.store);
        self.live(process.fate, Acks::new(), Courier::new(books, lane).run(stopped())).await;
    }

    /// A courier carries what is owed to the index.
    pub async fn push(&mut self, trouble: Option<Trouble>) {
        let process = self.fated(trouble);
        let books = self.books(index_of(search_indexer_worker::NAME), &process.store);
        let courier = Courier::new(books, IndexLane::new(process.index));
        self.live(process.fate, Acks::new(), courier.run(stopped())).await;
    }

    /// All parked events are tried again.
    pub async fn retry(&mut self, trouble: Option<Trouble>) {
        let process = self.fated(trouble);
        let mut retrier = Retrier::default();
        for (nth, service) in self.services.iter().enumerate() {
            let (handler, rehearsal) =
                (Arc::clone(&service.handler), Arc::clone(&service.rehearsal));
            retrier.add(self.books(nth, &process.store), handler, rehearsal);
        }
        let open = ParkedFilter { state: Some(ParkedState::Parked), ..ParkedFilter::default() };
        let parked = self.store.parked(&open, 1000).await.expect("the store").events;
        let life = async move {
            for parked in parked {
                // Refused: it will be retried.
                let _ = retrier.retry(parked.id).await;
            }
        };
        self.live(process.fate, Acks::new(), life).await;
    }

    /// Time passes, and deadlines with it.
    pub async fn pass(&mut self, trouble: Option<Trouble>) {
        self.clock.pass(Duration::from_mins(3));
        let process = self.fated(trouble);
        let lane =
            DeadlineLane::new(Arc::clone(&self.services[index_of(order_service::NAME)].handler));
        let courier = Courier::new(self.books(index_of(order_service::NAME), &process.store), lane);
        self.live(process.fate, Acks::new(), courier.run(stopped())).await;
    }

    /// The index is rebuilt, and what is owed to it is delivered meanwhile.
    pub async fn rebuild(&mut self, trouble: Option<Trouble>) {
        let process = self.fated(trouble);
        let books = self.books(index_of(search_indexer_worker::NAME), &process.store);
        let rebuild = Rebuild::new(books.clone(), Arc::clone(&process.index));
        let courier = Courier::new(books, IndexLane::new(process.index));
        let watch = self.watch();
        let life = async move {
            let stop = CancellationToken::new();
            // Refused: whatever was ordered before is carried through.
            let _ = rebuild.start().await;
            let built = async {
                while watch.state().await.expect("a state").building.is_some() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                stop.cancel();
            };
            tokio::join!(rebuild.run(stop.clone()), courier.run(stop.clone()), built);
        };
        self.live(process.fate, Acks::new(), life).await;
    }

    /// Looks at the index without a fate.
    pub fn watch(&self) -> Rebuild {
        let books = self.books(index_of(search_indexer_worker::NAME), &self.store);
        Rebuild::new(books, Arc::clone(&self.index))
    }

    /// Services with something new to read, and once more those that have a frozen worker.
    pub async fn busy(&self) -> Vec<usize> {
        let mut busy = self.behind().await;
        let frozen = self.frozen.iter().filter_map(|frozen| frozen.acks.first());
        busy.extend(frozen.map(|(service, ..)| *service));
        busy
    }

    async fn behind(&self) -> Vec<usize> {
        let mut behind = Vec::new();
        for (service, this) in self.services.iter().enumerate() {
            for topic in this.handler.topics() {
                let bounds = self.log.bounds(*topic).await.expect("the log");
                let group = self.groups.get(&(service, *topic)).copied().unwrap_or_default();
                if bounds[0].end > group.at && !behind.contains(&service) {
                    behind.push(service);
                }
            }
        }
        behind
    }

    /// Services with something to send.
    pub async fn owing(&self) -> Vec<usize> {
        let depths = self.store.depths().await.expect("the store");
        let owes = |service: &usize| {
            let mut own = depths.outbox.iter();
            own.any(|depth| depth.rows > 0 && depth.owner == self.services[*service].name())
        };
        (0..self.services.len()).filter(owes).collect()
    }

    /// Whether every group has read everything and nothing is owed, parked or overdue.
    pub async fn is_quiet(&self) -> bool {
        let depths = self.store.depths().await.expect("the store");
        let all = depths.outbox.iter().chain(&depths.index).chain(&depths.parked);
        let all = all.chain(&depths.refused);
        let overdue = self.store.overdue().await.expect("the store");
        all.map(|depth| depth.rows).sum::<u64>() == 0
            && self.behind().await.is_empty()
            && overdue.is_empty()
    }
}

/// The engines as one process sees them.
struct Process {
    store: Arc<dyn Store>,
    index: Arc<dyn Index>,
    fate: Arc<Fate>,
}

fn end(record: &Received) -> (Topic, u64) {
    (record.at.topic, record.at.offset + 1)
}

fn stopped() -> CancellationToken {
    let stop = CancellationToken::new();
    stop.cancel();
    stop
}

//! Servers that want TLS and a login: Kafka and PostgreSQL of our own, and a front with TLS and an API
//! key before the Elasticsearch that every test may use, which has no security itself.

use crate::server::{Server, http};
use crate::servers::{Servers, Urls};
use crate::system::{SERVICES, System};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use ofs::http::{Files, Tls};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Who may log in to Kafka by SCRAM, besides every service, each with its own name as password; `ofs` may
/// do everything.
const USERS: [&str; 3] = ["ofs", "rotating", "ofs-migrate"];

/// The servers, and what is needed to get in.
pub struct Secured {
    dir: TempDir,
    pub servers: Servers,
    front: Front,
    /// Held by a test that takes something down.
    pub turn: tokio::sync::Mutex<()>,
}

/// The ones that tests under way share.
static SHARED: tokio::sync::Mutex<Weak<Secured>> = tokio::sync::Mutex::const_new(Weak::new());

/// Starts them, unless another test has; none where no servers are to be tested on.
pub async fn secured() -> Option<Arc<Secured>> {
    let mut shared = SHARED.lock().await;
    if let Some(secured) = shared.upgrade() {
        return Some(secured);
    }
    let dir = tempfile::tempdir().expect("a directory");
    certificates(dir.path());
    let users = USERS.iter().chain(&SERVICES).map(|user| format!("{user} {user}\n"));
    std::fs::write(dir.path().join("users"), users.collect::<String>()).expect("written");
    let servers = Servers::start_secure(dir.path()).await?;
    let front = Front::start(dir.path(), &servers.urls.index).await;
    let secured =
        Arc::new(Secured { dir, servers, front, turn: tokio::sync::Mutex::const_new(()) });
    *shared = Arc::downgrade(&secured);
    Some(secured)
}

/// An authority with a certificate for localhost, and another authority that nobody has heard of.
fn certificates(dir: &Path) {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.pem(), Issuer::new(params, key))
    };
    let ((ca, issuer), (other, _)) = (authority("ours"), authority("another"));
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let server = params.signed_by(&key, &issuer).expect("a certificate").pem();
    for (name, text) in [
        ("ca.pem", ca),
        ("other.pem", other),
        ("server.pem", server),
        ("server.key", key.serialize_pem()),
    ] {
        std::fs::write(dir.join(name), text).expect("written");
    }
}

impl Secured {
    /// The certificates of the authority to trust.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Those of another one.
    pub fn other_ca(&self) -> PathBuf {
        self.dir.path().join("other.pem")
    }

    /// The servers, for whoever may do everything, with a database and prefixes that no other test has.
    pub fn urls(&self) -> Urls {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("secured{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name} OWNER ofs"));
        let key = self.front.key();
        Urls {
            log: self.log("ofs:ofs", &format!("prefix={name}.")),
            store: format!(
                "postgres://ofs:ofs@localhost:{}/{name}?sslmode=verify-full",
                self.port()
            ),
            index: format!(
                "https://localhost:{}?prefix={name}-{}-&api-key={key}",
                self.front.port,
                std::process::id()
            ),
        }
    }

    /// Kafka for `login`, a user and what it shows.
    pub fn log(&self, login: &str, query: &str) -> String {
        let place = self.servers.brokers().replace("127.0.0.1", "localhost");
        format!("kafka+tls://{login}@{place}?ca={}&{query}", self.ca().display())
    }

    /// PostgreSQL's port.
    pub fn port(&self) -> &str {
        let (_, rest) = self.servers.urls.store.rsplit_once(':').expect("a port");
        rest.split('/').next().expect("a port")
    }

    /// What the superuser's psql prints for `sql`.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let store = format!("postgres://postgres:postgres@localhost:{}/{database}", self.port());
        Urls { store, ..self.servers.urls.clone() }.psql(sql)
    }

    /// What one of Kafka's own tools prints, at the door inside, where everything is allowed.
    pub fn kafka_tool(&self, class: &str, args: &[&str]) -> String {
        let (host, port) = self.servers.urls.log.rsplit_once(':').expect("a port");
        let host = host.trim_start_matches("kafka://");
        let inside = format!("{host}:{}", port.parse::<u16>().expect("a number") + 2);
        self.servers.kafka_tool(class, &[&["--bootstrap-server", &inside], args].concat())
    }

    /// From now on the front lets in nobody else.
    pub fn change_api_key(&self, key: &str) {
        key.clone_into(&mut self.front.door.key.lock().expect("a key"));
    }

    /// `ofs` of `system`, with the authority to trust.
    pub fn command(&self, system: &System) -> Command {
        let mut command = system.command();
        command.env("SSL_CERT_FILE", self.ca());
        command
    }

    /// `ofs run` of `system`, with `args` and `variables`, instead of which it has no other source.
    pub fn run(&self, system: &System, args: &[&str], variables: &[(&str, &str)]) -> Server {
        self.try_run(system, args, variables).unwrap_or_else(|said| panic!("it ended: {said}"))
    }

    /// The same; if it ends before it listens, answers with what it said.
    pub fn try_run(
        &self,
        system: &System,
        args: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Server, String> {
        let mut command = self.command(system);
        command.args(["run", "--listen", "127.0.0.1:0"]).args(args);
        for (name, value) in variables {
            command.env_remove(name.trim_end_matches("_FILE")).env(name, value);
        }
        Server::start(command)
    }

    /// A system on `urls`, its tables and topics made.
    pub fn system(&self, urls: Urls) -> System {
        let system = System::unprepared_on(urls);
        let migrated = self.command(&system).arg("migrate").output().expect("an end");
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        system
    }
}

/// TLS, and whoever has no key is turned away, as Elasticsearch with security does it.
struct Front {
    port: u16,
    door: Door,
    stop: CancellationToken,
}

#[derive(Clone)]
struct Door {
    key: Arc<Mutex<String>>,
    behind: Arc<str>,
    client: reqwest::Client,
}

impl Front {
    async fn start(dir: &Path, behind: &str) -> Front {
        let files = Files { certificate: dir.join("server.pem"), key: dir.join("server.key") };
        let tls = Tls::open(files).expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let key = Arc::new(Mutex::new("the-first-key".to_owned()));
        let door = Door { key, behind: behind.trim_end_matches('/').into(), client: http() };
        let router = Router::new().fallback(pass).with_state(door.clone());
        let stop = CancellationToken::new();
        let ended = stop.clone();
        // In a runtime of its own: it outlives the test that has started it.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let listener = listener.into_std().expect("a listener");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                ofs::http::serve(listener, Some(tls), router, ended).await;
            });
        });
        Front { port, door, stop }
    }

    fn key(&self) -> String {
        self.door.key.lock().expect("a key").clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn refused(status: StatusCode, reason: &str) -> Response {
    let error = json!({ "type": "security_exception", "reason": reason });
    (status, axum::Json(json!({ "error": error, "status": status.as_u16() }))).into_response()
}

async fn pass(State(door): State<Door>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let expected = format!("ApiKey {}", door.key.lock().expect("a key"));
    if head.headers.get(header::AUTHORIZATION).is_none_or(|shown| shown != expected.as_str()) {
        let reason = "unable to authenticate with provided credentials";
        return refused(StatusCode::UNAUTHORIZED, reason);
    }
    // A key for some indices may do nothing that concerns the whole cluster.
    let path = head.uri.path();
    if path.starts_with("/_cluster/") {
        return refused(StatusCode::FORBIDDEN, "this action is granted by no privilege of the key");
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    ask(&door, head.method, &head.uri, &head.headers, body).await
}

async fn ask(door: &Door, method: Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Response {
    let path = uri.path_and_query().expect("a path");
    let mut asking = door.client.request(method, format!("{}{path}", door.behind)).body(body);
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        asking = asking.header(header::CONTENT_TYPE, kind);
    }
    match asking.send().await {
        Ok(answer) => {
            let (status, kind) =
                (answer.status(), answer.headers().get(header::CONTENT_TYPE).cloned());
            let mut passed = Response::new(answer.bytes().await.expect("a body").into());
            *passed.status_mut() = status;
            passed.headers_mut().extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
            passed
        }
        Err(error) => refused(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

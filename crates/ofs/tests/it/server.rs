//! The real binary as a server of its own: started on a free port, spoken to over HTTP, ended by
//! signals. What it stands on is in `system`.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Server {
    child: Child,
    pub url: String,
    said: Arc<Mutex<Vec<String>>>,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts `command` and waits until it says where it listens; if it ends before that, answers
    /// with what it said.
    pub fn start(mut command: Command) -> Result<Server, String> {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the server starts");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let mut said = Vec::new();
        let url = loop {
            let Some(Ok(line)) = lines.next() else {
                let status = child.wait().expect("an exit status");
                return Err(format!("{}\n{status}", said.join("\n")));
            };
            said.push(line.clone());
            if let Some(url) = line.trim().strip_prefix("API ") {
                break url.trim().to_owned();
            }
        };
        let said = Arc::new(Mutex::new(said));
        // Read on, or the server would block once the pipe is full.
        let listening = std::thread::spawn(listen(lines, Arc::clone(&said)));
        Ok(Server { child, url, said, listening: Some(listening) })
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said on stderr so far.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("lines").clone()
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("SIGKILL");
        self.ends();
    }

    /// SIGTERM; answers with the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.ends().code()
    }

    /// SIGINT, as Ctrl-C sends it; answers with the exit code.
    pub fn interrupt(&mut self) -> Option<i32> {
        self.signal("INT");
        self.ends().code()
    }

    /// SIGSTOP: it does nothing more, and its connections stay open, until it is thawed.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill");
        assert!(sent.success());
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("an exit status")
    }

    /// Waits for the end; by then everything it said has been heard.
    fn ends(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("an exit status");
        if let Some(listening) = self.listening.take() {
            listening.join().expect("stderr read to its end");
        }
        status
    }
}

fn listen(lines: Lines<BufReader<ChildStderr>>, said: Arc<Mutex<Vec<String>>>) -> impl FnOnce() {
    move || {
        for line in lines.map_while(Result::ok) {
            said.lock().expect("lines").push(line);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{} said:\n{}", self.url, self.said().join("\n"));
        }
    }
}

pub fn order(scenario: Option<&str>) -> Value {
    json!({"customerEmail": "user@example.com", "productType": "Phone", "country": "US",
        "paymentScenario": scenario})
}

thread_local! {
    /// Each test has a thread and a runtime of its own. A connection of its own for each request: servers
    /// are killed all the time.
    static CLIENT: reqwest::Client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only(Vec::new())
        .pool_max_idle_per_host(0)
        .build()
        .expect("a client");
}

/// A client for plain HTTP; reads no certificates.
pub fn http() -> reqwest::Client {
    CLIENT.with(Clone::clone)
}

pub async fn place(url: &str, body: &Value) -> reqwest::Result<String> {
    let answer = http().post(format!("{url}/orders")).json(body).send().await?;
    let placed: Value = answer.error_for_status()?.json().await?;
    Ok(placed["id"].as_str().expect("an id").to_owned())
}

/// Places one order for each of `scenarios`, all at once.
pub async fn place_all(url: &str, scenarios: &[&str]) -> Vec<String> {
    let orders: Vec<Value> = scenarios.iter().map(|scenario| order(Some(scenario))).collect();
    let placed = futures::future::join_all(orders.iter().map(|order| place(url, order))).await;
    placed.into_iter().map(|id| id.expect("201")).collect()
}

pub async fn get(url: &str) -> (u16, Value) {
    read(http().get(url).send().await.expect("an answer")).await
}

pub async fn post(url: &str, body: Option<&Value>) -> (u16, Value) {
    let mut request = http().post(url);
    if let Some(body) = body {
        request = request.json(body);
    }
    read(request.send().await.expect("an answer")).await
}

async fn read(answer: reqwest::Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Asks `url` until `done` says so.
pub async fn until(url: &str, what: &str, done: impl Fn(u16, &Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let (status, body) = get(url).await;
        if done(status, &body) {
            return body;
        }
        if began.elapsed() > PATIENCE {
            let root: String = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
            let (_, waiting) = get(&format!("{root}/pipeline")).await;
            panic!("{what}: {status} {body}\nwhat waits where: {waiting}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn until_status(url: &str, id: &str, status: &str) -> Value {
    until(&format!("{url}/orders/{id}"), status, |_, order| order["status"] == status).await
}

/// All records of a topic, as `GET /events` tells them.
/// How many events are parked, in all services, as `pipeline` says.
pub fn parked(pipeline: &Value) -> u64 {
    let services = pipeline["services"].as_array().expect("services");
    services.iter().filter_map(|service| service["parked"]["rows"].as_u64()).sum()
}

pub async fn events(url: &str, topic: &str) -> Vec<Value> {
    let asked = http().get(format!("{url}/events?topic={topic}")).send();
    let answer = asked.await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("lines");
    assert_eq!(status, 200, "{text}");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// Every order that a search finds, page by page; `query` has an `&` behind each parameter.
pub async fn search_all(url: &str, query: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = get(&format!("{url}/orders/search?{query}limit=200{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        all.extend(page["orders"].as_array().expect("orders").iter().cloned());
        let Some(next) = page["nextCursor"].as_str() else { return all };
        cursor = format!("&cursor={next}");
    }
}

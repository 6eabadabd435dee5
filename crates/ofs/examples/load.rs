//! Load on a running server, and what it made of it: orders per second, time to the answer, time to
//! the final status. `cargo run --profile ci -p ofs --example load -- --help` says how.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

use anyhow::{Context as _, bail};
use clap::Parser;
use ofs::config::{self, Config, Flag, Inputs};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Places orders and measures what becomes of them.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// The server, `host:port`.
    #[arg(long, default_value = "127.0.0.1:8080")]
    server: String,
    /// Clients at once, each with one request under way.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Orders of all clients together.
    #[arg(long, default_value_t = 20_000)]
    orders: usize,
    /// File with the key to send; else OFS_API_KEY or OFS_API_KEY_FILE.
    #[arg(long)]
    api_key_file: Option<PathBuf>,
    /// Every client waits for its order's final status before it places the next one.
    #[arg(long)]
    follow: bool,
}

/// One connection, kept alive: enough HTTP to cost less than the server under test.
struct Client {
    stream: TcpStream,
    server: String,
    /// The header with the key, if there is one, and its line's end.
    key: String,
}

#[derive(Default)]
struct Times {
    answered: Vec<Duration>,
    finished: Vec<Duration>,
}

impl Client {
    async fn connect(server: &str, key: Option<&str>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server).await.context("reach the server")?;
        stream.set_nodelay(true)?;
        let key = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
        Ok(Self { stream, server: server.to_owned(), key })
    }

    async fn ask(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, Value)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             {}Content-Length: {}\r\n\r\n{body}",
            self.server,
            self.key,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let mut read = Vec::with_capacity(1024);
        loop {
            if let Some((status, from, length)) = head(&read)
                && read.len() >= from + length
            {
                return Ok((status, serde_json::from_slice(&read[from..from + length])?));
            }
            if self.stream.read_buf(&mut read).await? == 0 {
                bail!("the server closed the connection");
            }
        }
    }

    async fn place(&mut self) -> anyhow::Result<String> {
        let order = json!({"customerEmail": "load@example.com", "productType": "Phone",
            "country": "US", "paymentScenario": "success"});
        let (status, body) = self.ask("POST", "/orders", &order.to_string()).await?;
        match (status, body["id"].as_str()) {
            (201, Some(id)) => Ok(id.to_owned()),
            _ => bail!("POST /orders answered {status}: {body}"),
        }
    }

    async fn wait_for_end(&mut self, id: &str) -> anyhow::Result<()> {
        loop {
            let (_, order) = self.ask("GET", &format!("/orders/{id}"), "").await?;
            if order["status"] == "FulfillmentScheduled" {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Status, where the body begins, and how long it is; none before the head is complete.
fn head(read: &[u8]) -> Option<(u16, usize, usize)> {
    let end = read.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(read.get(..end)?).ok()?.to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    Some((status, end + 4, length.trim().parse().ok()?))
}

async fn client(args: Args, key: Option<String>, orders: usize) -> anyhow::Result<Times> {
    let mut client = Client::connect(&args.server, key.as_deref()).await?;
    let mut times = Times::default();
    for _ in 0..orders {
        let began = Instant::now();
        let id = client.place().await?;
        times.answered.push(began.elapsed());
        if args.follow {
            client.wait_for_end(&id).await?;
            times.finished.push(began.elapsed());
        }
    }
    Ok(times)
}

/// Waits until nothing is left to read, send or index anywhere.
async fn drain(server: &str, key: Option<&str>) -> anyhow::Result<()> {
    let mut client = Client::connect(server, key).await?;
    loop {
        let (status, view) = client.ask("GET", "/pipeline", "").await?;
        if status != 200 {
            bail!("GET /pipeline answered {status}: {view}");
        }
        let services = view["services"].as_array().context("services")?;
        let idle = services.iter().all(|service| {
            let read = service["topics"].as_array().is_some_and(|topics| {
                topics.iter().all(|topic| topic["lagEvents"].as_u64() == Some(0))
            });
            let empty = |part: &str| service[part]["rows"].as_u64() == Some(0);
            read && empty("outbox") && empty("index")
        });
        if idle {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    };
    if !times.is_empty() {
        println!("{what:<24} p50 {:8.2} ms   p99 {:8.2} ms", at(50), at(99));
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn per_second(orders: usize, time: Duration) -> f64 {
    orders as f64 / time.as_secs_f64()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let file = args.api_key_file.as_deref().map(config::secret).transpose()?;
    let flag = file.map(|value| Flag { key: "api-key", name: "--api-key-file", value });
    let inputs = Inputs::of_process(None, flag.into_iter().collect());
    let key = Config::load(&inputs)?.api_key;
    let each = args.orders.div_ceil(args.clients);
    let began = Instant::now();
    let clients: Vec<_> =
        (0..args.clients).map(|_| tokio::spawn(client(args.clone(), key.clone(), each))).collect();
    let mut all = Times::default();
    for client in clients {
        let times = client.await??;
        all.answered.extend(times.answered);
        all.finished.extend(times.finished);
    }
    let placed = began.elapsed();
    drain(&args.server, key.as_deref()).await?;
    let drained = began.elapsed();
    let orders = all.answered.len();
    println!("{orders} orders, {} clients", args.clients);
    println!("accepted                 {:8.0} orders/s", per_second(orders, placed));
    println!("final and searchable     {:8.0} orders/s", per_second(orders, drained));
    report("POST /orders answered", &mut all.answered);
    report("final status seen", &mut all.finished);
    Ok(())
}

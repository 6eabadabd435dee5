//! Clients that send half a request, or never read: they delay neither other clients nor shutdown.

use crate::server::{Server, order, place, until_status};
use crate::system::System;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// A connection that has sent this much and sends no more.
pub fn half(server: &Server, sent: &str) -> TcpStream {
    let address = server.url.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).expect("a connection");
    // The server may have closed it, which is fine.
    let _ = stream.write_all(sent.as_bytes());
    stream
}

pub const HALVES: [&str; 4] = [
    "",
    "GET /orders HTT",
    "GET /orders HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
     Content-Length: 100\r\n\r\n{\"customerEmail\":",
];

/// `ofs run` by a process that may open so many files and connections.
pub fn start_with_descriptors(system: &System, most: usize) -> Server {
    let ofs = system.command();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")]);
    command.arg(ofs.get_program()).args(["run", "--listen", "127.0.0.1:0"]);
    for (name, value) in ofs.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(ofs.get_current_dir().unwrap_or(system.dir()));
    Server::start(command).unwrap_or_else(|said| panic!("it ended: {said}"))
}

#[tokio::test]
async fn half_requests_keep_nobody_out() {
    let system = System::new();
    let server = start_with_descriptors(&system, 256);
    let halves: Vec<TcpStream> =
        (0..300).map(|nth| half(&server, HALVES[nth % HALVES.len()])).collect();
    let id = place(&server.url, &order(Some("success"))).await.expect("an order");
    until_status(&server.url, &id, "FulfillmentScheduled").await;
    drop(halves);
}

#[tokio::test]
async fn clients_that_send_or_read_no_further_do_not_hold_up_the_end() {
    let system = System::new();
    let mut server = system.start();
    let id = place(&server.url, &order(Some("success"))).await.expect("an order");
    until_status(&server.url, &id, "FulfillmentScheduled").await;
    let listener = "GET /events?from=earliest HTTP/1.1\r\nHost: localhost\r\n\
                    Accept: text/event-stream\r\n\r\n";
    let held: Vec<TcpStream> =
        HALVES.iter().chain([&listener]).map(|sent| half(&server, sent)).collect();
    let began = Instant::now();
    assert_eq!(server.stop(), Some(0), "{:#?}", server.said());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    drop(held);
}

#[test]
fn a_process_that_may_open_too_few_files_says_how_many() {
    let mut said = Vec::new();
    for limit in 8..24 {
        let system = System::new();
        let plain = system.command();
        let mut limited = Command::new("sh");
        limited.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        limited.current_dir(system.dir()).args(["-c", r#"ulimit -n "$1"; shift; exec "$@""#, "sh"]);
        limited.arg(limit.to_string()).arg(plain.get_program()).arg("migrate");
        let output = limited.output().expect("an end");
        if !output.status.success() {
            said.push(String::from_utf8_lossy(&output.stderr).into_owned());
        }
    }
    let named = |said: &&String| said.contains("this process may open");
    assert!(said.iter().filter(named).count() >= 3, "{said:#?}");
    let silent = |said: &&String| said.contains("unable to open database file") && !named(said);
    assert_eq!(said.iter().find(silent), None);
}

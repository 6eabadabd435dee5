//! The server: how many connections there may be, how long each may take, and how they end.
//!
//! A client that sends half a request, or never reads its answer, costs one connection for a while and
//! nothing else.

use super::socket::Socket;
use super::tls::Tls;
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::warn;

/// How long a client may take to send the head of a request, and to send the next one.
const HEAD: Duration = Duration::from_secs(15);
/// How long answers under way may take when the server ends.
const END: Duration = Duration::from_secs(5);
/// The most connections, where the system lets the process have more.
const MOST: u64 = 16_384;
/// Requests at once on one connection of HTTP/2.
const STREAMS: u32 = 100;
/// Requests of one connection that may be taken back before they were looked at; then it is closed.
const TAKEN_BACK: usize = 20;
/// Streams of one connection that may be refused, as those beyond [`STREAMS`] are; then it is closed.
const REFUSED: usize = 100;
/// Connections that wait to be accepted; of a burst of more, some are tried again a second later.
const WAITING: u32 = 1_024;
/// How long nothing is accepted after the system would not let us.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens at `address`.
///
/// # Errors
/// If the system does not let us.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that is started again does not wait for the connections of the one before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// Serves `router` on `listener`, by `tls` if there is one, until `stop`, then finishes what is under way,
/// for a short time.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    accept(listener, tls, router, &connections, &stop, &cut).await;
    connections.close();
    if tokio::time::timeout(END, connections.wait()).await.is_err() {
        cut.cancel();
        connections.wait().await;
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    connections: &TaskTracker,
    stop: &CancellationToken,
    cut: &CancellationToken,
) {
    let room = Arc::new(Semaphore::new(most()));
    let next = async || {
        // The semaphore is never closed; beyond it, clients wait for the system to hand them over.
        let permit = Arc::clone(&room).acquire_owned().await.ok();
        (permit, listener.accept().await)
    };
    while let Some((permit, accepted)) = stop.run_until_cancelled(next()).await {
        match accepted {
            Ok((stream, peer)) => {
                let acceptor = tls.as_ref().map(Tls::acceptor);
                let connection = connection(stream, peer, acceptor, router.clone(), stop.clone());
                let cut = cut.clone();
                connections.spawn(async move {
                    cut.run_until_cancelled(connection).await;
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, "cannot take a connection, will try again");
                stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
            }
        }
    }
}

/// Half of what the process may open; the other half is for files and for connections of its own.
fn most() -> usize {
    let open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from((open / 2).clamp(1, MOST)).unwrap_or(usize::MAX)
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
) {
    // An answer is written at once, and waits for nothing that may follow.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else { return talk(stream, peer, router, stop).await };
    let greeted = tokio::time::timeout(HEAD, acceptor.accept(stream));
    // Whoever does not speak TLS, or not in time, hears no more.
    if let Some(Ok(Ok(stream))) = stop.run_until_cancelled(greeted).await {
        talk(stream, peer, router, stop).await;
    }
}

async fn talk<S>(stream: S, peer: SocketAddr, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let asked = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&asked);
    let service = router.map_request(move |mut request: Request<Incoming>| {
        mark.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer);
        request
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD)
        .keep_alive_timeout(HEAD)
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(TAKEN_BACK)
        .max_local_error_reset_streams(REFUSED);
    let io = TokioIo::new(Socket::new(stream));
    let mut serving = pin!(builder.serve_connection(io, TowerToHyperService::new(service)));
    // Until it has seen enough to know the protocol, the library sets no time limit.
    let silent = async {
        tokio::time::sleep(HEAD).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // Whatever is wrong with a connection is the client's to see.
        _ = serving.as_mut() => return,
        () = silent => return,
        () = stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_burst_of_connections_is_not_put_off() {
        let listener = listen("127.0.0.1:0".parse().expect("an address")).expect("a listener");
        let address = listener.local_addr().expect("an address");
        // Nothing is accepted: beyond what may wait, the system lets them try again, a second later.
        let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(900));
        let waiting: Result<Vec<_>, _> = (0..500).map(|_| connect()).collect();
        assert_eq!(waiting.expect("connections").len(), 500);
    }
}

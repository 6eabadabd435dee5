//! The connection: what the HTTP library answers by itself (to a request that it cannot read, which
//! reaches no route) has no body; here it becomes the problem it is.
//!
//! Also lets a client that is still sending read its answer before the connection is closed.

use axum::http::StatusCode;
use ofs_runtime::context::Context as Ids;
use ofs_runtime::problem::{self, Kind, Problem};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long a connection that is closed may go on receiving what nobody reads: closed before that,
/// the system would tell the client of a reset instead of giving it the answer.
const LINGER: Duration = Duration::from_secs(1);

/// How long a client may take nothing of what is written to it.
const STALL: Duration = Duration::from_secs(30);

/// One connection.
pub(super) struct Socket<S> {
    stream: S,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// An answer that is written instead of one without words, and how much of it is.
    answer: Option<(Vec<u8>, usize)>,
    linger: Option<Pin<Box<Sleep>>>,
}

impl<S> Socket<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, stalled: None, answer: None, linger: None }
    }

    /// What came of a write; an error if the client has taken nothing for too long.
    fn progress<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The kind of problem that `head` stands for, if it is an answer of the HTTP library's own. Ours all
/// carry a request id.
fn wordless(head: &[u8]) -> Option<Kind> {
    let text = std::str::from_utf8(head.strip_suffix(b"\r\n\r\n")?).ok()?;
    let status = text.strip_prefix("HTTP/1.1 ").or_else(|| text.strip_prefix("HTTP/1.0 "))?;
    let kind = match status.get(..3)? {
        "400" => problem::MALFORMED_HTTP,
        "414" => problem::URI_TOO_LONG,
        "431" => problem::HEADERS_TOO_LARGE,
        _ => return None,
    };
    (!text.contains("x-request-id: ")).then_some(kind)
}

fn worded(kind: Kind) -> Vec<u8> {
    let id = Ids::new("http").new_id().to_string();
    let mut problem =
        Problem::new(kind, "the server cannot read this request; it reached no route");
    problem.request_id = Some(id.as_str().into());
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let reason = StatusCode::from_u16(kind.status).ok().and_then(|code| code.canonical_reason());
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         x-request-id: {id}\r\nconnection: close\r\n\r\n{body}",
        kind.status,
        reason.unwrap_or_default(),
        body.len()
    )
    .into_bytes()
}

impl<S: AsyncWrite + Unpin> Socket<S> {
    /// Writes what is left of the answer that stands for one without words.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((answer, written)) = &mut self.answer {
            let rest = answer.get(*written..).unwrap_or_default();
            if rest.is_empty() {
                self.answer = None;
                break;
            }
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => *written += more,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_answer(context))?;
        if let Some(kind) = wordless(bytes) {
            self.answer = Some((worded(kind), 0));
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.progress(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.poll_write(context, only);
        }
        ready!(self.poll_answer(context))?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.progress(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_answer(context))?;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        let linger = this.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let mut unread = [0; 16 * 1024];
        while linger.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut unread);
            // Whatever ends it, nothing more can be done for the client.
            let read = ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_librarys_own_answers_are_without_words() {
        let of = |head: &str| wordless(head.as_bytes()).map(|kind| kind.status);
        let head = "content-length: 0\r\nconnection: close\r\n\r\n";
        assert_eq!(of(&format!("HTTP/1.1 400 Bad Request\r\n{head}")), Some(400));
        assert_eq!(of(&format!("HTTP/1.1 431 Too Large\r\n{head}")), Some(431));
        assert_eq!(of(&format!("HTTP/1.1 200 OK\r\n{head}")), None);
        let ours = "HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\n\r\n";
        assert_eq!(of(ours), None);
        assert_eq!(of("HTTP/1.1 400 Bad Request\r\n"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn an_answer_with_words_is_a_whole_problem() {
        let text = String::from_utf8(worded(problem::HEADERS_TOO_LARGE)).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        let problem: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(problem["type"], "urn:ofs:problem:headers-too-large");
        assert!(head.contains(problem["requestId"].as_str().expect("an id")));
    }
}

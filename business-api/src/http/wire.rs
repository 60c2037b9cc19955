//! Errors that the HTTP library answers itself, before any route: a request line or a header it cannot take (400, 414, 431). It
//! writes a bare head and closes; here that head becomes problem details like every other error.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{edge, problem::Problem};

/// A connection whose bare error heads leave with a body.
#[derive(Debug)]
pub(crate) struct Dressed<S> {
    stream: S,
    /// What of a problem is still to be written; the last that is written on its connection.
    problem: Vec<u8>,
}

impl<S> Dressed<S> {
    pub const fn new(stream: S) -> Self {
        Self { stream, problem: Vec::new() }
    }
}

impl<S: AsyncWrite + Unpin> Dressed<S> {
    fn poll_problem(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.problem.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.problem))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.problem.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

/// The problem of a bare head. Every answer of ours carries a correlation id (see `edge`), the library's own carry none.
fn problem_of(head: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(head).ok().filter(|_| head.starts_with(b"HTTP/1.1 4") && head.len() < 512)?;
    let lower = text.to_ascii_lowercase();
    let bare = lower.ends_with("\r\n\r\n") && lower.contains("\r\ncontent-length: 0\r\n");
    if !bare || lower.contains("\r\nx-correlation-id:") {
        return None;
    }
    let status = StatusCode::from_bytes(head.get(9..12)?).ok()?;
    let correlation_id = uuid::Uuid::now_v7().to_string();
    let problem = match status {
        StatusCode::URI_TOO_LONG => Problem::new(status, "uri_too_long", "the path and query are too long"),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            Problem::new(status, "headers_too_large", "the headers are too many or too long")
        }
        _ => edge::bare(status),
    };
    let body = super::text::with(problem.body(), [("correlation_id", correlation_id.as_str().into())]).to_string();
    let reason = status.canonical_reason().unwrap_or("Error");
    let head = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         x-correlation-id: {correlation_id}\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n\
         connection: close\r\n\r\n",
        status.as_u16(),
        body.len(),
    );
    Some((head + &body).into_bytes())
}

impl<S: AsyncRead + Unpin> AsyncRead for Dressed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Dressed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_problem(cx))?;
        match problem_of(bytes) {
            None => Pin::new(&mut self.stream).poll_write(cx, bytes),
            Some(problem) => {
                // Taken whole; `poll_flush` and `poll_shutdown` see to it that it leaves.
                self.problem = problem;
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            [only] => self.poll_write(cx, only),
            parts => {
                ready!(self.poll_problem(cx))?;
                Pin::new(&mut self.stream).poll_write_vectored(cx, parts) // a head and a body: an answer of ours
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_problem(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_problem(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

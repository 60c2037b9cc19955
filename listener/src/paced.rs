//! A stream whose peer must go on: finish the head that it has begun, and take what it has asked for. The time between two requests is
//! the HTTP library's to watch.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use crate::http::HttpLimits;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    begun: AtomicUsize,
    ended: AtomicUsize,
    timed_out: AtomicBool,
}

impl Requests {
    /// A head is whole.
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Its answer is made.
    pub fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// The stream was cut. Where nothing of a request had come, the HTTP library takes that for an ordinary end.
    pub fn timed_out(&self) -> bool {
        self.timed_out.load(Ordering::Relaxed)
    }
}

/// A time that runs while something is waited for.
#[derive(Debug)]
struct Limit {
    after: Duration,
    running: Option<Pin<Box<Sleep>>>,
}

impl Limit {
    fn start(&mut self) {
        let after = self.after;
        self.running.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
    }

    /// Over, if it runs.
    fn poll_over(&mut self, requests: &Requests, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(running) = &mut self.running else { return Poll::Pending };
        ready!(running.as_mut().poll(cx));
        requests.timed_out.store(true, Ordering::Relaxed);
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }
}

/// The stream.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    stream: S,
    requests: Arc<Requests>,
    /// Heads that were whole when the last bytes were read.
    heads: usize,
    head: Limit,
    write: Limit,
}

impl<S> Paced<S> {
    pub fn new(stream: S, limits: HttpLimits, requests: Arc<Requests>) -> Self {
        let limit = |after| Limit { after, running: None };
        let (mut head, write) = (limit(limits.head), limit(limits.write));
        head.start();
        Self { stream, requests, heads: 0, head, write }
    }

    fn written(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.write.running = None;
            return written;
        }
        self.write.start();
        self.write.poll_over(&self.requests, cx).map(Err)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let begun = self.requests.begun.load(Ordering::Relaxed);
        if self.heads != begun {
            self.heads = begun;
            self.head.running = None;
        }
        let before = into.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, into) {
            Poll::Ready(read) => {
                // Bytes while no request is under way belong to the next head.
                if into.filled().len() > before && begun == self.requests.ended.load(Ordering::Relaxed) {
                    self.head.start();
                }
                Poll::Ready(read)
            }
            Poll::Pending => {
                let this = &mut *self;
                this.head.poll_over(&this.requests, cx).map(Err)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx).map_ok(|()| 0);
        self.written(cx, flushed).map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx).map_ok(|()| 0);
        self.written(cx, shut).map_ok(drop)
    }
}

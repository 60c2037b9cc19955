//! The bytes of a connection, plain or TLS. Everything rare and large is boxed: a task is as large as its largest state.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{Accept, server::TlsStream};

use crate::tls::Tls;

/// A socket.
pub(crate) enum Transport {
    Plain(TcpStream),
    /// TLS, and not a byte yet, or not its turn; `None` only while its handshake begins.
    Queued(Option<Box<(TcpStream, Tls)>>),
    Handshake(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    pub fn new(stream: TcpStream, tls: Option<&Tls>) -> Self {
        match tls {
            Some(tls) => Self::Queued(Some(Box::new((stream, tls.clone())))),
            None => Self::Plain(stream),
        }
    }

    /// A TLS handshake has to come first, and is not done.
    pub const fn in_handshake(&self) -> bool {
        matches!(self, Self::Queued(_) | Self::Handshake(_))
    }

    /// Goes on with a TLS handshake; at once ready where there is none. It begins when a first byte is there and `may_begin`.
    pub fn poll_handshake(&mut self, cx: &mut Context<'_>, may_begin: impl FnOnce() -> bool) -> Poll<io::Result<()>> {
        if let Self::Queued(queued) = self {
            if let Some(queued) = queued {
                // Looked at, not only asked for: readiness may be a false alarm.
                let mut byte = [0];
                if ready!(queued.0.poll_peek(cx, &mut ReadBuf::new(&mut byte)))? == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
            }
            if !may_begin() {
                return Poll::Pending;
            }
            let Some((stream, tls)) = queued.take().map(|queued| *queued) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            *self = Self::Handshake(Box::new(tls.0.accept(stream)));
        }
        if let Self::Handshake(accept) = self {
            let stream = ready!(Pin::new(&mut **accept).poll(cx))?;
            *self = Self::Tls(Box::new(stream));
        }
        Poll::Ready(Ok(()))
    }

    /// Reads into `buffer`. A read that does not fill it clears the readiness, which saves the read that would say "nothing".
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        match self {
            Self::Plain(stream) => ready!(Pin::new(stream).poll_read(cx, &mut buffer))?,
            Self::Tls(stream) => ready!(Pin::new(&mut **stream).poll_read(cx, &mut buffer))?,
            Self::Queued(_) | Self::Handshake(_) => return Poll::Pending,
        }
        Poll::Ready(Ok(buffer.filled().len()))
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
            Self::Queued(_) | Self::Handshake(_) => Poll::Pending,
        }
    }

    /// Hands encrypted bytes that a TLS session still holds to the socket.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) | Self::Queued(_) | Self::Handshake(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    /// Says that we send no more.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            Self::Queued(_) | Self::Handshake(_) => Poll::Ready(Ok(())),
        }
    }
}

//! Listening sockets and who may come in.

mod handshakes;
mod limits;

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use futures::FutureExt as _;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub(crate) use handshakes::{Handshakes, Turn};
pub(crate) use limits::{Admission, Permit, Rate};

use crate::{conn::Connection, shard::Shard, telemetry::Wire, tls::Tls};

/// Binds a listening socket that several shards share a port with. Keep-alive, user time-out and no-delay are set here:
/// accepted sockets inherit them, which saves five system calls per connection.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) fn listen(addr: SocketAddr, backlog: i32) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // A flow that a NAT forgot is noticed within two minutes, whether we speak or not.
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(Duration::from_secs(120)))?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Fails if somebody listens on `addr`, even one that would share it: a second process there would take half of the chargers.
///
/// # Errors
/// When the address is taken or cannot be bound.
pub(crate) fn probe(addr: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // What an earlier process left in TIME_WAIT is nobody's.
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())
}

/// Takes connections until `stop`, then what is left in the kernel's queue: a connection that the kernel has completed is
/// served or said goodbye to, never reset.
pub(crate) async fn run(
    shard: Rc<Shard>,
    listener: std::net::TcpListener,
    wire: Wire,
    tls: Option<Tls>,
    stop: CancellationToken,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listener could not be registered");
            return;
        }
    };
    let errors = shard.shared.accept_errors(wire);
    let mut rate = Rate::share(shard.shared.config.limits.accepts_per_second, shard.shared.inboxes.len());
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                errors.none();
                admit(&shard, stream, remote, wire, tls.as_ref());
                while !rate.take(shard.mono_ms()) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Err(error) => tokio::time::sleep(errors.pause(&error)).await,
        }
    }
    while let Some(Ok((stream, remote))) = listener.accept().now_or_never() {
        admit(&shard, stream, remote, wire, tls.as_ref());
    }
}

fn admit(shard: &Rc<Shard>, stream: TcpStream, remote: SocketAddr, wire: Wire, tls: Option<&Tls>) {
    let metrics = &shard.shared.metrics;
    match shard.shared.admission.enter(remote.ip()) {
        Ok(permit) => {
            if let Some(accepted) = metrics.accepted.get(wire as usize) {
                accepted.increment(1);
            }
            tokio::task::spawn_local(Connection::new(Rc::clone(shard), stream, remote, wire, tls, permit));
        }
        Err(refusal) => {
            metrics.refused(refusal);
            drop(stream);
        }
    }
}

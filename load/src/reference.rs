//! The yardstick: an echo server that does nothing but receive and send. One thread, epoll, level-triggered, no state per
//! connection but the socket. What a gateway costs is stated as a ratio to this, because microseconds differ by machine.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::epoll::{Epoll, Events};

const LISTENER: u64 = u64::MAX;
const READ_BUFFER: usize = 64 * 1024;
/// How often the server looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// An echo server ready to run.
#[derive(Debug)]
pub struct Reference {
    listener: TcpListener,
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

/// Stops a [`Reference`] from another thread.
#[derive(Clone, Debug)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The server ends within 200 ms.
    pub fn stop(&self) {
        self.0.store(true, Relaxed);
    }
}

impl Reference {
    /// Binds; port 0 takes a free one.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        // Ten thousand clients connect at once; std's backlog of 128 would make them wait for a second try.
        socket.listen(4096)?;
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, stop: Arc::default() })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A handle that ends [`Self::run`].
    #[must_use]
    pub fn stopper(&self) -> Stop {
        Stop(Arc::clone(&self.stop))
    }

    /// Serves on this thread until stopped.
    ///
    /// # Errors
    /// Epoll or the listener fails; a failing connection only ends itself.
    pub fn run(self) -> io::Result<()> {
        let _a_lower_limit_only_means_fewer_clients = crate::epoll::raise_file_limit();
        let epoll = Epoll::new()?;
        epoll.add(&self.listener, LISTENER)?;
        let mut peers: Vec<Option<TcpStream>> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        let mut buffer = vec![0; READ_BUFFER];
        let mut events = Events::with_capacity(1024);
        while !self.stop.load(Relaxed) {
            epoll.wait(&mut events, Some(LOOK_EVERY))?;
            for ready in events.iter() {
                if ready.key == LISTENER {
                    accept_all(&self.listener, &epoll, &mut peers, &mut free)?;
                    continue;
                }
                let slot = usize::try_from(ready.key).unwrap_or(usize::MAX);
                let Some(entry) = peers.get_mut(slot) else { continue };
                if let Some(peer) = entry
                    && echo(peer, &mut buffer).is_err()
                {
                    *entry = None;
                    free.push(slot);
                }
            }
        }
        Ok(())
    }
}

fn accept_all(
    listener: &TcpListener,
    epoll: &Epoll,
    peers: &mut Vec<Option<TcpStream>>,
    free: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        let peer = match listener.accept() {
            Ok((peer, _)) => peer,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => return Ok(()),
            // The peer that gave up while it waited is not the listener's fault.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => continue,
            Err(error) => return Err(error),
        };
        peer.set_nonblocking(true)?;
        peer.set_nodelay(true)?;
        let slot = free.pop().unwrap_or_else(|| {
            peers.push(None);
            peers.len() - 1
        });
        epoll.add(&peer, u64::try_from(slot).unwrap_or(LISTENER - 1))?;
        if let Some(entry) = peers.get_mut(slot) {
            *entry = Some(peer);
        }
    }
}

/// One read, one write. An answer that does not fit the socket ends the connection: a client that leaves 60-byte answers
/// lying until its window is full measures itself, not the server.
fn echo(peer: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    match peer.read(buffer) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(len) => peer.write_all(buffer.get(..len).unwrap_or_default()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
        Err(error) => Err(error),
    }
}

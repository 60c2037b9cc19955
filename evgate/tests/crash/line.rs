//! A TCP line that can be cut, held and slowed, and the weather on it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::AbortHandle,
};

/// A direction, seen from whoever opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Towards the platform (or the service).
    Up,
    /// Back.
    Down,
}

/// What all connections of a line suffer.
#[derive(Debug)]
pub struct Weather {
    /// (up, down): nothing passes while true. As on a dead network, what was sent is delivered once it is over.
    held: watch::Sender<(bool, bool)>,
    /// Each piece is late by so much, ms.
    late_ms: AtomicU64,
    cuts: watch::Sender<u64>,
}

impl Weather {
    pub fn fair() -> Arc<Self> {
        Arc::new(Self {
            held: watch::Sender::new((false, false)),
            late_ms: AtomicU64::new(0),
            cuts: watch::Sender::new(0),
        })
    }

    /// Holds what goes up, and what goes down.
    pub fn hold(&self, up: bool, down: bool) {
        self.held.send_replace((up, down));
    }

    /// Makes each piece late by so much; 0 ends it.
    pub fn slow(&self, late_ms: u64) {
        self.late_ms.store(late_ms, Relaxed);
    }

    /// Cuts every connection there is now.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Resolves at the next cut.
    pub fn next_cut(&self) -> impl Future<Output = ()> + use<> {
        let mut cuts = self.cuts.subscribe();
        async move {
            if cuts.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until a piece may pass.
    pub async fn pass(&self, way: Way) {
        let late = self.late_ms.load(Relaxed);
        if late > 0 {
            tokio::time::sleep(Duration::from_millis(late)).await;
        }
        let mut held = self.held.subscribe();
        let free = |held: &(bool, bool)| !(if way == Way::Up { held.0 } else { held.1 });
        // Err: the line is gone, and this connection with it.
        drop(held.wait_for(free).await);
    }
}

/// A line in front of one service. Ends when dropped, with its connections.
#[derive(Debug)]
pub struct Line {
    pub weather: Arc<Weather>,
    listener: AbortHandle,
}

impl Line {
    /// Listens at `at` and passes everything on to `target`.
    pub async fn open(at: SocketAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.unwrap_or_else(|error| panic!("{at}: {error}"));
        let weather = Weather::fair();
        let above = Arc::clone(&weather);
        let listening = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                tokio::spawn(carry(Arc::clone(&above), client, target));
            }
        });
        Self { weather, listener: listening.abort_handle() }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.listener.abort();
        self.weather.hold(false, false);
        self.weather.cut();
    }
}

async fn carry(weather: Arc<Weather>, client: TcpStream, target: SocketAddr) {
    let cut = weather.next_cut();
    let Ok(server) = TcpStream::connect(target).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a TCP option");
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pump(&weather, Way::Up, from_client, to_server) => {}
        () = pump(&weather, Way::Down, from_server, to_client) => {}
        () = cut => {}
    }
}

async fn pump(weather: &Weather, way: Way, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut bytes).await {
        weather.pass(way).await;
        if to.write_all(&bytes[..len]).await.is_err() {
            return;
        }
    }
}

//! The line between chargers and gateway. It understands what passes, so that a fault can strike at a chosen message, and it
//! notes which money messages the chargers saw answered.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};

use crate::{
    lies::Lie,
    line::{Way, Weather},
    spoken::{self, Money, Piece, Reader, Said},
};

/// A piece that is not whole passes after this long, so that slow and cut messages arrive as they were sent.
const PATIENCE: Duration = Duration::from_millis(2);
/// How long the gateway's side of a connection lives that its charger has lost.
const HALF_OPEN: Duration = Duration::from_secs(3);

/// A money message and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub charger: String,
    pub kind: Money,
    /// Trade number or transaction id; of a start once it was answered.
    pub session: String,
    pub id: String,
    pub times: Vec<i64>,
    /// Which of the line's connections it went up on: the same number is the same connection.
    pub connection: usize,
    pub asked_at: Instant,
    /// The charger got its answer.
    pub answered: bool,
    pub answered_at: Option<Instant>,
    /// The answer was "no".
    pub refused: bool,
}

/// A chosen message: the nth of its kind, on its way up, or its answer on its way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub kind: Money,
    pub way: Way,
    /// From 1.
    pub nth: u32,
}

/// What the line does to the chosen message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Lets it pass.
    Nothing,
    /// Swallows it and cuts the connection.
    Swallow,
    /// Lets some of its bytes pass and cuts the connection.
    Inside,
    /// Swallows it and cuts the charger's side only: the gateway does not hear of it.
    HalfOpen,
    /// Lets it pass after so many ms.
    Late(u64),
}

struct Armed {
    point: Point,
    left: u32,
    touch: Touch,
    reached: Option<oneshot::Sender<()>>,
}

/// Where a gateway listens.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub ykc: SocketAddr,
    pub ocpp: SocketAddr,
}

/// A connection whose charger is gone, and whose gateway has not heard of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Abandoned {
    /// What the gateway still said to money.
    pub answers: usize,
    /// When the gateway closed it.
    pub closed: Option<Instant>,
}

#[derive(Default)]
struct Book {
    exchanges: Vec<Exchange>,
    abandoned: Vec<Abandoned>,
    /// When chargers opened connections.
    calls: Vec<Instant>,
    armed: Vec<Armed>,
    lie: Option<Lie>,
}

struct Shared {
    weather: Arc<Weather>,
    /// Raised when all connections that there are lose their charger.
    abandon: watch::Sender<()>,
    /// Taken in turn, by those who take a connection.
    targets: Mutex<Vec<Target>>,
    book: Mutex<Book>,
    /// Masks of WebSocket frames become zeros, so that their text can be read in a trace of the gateway.
    readable: bool,
}

/// The line. Ends when dropped.
pub struct ChargerLine {
    /// Where chargers call.
    pub listens: Target,
    shared: Arc<Shared>,
    listeners: [AbortHandle; 2],
}

impl ChargerLine {
    pub async fn open(target: Target, readable: bool) -> Self {
        let shared = Arc::new(Shared {
            weather: Weather::fair(),
            abandon: watch::Sender::new(()),
            targets: Mutex::new(vec![target]),
            book: Mutex::default(),
            readable,
        });
        let (ykc, ocpp) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let listens = Target { ykc: ykc.local_addr().unwrap(), ocpp: ocpp.local_addr().unwrap() };
        let listeners = [(ykc, false), (ocpp, true)].map(|(listener, is_ocpp)| {
            let shared = Arc::clone(&shared);
            let listening = tokio::spawn(async move {
                loop {
                    let Ok((charger, _)) = listener.accept().await else { continue };
                    tokio::spawn(carry(Arc::clone(&shared), charger, is_ocpp));
                }
            });
            listening.abort_handle()
        });
        Self { listens, shared, listeners }
    }

    pub fn weather(&self) -> &Weather {
        &self.shared.weather
    }

    /// New connections go there from now on.
    pub fn lead_to(&self, target: Target) {
        self.spread_over(&[target]);
    }

    /// New connections go to these in turn, as far as they take them: a load balancer.
    pub fn spread_over(&self, targets: &[Target]) {
        *self.shared.targets.lock().unwrap() = targets.to_vec();
    }

    /// Does `touch` to the chosen message; the receiver hears when it has happened.
    pub fn arm(&self, point: Point, touch: Touch) -> oneshot::Receiver<()> {
        let (reached, when_reached) = oneshot::channel();
        let armed = Armed { point, left: point.nth, touch, reached: Some(reached) };
        self.shared.book.lock().unwrap().armed.push(armed);
        when_reached
    }

    /// Lies once to a charger, to see whether the comparison finds out.
    pub fn lie(&self, lie: Lie) {
        self.shared.book.lock().unwrap().lie = Some(lie);
    }

    /// The lie has been told.
    pub fn lied(&self) -> bool {
        self.shared.book.lock().unwrap().lie.is_none()
    }

    /// Every connection that there is loses its charger, and its gateway does not hear of it.
    pub fn abandon(&self) {
        self.shared.abandon.send_replace(());
    }

    /// What became of the connections that were abandoned.
    pub fn abandoned(&self) -> Vec<Abandoned> {
        self.shared.book.lock().unwrap().abandoned.clone()
    }

    /// When chargers opened connections.
    pub fn calls(&self) -> Vec<Instant> {
        self.shared.book.lock().unwrap().calls.clone()
    }

    /// Every money message so far.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.book.lock().unwrap().exchanges.clone()
    }
}

impl Drop for ChargerLine {
    fn drop(&mut self) {
        self.listeners.iter().for_each(AbortHandle::abort);
        self.shared.weather.hold(false, false);
        self.shared.weather.cut();
    }
}

/// How one direction of a connection ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    HalfOpen,
    Abandoned,
}

/// One connection, as both directions know it.
struct Connection {
    shared: Arc<Shared>,
    number: usize,
    known: Mutex<Known>,
    /// What a lie says to the charger.
    to_charger: mpsc::Sender<Vec<u8>>,
}

#[derive(Default)]
struct Known {
    charger: String,
    /// Unanswered money: what its answer names, and its place among the exchanges.
    open: HashMap<String, usize>,
}

/// A connection to the gateway whose turn it is, or to the next one that takes it; and its number.
async fn connect(shared: &Shared, is_ocpp: bool) -> Option<(TcpStream, usize)> {
    let (targets, turn) = {
        let targets = shared.targets.lock().unwrap().clone();
        (targets, shared.book.lock().unwrap().calls.len())
    };
    for nth in 0..targets.len() {
        let target = targets[(turn + nth) % targets.len()];
        let to = if is_ocpp { target.ocpp } else { target.ykc };
        if let Ok(gateway) = TcpStream::connect(to).await {
            let mut book = shared.book.lock().unwrap();
            book.calls.push(Instant::now());
            return Some((gateway, book.calls.len()));
        }
    }
    None
}

async fn carry(shared: Arc<Shared>, charger: TcpStream, is_ocpp: bool) {
    let cut = shared.weather.next_cut();
    let mut abandon = shared.abandon.subscribe();
    let Some((gateway, number)) = connect(&shared, is_ocpp).await else { return };
    for stream in [&charger, &gateway] {
        stream.set_nodelay(true).expect("a TCP option");
    }
    let ((mut from_charger, mut to_charger), (mut from_gateway, mut to_gateway)) =
        (charger.into_split(), gateway.into_split());
    let (lies, mut said) = mpsc::channel(1);
    let connection = Connection { shared, number, known: Mutex::default(), to_charger: lies };
    let reader = || if is_ocpp { Reader::Http } else { Reader::Ykc };
    let (_silent, mut nothing) = mpsc::channel(1);
    let end = tokio::select! {
        end = connection.pump(Way::Up, reader(), &mut from_charger, &mut to_gateway, &mut nothing) => end,
        end = connection.pump(Way::Down, reader(), &mut from_gateway, &mut to_charger, &mut said) => end,
        () = cut => End::Closed,
        Ok(()) = abandon.changed() => End::Abandoned,
    };
    match end {
        End::Closed => {}
        End::HalfOpen => {
            drop((from_charger, to_charger));
            tokio::time::sleep(HALF_OPEN).await;
        }
        End::Abandoned => {
            drop((from_charger, to_charger));
            connection.hear(if is_ocpp { Reader::Ws } else { Reader::Ykc }, &mut from_gateway).await;
        }
    }
}

impl Connection {
    async fn pump(
        &self,
        way: Way,
        mut reader: Reader,
        from: &mut OwnedReadHalf,
        to: &mut OwnedWriteHalf,
        said: &mut mpsc::Receiver<Vec<u8>>,
    ) -> End {
        let (mut bytes, mut passed) = (BytesMut::new(), 0);
        loop {
            let next = reader.next(&bytes, &mut self.known.lock().unwrap().charger);
            if let Piece::Whole(len, what) = next {
                let mut piece = bytes.split_to(len);
                let early = passed.min(len);
                passed -= early;
                if self.shared.readable && matches!(reader, Reader::Ws) {
                    unmask(&mut piece);
                }
                piece.advance(early);
                match self.one(way, &what, &mut piece, to).await {
                    Ok(()) => continue,
                    Err(end) => return end,
                }
            }
            tokio::select! {
                read = from.read_buf(&mut bytes) => if !matches!(read, Ok(1..)) {
                    // Whatever was begun arrives as far as it was sent.
                    let _gone_as_well = to.write_all(&bytes[passed..]).await;
                    return End::Closed;
                },
                () = tokio::time::sleep(PATIENCE), if bytes.len() > passed && !self.shared.readable => {
                    self.shared.weather.pass(way).await;
                    if to.write_all(&bytes[passed..]).await.is_err() {
                        return End::Closed;
                    }
                    passed = bytes.len();
                }
                Some(lie) = said.recv() => if to.write_all(&lie).await.is_err() {
                    return End::Closed;
                },
            }
        }
    }

    /// Hears what the gateway says to a charger that is gone.
    async fn hear(&self, mut reader: Reader, from: &mut OwnedReadHalf) {
        let at = {
            let mut book = self.shared.book.lock().unwrap();
            book.abandoned.push(Abandoned::default());
            book.abandoned.len() - 1
        };
        let (mut bytes, mut nobody) = (BytesMut::new(), String::new());
        while let Ok(1..) = from.read_buf(&mut bytes).await {
            while let Piece::Whole(len, what) = reader.next(&bytes, &mut nobody) {
                bytes.advance(len);
                if matches!(&what, Said::Answered { id, .. } if self.known.lock().unwrap().open.contains_key(id)) {
                    self.shared.book.lock().unwrap().abandoned[at].answers += 1;
                }
            }
        }
        self.shared.book.lock().unwrap().abandoned[at].closed = Some(Instant::now());
    }

    /// One message passes, or does not.
    async fn one(&self, way: Way, what: &Said, piece: &mut BytesMut, to: &mut OwnedWriteHalf) -> Result<(), End> {
        let (exchange, touch, reached) = self.note(way, what);
        let _heard_when_done = Reached(reached);
        if let Some(lie) = self.lie_about(what) {
            self.tell(lie, what, piece);
        }
        self.shared.weather.pass(way).await;
        match touch {
            Touch::Nothing => {}
            Touch::Late(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Touch::Swallow => return Err(End::Closed),
            Touch::HalfOpen => return Err(End::HalfOpen),
            Touch::Inside => {
                let _gone_as_well = to.write_all(&piece[..piece.len() / 2]).await;
                return Err(End::Closed);
            }
        }
        to.write_all(piece).await.map_err(|_| End::Closed)?;
        if let (Some(at), Said::Answered { refused, session, .. }) = (exchange, what) {
            let mut book = self.shared.book.lock().unwrap();
            let exchange = &mut book.exchanges[at];
            (exchange.answered, exchange.refused) = (true, *refused);
            exchange.answered_at = Some(Instant::now());
            if let (Money::Start, Some(session)) = (exchange.kind, session) {
                exchange.session.clone_from(session);
            }
        }
        Ok(())
    }

    /// Notes money, and finds out whether it is a chosen message.
    fn note(&self, way: Way, what: &Said) -> (Option<usize>, Touch, Option<oneshot::Sender<()>>) {
        let mut known = self.known.lock().unwrap();
        let mut book = self.shared.book.lock().unwrap();
        let (exchange, kind) = match (way, what) {
            (Way::Up, Said::Asked { kind, session, id, times }) => {
                book.exchanges.push(Exchange {
                    charger: known.charger.clone(),
                    kind: *kind,
                    session: session.clone(),
                    id: id.clone(),
                    times: times.clone(),
                    connection: self.number,
                    asked_at: Instant::now(),
                    answered: false,
                    answered_at: None,
                    refused: false,
                });
                known.open.insert(id.clone(), book.exchanges.len() - 1);
                (None, *kind)
            }
            (Way::Down, Said::Answered { id, .. }) => {
                let Some(&at) = known.open.get(id) else { return (None, Touch::Nothing, None) };
                (Some(at), book.exchanges[at].kind)
            }
            _ => return (None, Touch::Nothing, None),
        };
        for armed in book.armed.iter_mut().filter(|armed| armed.point.kind == kind && armed.point.way == way) {
            armed.left = armed.left.saturating_sub(1);
            if armed.left == 0
                && let Some(reached) = armed.reached.take()
            {
                return (exchange, armed.touch, Some(reached));
            }
        }
        (exchange, Touch::Nothing, None)
    }

    /// Changes what passes, and what the charger hears of it.
    fn tell(&self, lie: Lie, what: &Said, piece: &mut BytesMut) {
        let told = lie.tell(piece);
        *piece = BytesMut::from(told.passes.as_slice());
        if let (Some(answer), Said::Asked { id, .. }) = (told.answer, what) {
            let at = self.known.lock().unwrap().open[id];
            self.shared.book.lock().unwrap().exchanges[at].answered = true;
            self.to_charger.try_send(answer).expect("one lie is told");
        }
    }

    fn lie_about(&self, what: &Said) -> Option<Lie> {
        let Said::Asked { kind, .. } = what else { return None };
        let mut book = self.shared.book.lock().unwrap();
        if book.lie.as_ref().is_some_and(|lie| lie.is_about(*kind)) { book.lie.take() } else { None }
    }
}

/// Tells when the chosen message has passed, or was stopped on its way.
struct Reached(Option<oneshot::Sender<()>>);

impl Drop for Reached {
    fn drop(&mut self) {
        if let Some(reached) = self.0.take() {
            // Nobody waits: the trial is over.
            let _ = reached.send(());
        }
    }
}

fn unmask(piece: &mut BytesMut) {
    let Some(frame) = spoken::frame(piece) else { return };
    if let Some(mask) = frame.mask {
        piece[mask..mask + 4].fill(0);
        piece[frame.head..frame.head + frame.payload.len()].copy_from_slice(&frame.payload);
    }
}

//! One client thread: many connections on one epoll, a shared read buffer, and for each connection nothing but its socket and a
//! few words. Ten thousand of them cost a few megabytes.

mod bytes;

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::dialect::{Dialect, Login};
use crate::epoll::{Epoll, Events};
use crate::plan::{Pace, Plan};

const READ_BUFFER: usize = 64 * 1024;
/// Connections whose login may be on its way at once.
const LOGINS_AT_ONCE: usize = 256;
/// A login not done by then has failed.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes a connection may owe its socket before an open loop counts messages as not sent.
const UNSENT_MOST: usize = 64 * 1024;

/// What one thread saw.
#[derive(Debug)]
pub(crate) struct Tally {
    pub logged_in: u64,
    pub messages: u64,
    pub answers: u64,
    pub errors: u64,
    pub disconnects: u64,
    pub unanswered: u64,
    pub not_sent: u64,
    pub latency_us: Histogram<u64>,
}

/// When the measurement is: the same instants for all threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub traffic_from: Instant,
    pub from: Instant,
    pub to: Instant,
}

struct Conn {
    stream: TcpStream,
    state: State,
    /// An unfinished message; no allocation while there is none.
    tail: Vec<u8>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    /// When the awaited answers' requests were due.
    waiting: VecDeque<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Ready,
    Dead,
}

/// One thread's share of a run.
pub(crate) struct Engine {
    plan: Plan,
    dialect: Dialect,
    share: Range<usize>,
    epoll: Epoll,
    events: Events,
    buffer: Vec<u8>,
    conns: Vec<Conn>,
    scratch: Vec<u8>,
    outgoing: Vec<u8>,
    cuts: Vec<usize>,
    greeting: usize,
    tally: Tally,
    window: Option<Window>,
}

impl Engine {
    /// `share`: which of the plan's connections are this thread's.
    pub(crate) fn new(plan: Plan, dialect: Dialect, share: Range<usize>) -> io::Result<Self> {
        // Three digits from 1 us to 100 s.
        let latency_us = Histogram::new_with_bounds(1, 100_000_000, 3).map_err(io::Error::other)?;
        Ok(Self {
            plan,
            dialect,
            conns: Vec::with_capacity(share.len()),
            share,
            epoll: Epoll::new()?,
            events: Events::with_capacity(1024),
            buffer: vec![0; READ_BUFFER],
            scratch: Vec::new(),
            outgoing: Vec::new(),
            cuts: Vec::new(),
            greeting: 0,
            tally: Tally {
                logged_in: 0,
                messages: 0,
                answers: 0,
                errors: 0,
                disconnects: 0,
                unanswered: 0,
                not_sent: 0,
                latency_us,
            },
            window: None,
        })
    }

    /// Connects and logs in all connections of the share, paced. A failed one is an error, not the end.
    pub(crate) fn log_in(&mut self) -> io::Result<u64> {
        let threads = u32::try_from(self.plan.threads).unwrap_or(1);
        let gap = Duration::from_secs(1) * threads / self.plan.logins_per_second.max(1);
        let mut due = Instant::now();
        let mut last_progress = Instant::now();
        let mut opened = 0;
        while opened < self.share.len() || self.greeting > 0 {
            let now = Instant::now();
            while opened < self.share.len() && self.greeting < LOGINS_AT_ONCE && due <= now {
                due += gap;
                opened += 1;
                self.open()?;
            }
            let greeting = self.greeting;
            let pause = due.saturating_duration_since(now).min(Duration::from_millis(50));
            self.turn(if opened < self.share.len() { pause } else { Duration::from_millis(50) })?;
            if self.greeting != greeting || opened < self.share.len() {
                last_progress = Instant::now();
            } else if last_progress.elapsed() > LOGIN_TIMEOUT {
                break;
            }
        }
        for slot in 0..self.conns.len() {
            if self.conns.get(slot).is_some_and(|conn| conn.state == State::Greeting) {
                self.tally.errors += 1;
                self.bury(slot);
            }
        }
        Ok(self.tally.logged_in)
    }

    /// Runs the traffic of the window and waits for the last answers. The connections stay open until the engine is dropped.
    pub(crate) fn run(&mut self, window: Window) -> io::Result<()> {
        self.window = Some(window);
        while Instant::now() < window.traffic_from {
            let left = window.traffic_from.saturating_duration_since(Instant::now());
            self.turn(left.min(Duration::from_millis(50)))?;
        }
        match self.plan.pace {
            Pace::Closed => self.closed_loop(window)?,
            Pace::Open { per_second } => self.open_loop(window, per_second)?,
        }
        let last = Instant::now() + self.plan.answer_timeout;
        while Instant::now() < last && self.conns.iter().any(|conn| !conn.waiting.is_empty()) {
            self.turn(Duration::from_millis(50))?;
        }
        self.tally.unanswered += self.conns.iter().map(|conn| conn.waiting.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Reads what comes (pings, above all) for a while, without sending anything of its own.
    pub(crate) fn idle(&mut self, span: Duration) -> io::Result<()> {
        let until = Instant::now() + span;
        while Instant::now() < until {
            self.turn(until.saturating_duration_since(Instant::now()).min(Duration::from_millis(50)))?;
        }
        Ok(())
    }

    /// What was seen so far.
    pub(crate) fn into_tally(self) -> Tally {
        for conn in &self.conns {
            // A reset leaves no TIME_WAIT behind: ten thousand of them would eat the ports of the next run.
            let _only_a_courtesy = socket2::SockRef::from(&conn.stream).set_linger(Some(Duration::ZERO));
        }
        self.tally
    }

    fn closed_loop(&mut self, window: Window) -> io::Result<()> {
        for slot in 0..self.conns.len() {
            self.cycle(slot, Instant::now());
        }
        while Instant::now() < window.to {
            self.turn(Duration::from_millis(50))?;
        }
        Ok(())
    }

    fn open_loop(&mut self, window: Window, per_second: u64) -> io::Result<()> {
        let per_cycle = self.plan.mix.messages_per_cycle();
        let threads = self.plan.threads as u64;
        let gap_ns = (1_000_000_000 * per_cycle * threads / per_second).max(1);
        let (mut due, mut slot) = (window.traffic_from, 0);
        while due < window.to && !self.conns.is_empty() {
            let now = Instant::now();
            while due <= now && due < window.to {
                self.cycle(slot, due);
                slot = (slot + 1) % self.conns.len();
                due += Duration::from_nanos(gap_ns);
            }
            self.turn(due.saturating_duration_since(Instant::now()))?;
        }
        Ok(())
    }

    /// Connects one and says hello. Only a lack of files ends the run.
    fn open(&mut self) -> io::Result<()> {
        let slot = self.conns.len();
        let stream = match TcpStream::connect_timeout(&self.plan.target, Duration::from_secs(10)) {
            Ok(stream) => stream,
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => return Err(error),
            Err(_) => {
                self.tally.errors += 1;
                return Ok(());
            }
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        self.epoll.add(&stream, slot as u64)?;
        self.conns.push(Conn {
            stream,
            state: State::Greeting,
            tail: Vec::new(),
            unsent: Vec::new(),
            waiting: VecDeque::new(),
        });
        self.greeting += 1;
        let index = self.index(slot);
        let mut hello = std::mem::take(&mut self.scratch);
        hello.clear();
        if self.dialect.hello(index, &mut hello) == Login::Ready {
            self.ready(slot);
        } else {
            self.send(slot, &hello);
        }
        self.scratch = hello;
        Ok(())
    }

    /// Sends one cycle, each message in a write of its own.
    fn cycle(&mut self, slot: usize, due: Instant) {
        let index = self.index(slot);
        let messages = self.plan.mix.messages_per_cycle();
        let sendable =
            self.conns.get(slot).is_some_and(|conn| conn.state == State::Ready && conn.unsent.len() < UNSENT_MOST);
        if !sendable {
            self.tally.not_sent += messages;
            return;
        }
        let (mut bytes, mut cuts) = (std::mem::take(&mut self.outgoing), std::mem::take(&mut self.cuts));
        bytes.clear();
        cuts.clear();
        self.dialect.cycle(index, &mut bytes, &mut cuts);
        let mut from = 0;
        for &to in &cuts {
            self.send(slot, bytes.get(from..to).unwrap_or_default());
            from = to;
        }
        (self.outgoing, self.cuts) = (bytes, cuts);
        if let Some(conn) = self.conns.get_mut(slot).filter(|conn| conn.state == State::Ready) {
            (0..self.plan.mix.answers_per_cycle()).for_each(|_| conn.waiting.push_back(due));
        }
        let now = Instant::now();
        if self.window.is_some_and(|window| now >= window.from && now < window.to) {
            self.tally.messages += messages;
        }
    }

    /// The connection's number in the whole plan.
    fn index(&self, slot: usize) -> usize {
        self.share.start + slot
    }
}

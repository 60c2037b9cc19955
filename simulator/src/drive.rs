//! One task per charger: connects, moves bytes, keeps time, reconnects with backoff. It decides nothing about the protocol.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::BytesMut;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::charger::{Charger, Control, Hangup, Outbox, World};
use crate::fault::{Faults, WriteFault};
use crate::fleet::FleetEvent;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait between two tries, in units of the first wait.
const BACKOFF_MOST: u32 = 20;
const READ_BUFFER: usize = 2048;

/// How far the fleet is in its life, as told to all chargers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Run,
    /// Finish what runs, get it confirmed, then leave.
    WindDown,
    /// Leave now.
    Abort,
}

/// Everything the task of one charger owns.
pub(crate) struct Driver<C> {
    pub charger: C,
    pub world: Arc<World>,
    pub faults: Faults,
    pub rng: StdRng,
    pub phase: watch::Receiver<Phase>,
    pub controls: mpsc::Receiver<Control>,
    /// Told whenever the charger may have become done.
    pub done: watch::Sender<bool>,
    pub out: Outbox,
    pub connect_at: Instant,
    pub winding_down: bool,
}

/// What a wait ended with.
enum Woken {
    Phase,
    Control(Option<Control>),
    Time,
    Read(std::io::Result<usize>),
}

impl<C: Charger> Driver<C> {
    pub(crate) async fn run(mut self) {
        let mut tries = 0;
        while let Some(stream) = self.connect(&mut tries).await {
            let world = Arc::clone(&self.world);
            world.counters.online.fetch_add(1, Relaxed);
            world.tell(FleetEvent::Online { charger: world.id() });
            let before = Instant::now();
            let end = self.talk(stream).await;
            world.counters.online.fetch_sub(1, Relaxed);
            world.tell(FleetEvent::Offline { charger: world.id() });
            self.out.clear();
            self.charger.disconnected(world.now(Instant::now()));
            match end {
                Talk::Leave => break,
                // A connection that lived is a fresh start for the backoff; one that was refused is not.
                Talk::Lost if before.elapsed() > Duration::from_secs(5) => tries = 0,
                Talk::Lost | Talk::Refused => {}
                Talk::Away(for_ms) => self.connect_at = Instant::now() + Duration::from_millis(for_ms),
            }
            world.counters.reconnects.fetch_add(1, Relaxed);
            if !matches!(end, Talk::Away(_)) {
                self.connect_at = Instant::now() + self.backoff(&mut tries, matches!(end, Talk::Refused));
            }
        }
        self.done.send_replace(self.charger.is_done());
    }

    /// Waits for the time to connect and connects; ticks the charger meanwhile. None: leave.
    async fn connect(&mut self, tries: &mut u32) -> Option<TcpStream> {
        loop {
            if self.must_leave() {
                return None;
            }
            if Instant::now() < self.connect_at {
                let wake = self.charger.wake_at().min(self.connect_at);
                let woken = tokio::select! {
                    biased;
                    changed = self.phase.changed() => { changed.ok()?; Woken::Phase }
                    control = self.controls.recv() => Woken::Control(control),
                    () = sleep_until(wake) => Woken::Time,
                };
                self.offline(woken)?;
                continue;
            }
            // On loopback and LANs this is microseconds, so that the charger may stand still meanwhile.
            match timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.world.config.address)).await {
                Ok(Ok(stream)) => {
                    // Without it the second frame of a burst waits for the acknowledgement of the first.
                    let _refused_is_only_slower = stream.set_nodelay(true);
                    return Some(stream);
                }
                Ok(Err(_)) | Err(_) => {
                    self.world.counters.connect_failures.fetch_add(1, Relaxed);
                    self.connect_at = Instant::now() + self.backoff(tries, false);
                }
            }
        }
    }

    /// What happens to a charger without a line: time passes, people act, nothing is sent.
    fn offline(&mut self, woken: Woken) -> Option<()> {
        let now = self.world.now(Instant::now());
        match woken {
            Woken::Phase => self.enter_phase(),
            Woken::Control(control) => self.charger.control(now, &control?, &mut self.out),
            Woken::Time | Woken::Read(_) => {}
        }
        let _no_line_to_hang_up = self.charger.tick(now, &mut self.out);
        self.out.clear();
        self.done.send_replace(self.charger.is_done());
        Some(())
    }

    async fn talk(&mut self, mut stream: TcpStream) -> Talk {
        let mut input = BytesMut::new();
        let now = self.world.now(Instant::now());
        self.charger.connected(now, &mut self.out);
        if self.flush(&mut stream).await.is_err() {
            return Talk::Lost;
        }
        loop {
            if self.must_leave() {
                let _peer_may_be_gone = stream.shutdown().await;
                return Talk::Leave;
            }
            input.reserve(READ_BUFFER);
            let woken = tokio::select! {
                biased;
                changed = self.phase.changed() => match changed { Ok(()) => Woken::Phase, Err(_) => return Talk::Leave },
                control = self.controls.recv() => Woken::Control(control),
                read = stream.read_buf(&mut input) => Woken::Read(read),
                () = sleep_until(self.charger.wake_at()) => Woken::Time,
            };
            let now = self.world.now(Instant::now());
            let step = match woken {
                Woken::Phase => {
                    self.enter_phase();
                    Ok(())
                }
                Woken::Control(None) => return Talk::Leave,
                Woken::Control(Some(Control::Disconnect { for_ms })) => return Talk::Away(for_ms),
                Woken::Control(Some(control)) => {
                    self.charger.control(now, &control, &mut self.out);
                    Ok(())
                }
                Woken::Read(Ok(0) | Err(_)) => return Talk::Lost,
                Woken::Read(Ok(_)) => self.charger.received(now, &mut input, &mut self.out),
                Woken::Time => Ok(()),
            };
            let step = step.and_then(|()| self.charger.tick(now, &mut self.out));
            let flushed = self.flush(&mut stream).await;
            self.done.send_replace(self.charger.is_done());
            match (step, flushed) {
                (Err(Hangup::Refused), _) => return Talk::Refused,
                (Err(_), _) | (_, Err(_)) => return Talk::Lost,
                (Ok(()), Ok(())) => {}
            }
        }
    }

    fn enter_phase(&mut self) {
        if *self.phase.borrow_and_update() >= Phase::WindDown && !self.winding_down {
            self.winding_down = true;
            let now = self.world.now(Instant::now());
            self.charger.wind_down(now, &mut self.out);
        }
    }

    fn must_leave(&self) -> bool {
        *self.phase.borrow() == Phase::Abort || (self.winding_down && self.charger.is_settled())
    }

    /// Sends what lies in the outbox, with this charger's bad luck.
    async fn flush(&mut self, stream: &mut TcpStream) -> Result<(), LineLost> {
        while let Some(item) = self.out.pop() {
            let fault = if item.message { self.faults.next_write() } else { WriteFault::None };
            if fault != WriteFault::None {
                self.world.counters.faults.fetch_add(1, Relaxed);
            }
            let (head, tail) = item.bytes.split_at(match fault {
                WriteFault::Split | WriteFault::DropMidMessage => self.faults.cut(item.bytes.len()),
                WriteFault::None | WriteFault::BrokenCopy | WriteFault::Garbage => item.bytes.len(),
            });
            match fault {
                WriteFault::BrokenCopy => write(stream, &self.charger.spoil(&item.bytes)).await?,
                WriteFault::Garbage if self.charger.takes_garbage() => write(stream, &self.faults.garbage()).await?,
                _ => {}
            }
            write(stream, head).await?;
            match fault {
                WriteFault::DropMidMessage => return Err(LineLost),
                WriteFault::Split => {
                    sleep(Duration::from_millis(self.rng.random_range(1..=30))).await;
                    write(stream, tail).await?;
                }
                _ => {}
            }
            self.world.counters.messages_sent.fetch_add(u64::from(item.message), Relaxed);
        }
        Ok(())
    }

    /// Wait before the next try: doubles, with jitter, so that a fleet does not come back in one instant.
    fn backoff(&mut self, tries: &mut u32, refused: bool) -> Duration {
        let first = self.world.paced(if refused { 30_000 } else { 1_000 }, self.world.floors.reconnect_ms);
        let wait = first * 2_u32.saturating_pow(*tries).min(BACKOFF_MOST);
        *tries = tries.saturating_add(1);
        let most = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX).max(2);
        Duration::from_micros(self.rng.random_range(most / 2..=most))
    }
}

enum Talk {
    Leave,
    Lost,
    Refused,
    Away(u64),
}

/// The line broke (or a fault broke it); the charger reconnects.
struct LineLost;

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), LineLost> {
    match timeout(WRITE_TIMEOUT, stream.write_all(bytes)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(LineLost),
    }
}

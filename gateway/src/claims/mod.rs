//! Claims on `ev.session.v1`, ours and other processes', in the order of the log: the one that stands last holds the charger.
//! A later one of another process fences our session; ours, when the log did not take it, is said again. The claims of a process
//! that died are given up by another one ([`lost`]), which knows of it because its signs of life stand there as well ([`alive`]).

mod alive;
mod lost;

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use events::{
    log::{Ack, AckSink, LogError, Position, Record, Start},
    prost::Message as _,
    proto::{Envelope, envelope::Body},
    topic::Topic,
};
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

pub(crate) use self::alive::Alive;
use self::lost::{Gone, Whose};
use crate::{
    publish::Publisher,
    session::CloseReason,
    shard::{Shared, inbox::News},
    status::Part,
};

const BATCH: usize = 1_000;
const WAIT: Duration = Duration::from_millis(500);
/// Claims this old only matter for the order of epochs, which the clocks keep as well, if they are not further apart.
const LOOK_BACK_MS: i64 = 30 * 60 * 1000;

/// A number that no other process has.
pub(crate) fn process_id() -> u64 {
    // The standard library seeds each of these from the system's source of randomness.
    RandomState::new().hash_one(std::process::id())
}

/// Runs until `stop`. `read_once` hears when the claims have been read to their end for the first time.
pub(crate) async fn follow_claims(
    shared: Arc<Shared>,
    part: Arc<Part>,
    read_once: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let publisher = Publisher::new(Arc::clone(&shared.log), Arc::new(Nobody), &shared.config.node);
    let mut follower = Follower {
        read_ms: shared.epochs.now_ms(),
        shared,
        part,
        read_once,
        publisher,
        read: HashMap::new(),
        twin: false,
        said_again: Instant::now(),
        unsaid_ends: Vec::new(),
        settling: None,
        stop: stop.clone(),
    };
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = follower.read() => outcome,
        };
        if let Err(error) = outcome {
            follower.part.degrade(&error.to_string());
            tracing::warn!(%error, "the claims of other nodes cannot be read");
        }
        follower.take_turn();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WAIT) => {}
        }
    }
}

/// Gives up the chargers of our node's earlier processes, which are dead for certain. Ends when the log has it, or at `stop`.
pub(crate) async fn give_up_our_dead(shared: Arc<Shared>, stop: CancellationToken) {
    lost::settle(shared, Whose::OurNode, stop).await;
}

/// A claim has its own ear.
#[derive(Debug)]
struct Nobody;

impl AckSink for Nobody {
    fn acked(&self, _: u64, _: Result<Position, LogError>) {}
}

struct Follower {
    shared: Arc<Shared>,
    part: Arc<Part>,
    read_once: watch::Sender<bool>,
    publisher: Publisher,
    /// The last offset read, by partition.
    read: HashMap<i32, i64>,
    /// When the log was last read without an error, real UTC ms.
    read_ms: i64,
    /// Another process uses our node's name.
    twin: bool,
    said_again: Instant,
    /// Ends of sessions that the log has still to take.
    unsaid_ends: Vec<Gone>,
    /// The chargers of lost gateways are being given up.
    settling: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Follower {
    async fn read(&mut self) -> Result<(), LogError> {
        let mut subscription = self.shared.log.tail(&[Topic::Session], Start::At(self.read_ms - LOOK_BACK_MS))?;
        // After an error what had been read comes again, and must not be taken for later than what we claimed since.
        let mut again = *self.read_once.borrow();
        loop {
            let batch = subscription.poll(BATCH, WAIT).await?;
            for record in &batch.records {
                let last = self.read.entry(record.position.partition).or_insert(-1);
                if again && record.position.offset <= *last {
                    continue;
                }
                *last = record.position.offset;
                self.take(record);
            }
            self.read_ms = self.shared.epochs.now_ms();
            if batch.at_end {
                again = false;
                let _ = self.read_once.send(true); // nobody waits any more: the gateway is open
            }
            if !self.twin {
                self.part.recover();
            }
            if self.said_again.elapsed() >= WAIT {
                self.take_turn();
            }
        }
    }

    /// What is to be done twice a second, whether the log can be read or not.
    fn take_turn(&mut self) {
        self.say_again();
        let shared = &self.shared;
        let now = Instant::now();
        let mut watch = shared.alive.watch();
        watch.beat(now, &*shared.log, &shared.config.node, shared.clock.now_ms());
        if self.settling.as_ref().is_some_and(|settling| !settling.is_finished()) {
            return;
        }
        let lost = watch.lost(now);
        drop(watch);
        if !lost.is_empty() {
            let settled = lost::settle(Arc::clone(shared), Whose::These(lost.into_iter().collect()), self.stop.clone());
            self.settling = Some(tokio::spawn(settled));
        }
    }

    fn take(&mut self, record: &Record) {
        let Some(Ok(envelope)) = record.payload.as_deref().map(Envelope::decode) else { return };
        let claim = match &envelope.body {
            Some(Body::SessionClaimed(claim)) => claim,
            Some(Body::GatewayReported(report)) => {
                let mut watch = self.shared.alive.watch();
                if watch.heard(Instant::now(), report) {
                    watch.beat_again();
                    drop(watch);
                    let seats = self.shared.live.all();
                    tokio::spawn(lost::come_back(Arc::clone(&self.shared), seats));
                }
                return;
            }
            _ => return,
        };
        if claim.released {
            return;
        }
        let live = &self.shared.live;
        let lost = if claim.process == self.shared.process {
            let closed = live.observe_own(&envelope.charger, envelope.epoch);
            if let Some((seat, before)) = &closed {
                // The earlier one is fenced by our claim and says nothing any more, and nobody would believe us under our own epoch.
                self.unsaid_ends.push(Gone {
                    charger: seat.charger.to_string(),
                    tenant: seat.tenant,
                    protocol: seat.protocol,
                    epoch: *before,
                });
            }
            closed.map(|(seat, _)| seat)
        } else {
            // What came before our listeners opened is an earlier process of this node.
            if envelope.node == self.shared.config.node && *self.read_once.borrow() && !self.twin {
                self.twin = true;
                tracing::error!(
                    node = envelope.node,
                    "another process claims chargers under this node's name; gateway.node must be unique"
                );
                self.part.degrade("another process uses this node's name (gateway.node)");
            }
            live.observe(&envelope.charger, envelope.epoch)
        };
        if let Some(seat) = lost {
            self.shared.tell(seat, News::Fenced);
        }
    }

    /// Says again what the log did not take, until it does or the seat is gone.
    fn say_again(&mut self) {
        self.said_again = Instant::now();
        for seat in self.shared.live.take_unsaid() {
            // Who it was that connected stands in the charger's own events.
            self.shared.claim(&mut self.publisher, &seat, String::new());
        }
        let shared = &self.shared;
        self.unsaid_ends.retain(|end| end.say(shared, CloseReason::Superseded.label(), Ack::Kept).is_err());
    }
}

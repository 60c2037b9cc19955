//! Claims on `ev.session.v1`, ours and other processes', in the order of the log: the one that stands last holds the charger.
//! A later one of another process fences our session; ours, when the log did not take it, is said again.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use events::{
    log::{AckSink, LogError, Position, Record, Start},
    prost::Message as _,
    proto::{Envelope, envelope::Body},
    topic::Topic,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    publish::Publisher,
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
        follower.say_again();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WAIT) => {}
        }
    }
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
                self.say_again();
            }
        }
    }

    fn take(&mut self, record: &Record) {
        let Some(Ok(envelope)) = record.payload.as_deref().map(Envelope::decode) else { return };
        let Some(Body::SessionClaimed(claim)) = &envelope.body else { return };
        if claim.released {
            return;
        }
        let live = &self.shared.live;
        let lost = if claim.process == self.shared.process {
            live.observe_own(&envelope.charger, envelope.epoch)
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
    }
}

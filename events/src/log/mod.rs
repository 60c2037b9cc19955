//! The event log: appends become durable, consumers read in order per key and resume where they committed.
//!
//! Two backends, one contract (`conformance`): `embedded` (SQLite, WAL, `synchronous=FULL`, one group-commit writer) and `kafka`
//! (librdkafka, acks=all, idempotent); `spooled` puts the first before the second, for when it does not confirm in time. "Confirmed" means the same for both: the record survives `kill -9` and power loss of
//! what the backend promises to survive, and every later reader sees it.

mod config;
mod durable;
pub mod embedded;
pub mod kafka;
mod lost;
pub mod spooled;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;

pub use self::{
    config::{EmbeddedConfig, KafkaConfig, Keep, LogConfig, OpenError, SpoolConfig, open, open_spooled},
    durable::{NotDurable, append_durable},
};
use crate::topic::Topic;

/// Where a record stands. Offsets grow by partition; the embedded log has one partition, 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub topic: Topic,
    pub partition: i32,
    pub offset: i64,
}

/// A record to append; borrowed, because a backend copies it once and the hot path owns nothing.
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    pub topic: Topic,
    /// Records of one key keep their order.
    pub key: &'a [u8],
    /// `None` deletes the key of a compacted topic.
    pub payload: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl Append<'_> {
    /// What it counts for in limits: key, payload and headers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| (name.len(), value.len()));
        bytes(self.key.len(), self.payload.map_or(0, <[u8]>::len), headers)
    }
}

impl Record {
    /// As [`Append::bytes`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| (name.len(), value.len()));
        bytes(self.key.len(), self.payload.as_ref().map_or(0, Bytes::len), headers)
    }
}

/// The two lengths before a header, as the embedded log writes it.
const HEADER_BYTES: usize = 6;

fn bytes(key: usize, payload: usize, headers: impl Iterator<Item = (usize, usize)>) -> usize {
    key + payload + headers.map(|(name, value)| HEADER_BYTES + name + value).sum::<usize>()
}

/// A record read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub position: Position,
    pub key: Bytes,
    pub payload: Option<Bytes>,
    pub headers: Vec<(String, Bytes)>,
    /// When the log took it, UTC ms of the log's own (real) clock.
    pub appended_at_ms: i64,
}

/// Who wants to hear that an append is durable. Called from the backend's own thread: it must not block, and it wakes its
/// shard at most once per batch.
pub trait AckSink: Send + Sync + 'static {
    fn acked(&self, token: u64, outcome: Result<Position, LogError>);

    /// Whoever waits still has the record and brings it to safety by itself: its failure is not counted as lost.
    fn keeps(&self) -> bool {
        false
    }
}

/// What becomes of the confirmation of an append.
#[derive(Clone)]
pub enum Ack {
    /// Nobody waits; a failure is only counted.
    None,
    /// Somebody waits, and hears of a failure at once.
    Notify { sink: Arc<dyn AckSink>, token: u64 },
    /// Nobody waits, but the record must not be lost. The embedded log keeps it in its queue until it is durable, and so does a
    /// [`spooled::SpooledLog`]; Kafka alone can only count it when it fails. It is lost, and counted, where the process ends first.
    Kept,
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Notify { token, .. } => write!(f, "Notify({token})"),
            Self::Kept => f.write_str("Kept"),
        }
    }
}

/// Why an append was not even taken. It never blocks: what to do (wait, shed, close) is the caller's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("the log's queue is full")]
    Full,
    #[error("the record is larger than the log takes")]
    TooLarge,
    #[error("the log is closed")]
    Closed,
}

/// Why the log failed after it had taken a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error("the log did not confirm in time")]
    Timeout,
    #[error("the disk is full")]
    DiskFull,
    #[error("the log is closed")]
    Closed,
    /// It will never take this record: Kafka's brokers have a smaller limit (`max.message.bytes`) than `record_kbytes_max`.
    #[error("the record is larger than the brokers take")]
    TooLarge,
    #[error("{0}")]
    Backend(String),
}

/// Where a reader without a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Everything kept.
    Beginning,
    /// What is appended from now on.
    End,
    /// The first record appended at or after this real time, UTC ms.
    At(i64),
}

/// A partition of the log, seen from a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Around {
    /// The offset of the first record kept; `next` when none is.
    pub first: i64,
    /// The offset of the next record appended.
    pub next: i64,
    /// The record at the position, if it is there.
    pub record: Option<Record>,
}

/// Records in order per (topic, partition).
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub records: Vec<Record>,
    /// Every partition of the subscription had been read to its end when this batch was taken. False for a member of a group
    /// that has no partition (yet). Kafka: true as of the last answer of the brokers, which is at most some 100 ms old.
    pub at_end: bool,
    /// A member of a group that has no partition (yet): others read them.
    pub idle: bool,
}

/// A backend of the log.
pub trait EventLog: Send + Sync + fmt::Debug + 'static {
    /// Hands a record over without waiting; `ack` hears when it is durable, or why it is not.
    ///
    /// # Errors
    /// When the record was not taken at all; then `ack` is not called.
    fn append(&self, record: Append<'_>, ack: Ack) -> Result<(), AppendError>;

    /// Reads as a member of a group: partitions are shared among its members, and it goes on after what the group committed
    /// (a new group: from the beginning).
    ///
    /// # Errors
    /// When the backend refuses the subscription.
    fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, LogError>;

    /// Like `subscribe`, for a reader that keeps positions of its own (the last applied per partition): it begins right after
    /// them, whatever the group committed; a partition that `stored` does not name begins at the first record kept, and so does one
    /// whose next record is not kept any more. A log that does not reach so far fails when polled: it is not the one in which
    /// the positions were. [`EventLog::around`] tells both before.
    ///
    /// # Errors
    /// When the backend refuses the subscription.
    fn subscribe_from(
        &self,
        group: &str,
        topics: &[Topic],
        stored: &[Position],
    ) -> Result<Box<dyn Subscription>, LogError>;

    /// What the log holds around positions that a reader has kept, so that it can see whether they are positions in this log. A
    /// partition that the log does not have is left out.
    ///
    /// # Errors
    /// When the log cannot be read, or a topic is not there (yet).
    fn around<'a>(&'a self, positions: &'a [Position]) -> BoxFuture<'a, Result<Vec<(Position, Around)>, LogError>>;

    /// Reads every partition, alone, and commits nothing: replicas and command followers.
    ///
    /// `Start::End` on Kafka asks the brokers where the end is, on the calling thread, for at most ten seconds.
    ///
    /// # Errors
    /// When the backend refuses the subscription.
    fn tail(&self, topics: &[Topic], start: Start) -> Result<Box<dyn Subscription>, LogError>;

    /// Waits until everything taken so far is confirmed or failed.
    fn flush(&self, within: Duration) -> BoxFuture<'_, Result<(), LogError>>;

    /// For `/status` and metrics; cheap, asks nobody.
    fn health(&self) -> Health;

    /// Resolves when all that an earlier process took and could not hand on is in the log. Chargers are served after that.
    fn caught_up(&self) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(async { Ok(()) })
    }
}

/// How the log is, as it knows without asking anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub backend: &'static str,
    /// Taken, not confirmed yet.
    pub queued: u64,
    /// Real time of the last confirmation, UTC ms; 0 = none yet.
    pub confirmed_at_ms: i64,
    /// What is wrong, if anything, and since when (real UTC ms).
    pub degraded: Option<(i64, String)>,
    /// Records since the start that were taken and then failed; by topic in the metric `evgate_log_lost_total`.
    pub lost: u64,
    /// The spool before it, where there is one.
    pub spool: Option<SpoolHealth>,
}

/// How the spool is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolHealth {
    /// Records that the spool holds and the log does not have yet.
    pub records: u64,
    /// Their keys, payloads and headers.
    pub bytes: u64,
    /// When the oldest of them was spooled, real UTC ms; 0 = there is none.
    pub oldest_at_ms: i64,
    /// Records since the start that the spool took over.
    pub spooled: u64,
    /// Records since the start that went from the spool to the log.
    pub drained: u64,
    /// Records that the log has refused for good: they are set aside on the spool's disk, and tried again by the next process.
    pub refused: u64,
    /// Of what an earlier process left behind, not in the log yet.
    pub left_behind: u64,
    /// The log does not confirm: what must not be lost goes to the spool directly.
    pub log_away: bool,
    /// The spool cannot write, since when (real UTC ms) and why: money is not answered then.
    pub failing: Option<(i64, String)>,
}

/// A reader.
pub trait Subscription: Send {
    /// The next records, at most `max`; an empty batch after `wait` without any, or at once when the end was reached since
    /// the last batch. Cancel-safe: a future that is dropped loses no
    /// record. Runs on a tokio runtime, and never blocks its threads.
    fn poll(&mut self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Batch, LogError>>;

    /// The group will not see records up to and including these positions again.
    ///
    /// Positions of a partition that another member owns by now are passed over: that member sees those records again (at
    /// least once). A subscription made by `tail` has nothing to commit and answers `Ok`.
    fn commit<'a>(&'a mut self, positions: &'a [Position]) -> BoxFuture<'a, Result<(), LogError>>;

    /// For a subscription made by `subscribe_from`: where the reader's own positions stand now, all members' together. A partition
    /// that is taken over later begins after these. Others have nothing to do.
    fn stands(&mut self, stored: &[Position]);
}

//! A log with a spool before it: what must not be lost and is not confirmed in time goes to this machine's disk, is answered for
//! from there, and follows into the log as soon as that confirms again.
//!
//! - The hot path (`Ack::None`) goes straight through; it asks one atomic whether anything is spooled at all.
//! - `Ack::Notify` and `Ack::Kept` are kept in memory until the log or the spool has them. After `after_ms`, or at once when the log
//!   refuses, fails or is known to be away, they go to the spool; the first of the two that has a record confirms it.
//! - Order per key: while a key has records in the spool, later ones follow them there, and what nobody waits for is answered with
//!   [`AppendError::Full`], so that its owner keeps only the latest.
//! - The drain hands records on in order, one per key at a time, and forgets a record after the log has confirmed it. What a `kill -9`
//!   leaves behind is drained by the next process, at least once.
//! - A record that the log will never take (larger than the brokers', or than this process sends) is not waited for. It goes to the spool, is
//!   answered for from there and then set aside (`refused`), on the same disk, where it is counted and what comes behind it goes on. Only
//!   whoever keeps it anyway ([`AckSink::keeps`]) is told so instead.
//! - When the spool cannot write either, nothing is confirmed: records wait in its bounded queue, then appends are refused.
//!
//! Compacted topics are passed through as they are: their last value is repeated by whoever owns it.

mod drain;
mod refused;
mod waiting;

use std::{
    fmt,
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use tokio::sync::watch;

use self::{drain::Drain, refused::Refused, waiting::Waiting};
use super::{
    Ack, AckSink, Append, AppendError, Around, EmbeddedConfig, EventLog, Health, LogError, OpenError, Position,
    SpoolConfig, Start, Subscription,
    embedded::{EmbeddedLog, Unread},
};
use crate::topic::Topic;

/// The file in the spool's folder.
const FILE: &str = "spool.db";
/// The group of the drain.
const GROUP: &str = "drain";
/// Seconds between two rounds of deleting what was drained.
const HOUSEKEEPING_S: u64 = 5;
/// What a flush leaves of its time for the spool.
const FLUSH_SPOOL: Duration = Duration::from_secs(2);
/// The spool counts the lengths before a header, the log may not: what that takes has room here, KiB.
const FOR_HEADERS: usize = 1;

/// Whether records of a topic are spooled.
fn spooled(topic: Topic) -> bool {
    !topic.compacted()
}

fn topics() -> Vec<Topic> {
    Topic::ALL.into_iter().filter(|topic| spooled(*topic)).collect()
}

/// The spool's file, opened; no other process has it.
#[derive(Debug)]
pub struct Spool {
    file: Arc<EmbeddedLog>,
    refused: Refused,
    after: Duration,
    left: Vec<Unread>,
    /// What an earlier process set aside and could not be taken back.
    still_refused: u64,
    /// The largest record, as [`Append::bytes`].
    record_max: usize,
}

impl Spool {
    /// Opens the folder, or creates it. No record is larger than `record_kbytes_max`. What an earlier process has set aside is among what it
    /// left behind: it is tried again.
    ///
    /// # Errors
    /// Another process uses it ([`OpenError::InUse`]), or the disk says no.
    pub fn open(config: &SpoolConfig, record_kbytes_max: usize) -> Result<Self, OpenError> {
        let path = config.path.join(FILE);
        let record_kbytes_max = record_kbytes_max + FOR_HEADERS;
        let settings = EmbeddedConfig {
            path: path.clone(),
            queue_records: config.queue_records,
            queue_kbytes: config.queue_kbytes.max(record_kbytes_max),
            record_kbytes_max,
            linger_ms: 0,
            disk_mbytes_max: config.mbytes_max,
            housekeeping_seconds: HOUSEKEEPING_S,
            ..EmbeddedConfig::default()
        };
        let file = Arc::new(EmbeddedLog::open_unread(&settings)?);
        let refused = Refused::new(&config.path, settings);
        let still_refused = refused.take_back(&file)?;
        let left = unread(&file).map_err(|error| OpenError::Spool { path, error })?;
        let after = Duration::from_millis(config.after_ms);
        Ok(Self { file, refused, after, left, still_refused, record_max: record_kbytes_max << 10 })
    }

    /// Records that an earlier process left behind.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.iter().map(|unread| unread.records).sum()
    }
}

/// What a spool's folder holds that is not in the log yet, by topic; topics without any are not named. Its owner may be alive.
///
/// # Errors
/// There is no spool, or it cannot be read.
pub fn look(folder: &Path) -> Result<Vec<Unread>, OpenError> {
    let path = folder.join(FILE);
    let file = EmbeddedLog::open_reading(&path)?;
    unread(&file).map_err(|error| OpenError::Spool { path, error })
}

/// What a spool's folder has set aside because the log refused it for good, as [`look`].
///
/// # Errors
/// It cannot be read.
pub fn look_refused(folder: &Path) -> Result<Vec<Unread>, OpenError> {
    let path = folder.join(refused::FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let file = EmbeddedLog::open_reading(&path)?;
    unread(&file).map_err(|error| OpenError::Spool { path, error })
}

fn unread(file: &EmbeddedLog) -> Result<Vec<Unread>, LogError> {
    Ok(file.unread(GROUP)?.into_iter().filter(|unread| unread.records > 0).collect())
}

/// See the module.
pub struct SpooledLog {
    // Dropped in this order: what the log still holds when it closes fails into the spool, which is closed last.
    log: Arc<dyn EventLog>,
    waiting: Closing,
    spool: Arc<EmbeddedLog>,
    stop: watch::Sender<bool>,
    worker: Option<JoinHandle<()>>,
}

/// Gives up its share of the spool when dropped, so that nobody else closes that from the wrong thread.
struct Closing(Arc<Waiting>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for SpooledLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpooledLog").field("log", &self.log).finish_non_exhaustive()
    }
}

impl SpooledLog {
    /// Puts the spool before `log` and starts to drain what it holds.
    ///
    /// # Errors
    /// When the spool cannot be read, or its thread not be started.
    pub fn open(log: Arc<dyn EventLog>, spool: Spool) -> Result<Self, OpenError> {
        let path = spool.file.path().to_owned();
        let sick = |error| OpenError::Spool { path: path.clone(), error };
        let reader = spool.file.subscribe(GROUP, &topics()).map_err(sick)?;
        let left = spool.left();
        if left > 0 {
            tracing::warn!(records = left, path = %path.display(), "an earlier process left records in the spool; draining");
        }
        let waiting = Waiting::new(&spool.file, &spool);
        let (stop, stopped) = watch::channel(false);
        let drain = Drain::new(Arc::clone(&waiting), Arc::clone(&log), reader, spool.refused);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let expiring = Arc::clone(&waiting);
        let worker = thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || runtime.block_on(work(expiring, drain, stopped)))
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        Ok(Self { log, waiting: Closing(waiting), spool: spool.file, stop, worker: Some(worker) })
    }

    async fn flush_all(&self, within: Duration) -> Result<(), LogError> {
        let deadline = Instant::now() + within;
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        // With the log away there is only telemetry to wait for.
        let away = self.waiting.0.health().log_away;
        let patience = if away { within / 4 } else { within.saturating_sub(FLUSH_SPOOL).max(within / 2) };
        let flushed = self.log.flush(patience).await;
        if flushed.is_ok() {
            // What was spooled follows into the log, if it is quick.
            self.waiting.0.empty_by(Instant::now() + left(deadline).saturating_sub(FLUSH_SPOOL)).await;
        }
        self.waiting.0.spool_everything();
        let kept = self.spool.flush(left(deadline)).await;
        let health = self.waiting.0.health();
        if health.records > 0 {
            tracing::warn!(
                records = health.records,
                bytes = health.bytes,
                path = %self.spool.path().display(),
                "the spool holds records that the log does not have; the next process of this folder, or `evgate spool drain`, hands them on"
            );
        }
        kept.and(flushed)
    }
}

impl EventLog for SpooledLog {
    fn append(&self, record: Append<'_>, ack: Ack) -> Result<(), AppendError> {
        if matches!(ack, Ack::None) || !spooled(record.topic) {
            if self.waiting.0.is_behind(record.topic, record.key) {
                return Err(AppendError::Full);
            }
            return self.log.append(record, ack);
        }
        let Some(token) = self.waiting.0.begin(record, ack)? else { return Ok(()) };
        let sink: Arc<dyn AckSink> = Arc::clone(&self.waiting.0) as _;
        match self.log.append(record, Ack::Notify { sink, token }) {
            Ok(()) => Ok(()),
            Err(error) => self.waiting.0.not_taken(token, error),
        }
    }

    fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, LogError> {
        self.log.subscribe(group, topics)
    }

    fn subscribe_from(
        &self,
        group: &str,
        topics: &[Topic],
        stored: &[Position],
    ) -> Result<Box<dyn Subscription>, LogError> {
        self.log.subscribe_from(group, topics, stored)
    }

    fn around<'a>(&'a self, positions: &'a [Position]) -> BoxFuture<'a, Result<Vec<(Position, Around)>, LogError>> {
        self.log.around(positions)
    }

    fn tail(&self, topics: &[Topic], start: Start) -> Result<Box<dyn Subscription>, LogError> {
        self.log.tail(topics, start)
    }

    /// What must not be lost is in the log or in the spool afterwards; an error may also mean that telemetry is in neither.
    fn flush(&self, within: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(self.flush_all(within))
    }

    fn health(&self) -> Health {
        let mut health = self.log.health();
        health.lost += self.spool.health().lost + self.waiting.0.lost();
        health.spool = Some(self.waiting.0.health());
        health
    }

    fn caught_up(&self) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(self.waiting.0.caught_up())
    }
}

impl Drop for SpooledLog {
    /// What the log has not confirmed goes to the spool.
    fn drop(&mut self) {
        let _ = self.stop.send(true); // Err: the thread has ended
        if let Some(worker) = self.worker.take() {
            let _ = worker.join(); // Err: it panicked, and has said so
        }
        self.waiting.0.spool_everything();
    }
}

/// The spool's thread: looks for what has waited too long, and drains.
async fn work(waiting: Arc<Waiting>, drain: Drain, mut stopped: watch::Receiver<bool>) {
    let _guard = Alive(Arc::clone(&waiting));
    tokio::select! {
        () = expire(&waiting) => {}
        () = drain.run() => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

/// How often the thread looks at most.
const TICK: Duration = Duration::from_millis(20);

async fn expire(waiting: &Waiting) {
    loop {
        match waiting.expire(Instant::now()) {
            Some(due) => tokio::time::sleep_until(due.max(Instant::now() + TICK).into()).await,
            None => waiting.something.notified().await,
        }
    }
}

/// A thread that dies of a defect says so.
struct Alive(Arc<Waiting>);

impl Drop for Alive {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.dead.store(true, Ordering::Relaxed);
        }
    }
}

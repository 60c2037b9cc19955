//! The log in one SQLite file (WAL, `synchronous=FULL`): for one site, and as the gateway's spool.
//!
//! Appends gather in a bounded queue; one writer thread takes all that waits, writes it in one transaction, syncs, then confirms
//! in order. A confirmed record survives `kill -9` and power loss. Every topic is one partition, number 0.
//!
//! One process writes (lock file `<path>.writer`; a second one gets [`OpenError::InUse`]); any number of processes read beside
//! it with [`EmbeddedLog::open_reading`]. A group's topic is read by one member at a time, in whichever process.

mod headers;
mod keep;
mod queue;
mod reader;
mod shared;
mod store;
mod writer;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use self::{
    keep::Keeper,
    queue::{Queue, Request},
    reader::Reader,
    shared::Shared,
    writer::Writer,
};
use super::{
    Ack, AckSink, Append, AppendError, Around, EmbeddedConfig, EventLog, Health, Keep, LogError, OpenError, Position,
    Start, Subscription,
};
use crate::topic::Topic;

/// See the module.
#[derive(Debug)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    /// None: this process only reads.
    writer: Option<JoinHandle<()>>,
    /// Let go of after the writer has ended.
    _lock: Option<File>,
}

/// A topic's share of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSize {
    pub topic: Topic,
    pub records: u64,
    /// Keys, payloads and headers.
    pub bytes: u64,
    /// The offset of the next record.
    pub next_offset: i64,
}

/// What a group has not read of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    pub topic: Topic,
    pub records: u64,
    /// Keys, payloads and headers.
    pub bytes: u64,
    /// UTC ms; 0 = there is none.
    pub oldest_at_ms: i64,
    /// The offset of the next record that will be appended.
    pub next_offset: i64,
}

/// How far a group has read a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPosition {
    pub group: String,
    pub topic: Topic,
    /// The last offset committed; -1 = none.
    pub offset: i64,
}

impl EmbeddedLog {
    /// Opens the file for writing and reading, creating it and its folder if need be.
    ///
    /// # Errors
    /// Another process writes it ([`OpenError::InUse`]), a newer release wrote it, or the disk says no.
    pub fn open(config: &EmbeddedConfig) -> Result<Self, OpenError> {
        Self::open_keeping(config, false)
    }

    /// As [`Self::open`], for a spool: keeps what its group has not read, and nothing else.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(in crate::log) fn open_unread(config: &EmbeddedConfig) -> Result<Self, OpenError> {
        Self::open_keeping(config, true)
    }

    fn open_keeping(config: &EmbeddedConfig, only_unread: bool) -> Result<Self, OpenError> {
        let path = &config.path;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|source| OpenError::Io { path: folder.to_owned(), source })?;
        }
        let lock = lock_writer(path)?;
        let sqlite = |source| OpenError::Sqlite { path: path.clone(), source };
        let mut conn = store::open_writing(path).map_err(sqlite)?;
        check_format(path, &conn)?;
        store::create(&mut conn).map_err(sqlite)?;
        let linger = Duration::from_millis(config.linger_ms);
        let queue = Queue::new(config.queue_records, config.queue_kbytes << 10, config.record_kbytes_max << 10, linger);
        let shared = Arc::new(Shared::new(path.clone(), queue));
        let keep = Topic::ALL.map(|topic| config.keep.get(topic.name()).copied().unwrap_or(Keep::default_of(topic)));
        let tombstone_ms = i64::try_from(config.tombstone_seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        let every = Duration::from_secs(config.housekeeping_seconds);
        let disk_max = config.disk_mbytes_max.saturating_mul(1 << 20);
        let writer =
            Writer::new(conn, Arc::clone(&shared), Keeper::new(keep, tombstone_ms, only_unread), disk_max, every);
        let writer = writer.map_err(sqlite)?;
        let thread = thread::Builder::new()
            .name("event-log".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        Ok(Self { shared, writer: Some(thread), _lock: Some(lock) })
    }

    /// Opens a file that another process may be writing, for reading (`subscribe`, `tail`, commits); `append` answers
    /// [`AppendError::Closed`].
    ///
    /// # Errors
    /// There is no such file, or a newer release wrote it.
    pub fn open_reading(path: &Path) -> Result<Self, OpenError> {
        let conn = store::open_reading(path).map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
        check_format(path, &conn)?;
        let queue = Queue::new(0, 0, 0, Duration::ZERO);
        queue.close();
        let shared = Shared::new(path.to_owned(), queue);
        Ok(Self { shared: Arc::new(shared), writer: None, _lock: None })
    }

    /// Appends a record that stays in the queue until it is durable, whatever the disk says meanwhile. `sink` hears when it is, or
    /// that the process ended first.
    pub(in crate::log) fn append_kept(
        &self,
        record: Append<'_>,
        sink: Arc<dyn AckSink>,
        token: u64,
    ) -> Result<(), AppendError> {
        self.shared.queue.append(record, Ack::Notify { sink, token }, true)
    }

    /// What a group has not read of the topics that it reads: records, bytes, and when the oldest was appended (UTC ms; 0 = none).
    /// Reads the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn unread(&self, group: &str) -> Result<Vec<Unread>, LogError> {
        let conn = store::open_reading(&self.shared.path)?;
        let positions = store::positions(&conn)?.into_iter().filter(|(of, ..)| of == group);
        positions.map(|(_, topic, offset)| Ok(store::unread(&conn, topic, offset)?)).collect()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    const fn live(&self) -> bool {
        self.writer.is_some()
    }

    /// What every topic holds. Reads the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn sizes(&self) -> Result<Vec<TopicSize>, LogError> {
        let conn = store::open_reading(&self.shared.path)?;
        let one = |topic| {
            let state = store::topic_state(&conn, topic)?;
            let records = u64::try_from(state.records).unwrap_or(0);
            let bytes = u64::try_from(state.bytes).unwrap_or(0);
            Ok(TopicSize { topic, records, bytes, next_offset: state.next })
        };
        Topic::ALL.into_iter().map(one).collect()
    }

    /// Bytes of the file that hold something. Reads the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn used_bytes(&self) -> Result<u64, LogError> {
        Ok(store::used_bytes(&store::open_reading(&self.shared.path)?)?)
    }

    /// How far each group has read. Reads the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn positions(&self) -> Result<Vec<GroupPosition>, LogError> {
        let conn = store::open_reading(&self.shared.path)?;
        let positions = store::positions(&conn)?.into_iter();
        Ok(positions.map(|(group, topic, offset)| GroupPosition { group, topic, offset }).collect())
    }

    /// Whether a process reads the topic as this group now.
    ///
    /// # Errors
    /// When the folder of locks cannot be used.
    pub fn is_read(&self, group: &str, topic: Topic) -> Result<bool, LogError> {
        Ok(reader::lock_topic(&self.shared.path, group, topic)?.is_none())
    }

    /// Forgets a group that will not read again: what only it had not read may be deleted. Works beside the process that writes.
    ///
    /// # Errors
    /// When the log is closed, or the file cannot be written.
    pub async fn forget_group(&self, group: &str) -> Result<(), LogError> {
        if !self.live() {
            let (path, group) = (self.shared.path.clone(), group.to_owned());
            return reader::blocking(move || Ok(store::forget(&store::open_writing(&path)?, &group)?)).await;
        }
        let (done, answer) = oneshot::channel();
        self.shared.queue.request(Request::Forget { group: group.to_owned(), done })?;
        answer.await.map_err(|_| LogError::Closed)?
    }

    /// Deletes now what need not be kept, instead of at the next round of housekeeping.
    ///
    /// # Errors
    /// When the log is closed, or this process does not write it.
    pub async fn tidy(&self) -> Result<(), LogError> {
        let (done, answer) = oneshot::channel();
        self.shared.queue.request(Request::Tidy { done })?;
        answer.await.map_err(|_| LogError::Closed)?
    }
}

impl EventLog for EmbeddedLog {
    fn append(&self, record: Append<'_>, ack: Ack) -> Result<(), AppendError> {
        let kept = matches!(ack, Ack::Kept);
        self.shared.queue.append(record, ack, kept)
    }

    fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, LogError> {
        Ok(Box::new(Reader::of_group(Arc::clone(&self.shared), self.live(), group, topics)?))
    }

    fn subscribe_from(
        &self,
        group: &str,
        topics: &[Topic],
        stored: &[Position],
    ) -> Result<Box<dyn Subscription>, LogError> {
        let reader = Reader::of_group(Arc::clone(&self.shared), self.live(), group, topics)?;
        Ok(Box::new(reader.after(stored)))
    }

    fn around<'a>(&'a self, positions: &'a [Position]) -> BoxFuture<'a, Result<Vec<(Position, Around)>, LogError>> {
        let (path, positions) = (self.shared.path.clone(), positions.to_vec());
        Box::pin(reader::blocking(move || {
            let mut conn = store::open_reading(&path)?;
            let tx = conn.transaction()?;
            let found = positions.into_iter().filter(|position| position.partition == 0);
            found.map(|position| Ok((position, store::around(&tx, position)?))).collect()
        }))
    }

    fn tail(&self, topics: &[Topic], start: Start) -> Result<Box<dyn Subscription>, LogError> {
        Ok(Box::new(Reader::tail(Arc::clone(&self.shared), self.live(), topics, start)?))
    }

    fn flush(&self, within: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(async move {
            let target = self.shared.queue.hurry();
            let mut done = self.shared.done.subscribe();
            let reached = |done: &u64| *done >= target || self.shared.ended.load(Ordering::Acquire);
            match tokio::time::timeout(within, done.wait_for(reached)).await {
                Ok(Ok(done)) if *done >= target => Ok(()),
                Ok(_) => Err(LogError::Closed),
                Err(_) => Err(LogError::Timeout),
            }
        })
    }

    fn health(&self) -> Health {
        Health {
            backend: "embedded",
            queued: self.shared.queue.waiting() as u64,
            confirmed_at_ms: self.shared.confirmed_at_ms.load(Ordering::Relaxed),
            degraded: self.shared.degraded(),
            lost: self.shared.lost.total(),
            spool: None,
        }
    }
}

impl Drop for EmbeddedLog {
    /// Writes what was taken, then ends the writer.
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join(); // Err: it panicked, and has said so
        }
    }
}

impl From<rusqlite::Error> for LogError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Backend(error.to_string())
    }
}

/// `events.db` + `.writer` = `events.db.writer`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn lock_writer(path: &Path) -> Result<File, OpenError> {
    let name = beside(path, ".writer");
    let io = |source| OpenError::Io { path: name.clone(), source };
    let file = OpenOptions::new().create(true).append(true).open(&name).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

fn check_format(path: &Path, conn: &rusqlite::Connection) -> Result<(), OpenError> {
    let found: i64 = conn
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
    if found > store::FORMAT {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: store::FORMAT });
    }
    Ok(())
}

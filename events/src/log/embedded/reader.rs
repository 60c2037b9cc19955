//! A reader: its own read-only connection, woken when the writer of this process commits, or looking every 50 ms when the writer
//! is another process.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures::future::BoxFuture;
use rusqlite::Connection;
use tokio::{sync::oneshot, sync::watch, time::Instant};

use super::{queue::Request, shared::Shared, store};
use crate::{
    log::{Batch, LogError, Position, Record, Start, Subscription},
    topic::Topic,
};

/// How often a reader looks when nobody wakes it: another process writes, or another member of its group reads.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Reader {
    shared: Arc<Shared>,
    /// This process writes: heads and wake-ups can be relied on.
    live: bool,
    group: Option<String>,
    inner: Arc<Mutex<Inner>>,
    cursors: Vec<Cursor>,
    /// The topic that is read first next time.
    turn: usize,
    version: watch::Receiver<u64>,
    /// What the last batch said about the end.
    at_end: bool,
}

/// What blocking calls need; never locked across a wait.
#[derive(Debug)]
struct Inner {
    conn: Connection,
    /// For commits, when this process has no writer.
    committing: Option<Connection>,
    path: PathBuf,
    /// Per cursor of a group: the lock that makes this member the reader of the topic.
    locks: Vec<Option<File>>,
}

#[derive(Clone, Copy, Debug)]
struct Cursor {
    topic: Topic,
    place: Place,
    /// Where a member that keeps positions of its own begins, whatever the group committed.
    begin: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Another member of the group reads the topic.
    Elsewhere,
    From(Start),
    Next(i64),
}

impl Reader {
    pub fn of_group(shared: Arc<Shared>, live: bool, group: &str, topics: &[Topic]) -> Result<Self, LogError> {
        let name = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
        if group.is_empty() || !group.bytes().all(name) {
            return Err(LogError::Backend(format!("{group:?} is no name for a group: letters, digits, '.', '_', '-'")));
        }
        if live {
            shared.queue.request(Request::Register { group: group.to_owned(), topics: topics.to_vec() })?;
        }
        Self::new(shared, live, Some(group.to_owned()), topics.iter().map(|topic| (*topic, Place::Elsewhere)))
    }

    /// Begins each topic right after the position that `stored` has of it; one it does not have begins at the first record kept.
    pub fn after(mut self, stored: &[Position]) -> Self {
        for cursor in &mut self.cursors {
            cursor.begin = Some(0);
        }
        self.stands(stored);
        self
    }

    pub fn tail(shared: Arc<Shared>, live: bool, topics: &[Topic], start: Start) -> Result<Self, LogError> {
        let mut reader =
            Self::new(Arc::clone(&shared), live, None, topics.iter().map(|topic| (*topic, Place::From(start))))?;
        if start == Start::End {
            let inner = reader.inner.lock().unwrap_or_else(PoisonError::into_inner);
            for cursor in &mut reader.cursors {
                let end =
                    if live { shared.head(cursor.topic) } else { store::topic_state(&inner.conn, cursor.topic)?.next };
                cursor.place = Place::Next(end);
            }
        }
        Ok(reader)
    }

    fn new(
        shared: Arc<Shared>,
        live: bool,
        group: Option<String>,
        cursors: impl Iterator<Item = (Topic, Place)>,
    ) -> Result<Self, LogError> {
        let cursors: Vec<_> = cursors.map(|(topic, place)| Cursor { topic, place, begin: None }).collect();
        let path = shared.path.clone();
        let conn = store::open_reading(&path)?;
        let locks = cursors.iter().map(|_| None).collect();
        let version = shared.version.subscribe();
        let inner = Arc::new(Mutex::new(Inner { conn, committing: None, path, locks }));
        Ok(Self { shared, live, group, inner, cursors, turn: 0, version, at_end: false })
    }

    /// Known without reading: every topic is ours and at its end.
    fn idle(&self) -> bool {
        self.live
            && self
                .cursors
                .iter()
                .all(|cursor| matches!(cursor.place, Place::Next(next) if next >= self.shared.head(cursor.topic)))
    }

    async fn read(&mut self, max: usize) -> Result<Batch, LogError> {
        let (inner, group, mut cursors) = (Arc::clone(&self.inner), self.group.clone(), self.cursors.clone());
        let count = cursors.len().max(1);
        cursors.rotate_left(self.turn % count);
        let turn = self.turn % count;
        let (mut cursors, batch) = blocking(move || {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            let mut batch = Batch::default();
            let ended = inner.round(group.as_deref(), &mut cursors, turn, max, &mut batch.records)?;
            batch.at_end = ended;
            batch.idle = cursors.iter().all(|cursor| cursor.place == Place::Elsewhere);
            Ok((cursors, batch))
        })
        .await?;
        cursors.rotate_right(turn);
        // Only now: a poll that was dropped meanwhile has moved nothing.
        self.cursors = cursors;
        self.turn = (turn + 1) % count;
        Ok(batch)
    }

    async fn poll_until(&mut self, max: usize, deadline: Instant) -> Result<Batch, LogError> {
        loop {
            let ended = self.live && self.shared.ended.load(Ordering::Acquire);
            self.version.mark_unchanged();
            let batch = if self.idle() {
                Batch { at_end: !self.cursors.is_empty(), ..Batch::default() }
            } else {
                self.read(max).await?
            };
            let reached = batch.at_end && !self.at_end;
            if !batch.records.is_empty() || reached || Instant::now() >= deadline {
                self.at_end = batch.at_end;
                return Ok(batch);
            }
            if ended {
                return Err(LogError::Closed);
            }
            let look = !self.live || self.cursors.iter().any(|cursor| cursor.place == Place::Elsewhere);
            let until = if look { deadline.min(Instant::now() + LOOK) } else { deadline };
            // Either a commit or the time; the sender lives as long as `shared`.
            let _ = tokio::time::timeout_at(until, self.version.changed()).await;
        }
    }

    async fn commit_positions(&mut self, positions: &[Position]) -> Result<(), LogError> {
        let Some(group) = self.group.clone() else { return Ok(()) };
        let mut upto: Vec<(Topic, i64)> = Vec::new();
        for position in positions {
            let ours = |cursor: &Cursor| cursor.topic == position.topic && cursor.place != Place::Elsewhere;
            if !self.cursors.iter().any(ours) {
                continue;
            }
            match upto.iter_mut().find(|(topic, _)| *topic == position.topic) {
                Some((_, offset)) => *offset = position.offset.max(*offset),
                None => upto.push((position.topic, position.offset)),
            }
        }
        if upto.is_empty() {
            return Ok(());
        }
        if self.live {
            let (done, answer) = oneshot::channel();
            self.shared.queue.request(Request::Commit { group, upto, done })?;
            return answer.await.map_err(|_| LogError::Closed)?;
        }
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            let conn = match inner.committing.take() {
                Some(conn) => conn,
                None => store::open_writing(&inner.path)?,
            };
            let outcome = store::set_positions(&conn, &group, &upto);
            inner.committing = Some(conn);
            Ok(outcome?)
        })
        .await
    }
}

impl Inner {
    /// One look at all topics in one read transaction; whether every topic of ours was read to its end.
    fn round(
        &mut self,
        group: Option<&str>,
        cursors: &mut [Cursor],
        turn: usize,
        max: usize,
        records: &mut Vec<Record>,
    ) -> Result<bool, LogError> {
        let count = cursors.len();
        for (place, cursor) in cursors.iter_mut().enumerate() {
            let Some(group) = group else { break };
            if cursor.place == Place::Elsewhere {
                let slot = (place + turn) % count;
                let lock = lock_topic(&self.path, group, cursor.topic)?;
                // A poll that was dropped may have taken the lock already.
                if lock.is_none() && !self.locks.get(slot).is_some_and(Option::is_some) {
                    continue;
                }
                if let (Some(lock), Some(kept)) = (lock, self.locks.get_mut(slot)) {
                    *kept = Some(lock);
                }
                cursor.place = Place::Next(match cursor.begin {
                    Some(begin) => reached(&self.conn, cursor.topic, begin)?,
                    None => store::position(&self.conn, group, cursor.topic)? + 1,
                });
            }
        }
        let tx = self.conn.transaction()?;
        let (mut bytes, mut at_end, mut owned) = (0, true, false);
        for cursor in cursors {
            let next = match cursor.place {
                Place::Elsewhere => continue,
                Place::Next(next) => next,
                Place::From(Start::Beginning) => 0,
                Place::From(Start::End) => store::topic_state(&tx, cursor.topic)?.next,
                Place::From(Start::At(at_ms)) => store::first_at(&tx, cursor.topic, at_ms)?,
            };
            owned = true;
            let found = store::read(&tx, cursor.topic, next, max.saturating_sub(records.len()), &mut bytes)?;
            cursor.place = Place::Next(found.next);
            at_end &= found.end;
            records.extend(found.records);
        }
        Ok(at_end && owned)
    }
}

/// A log that does not reach so far is not the one in which the reader kept its position.
fn reached(conn: &Connection, topic: Topic, begin: i64) -> Result<i64, LogError> {
    let next = store::topic_state(conn, topic)?.next;
    if begin > next {
        return Err(LogError::Backend(format!("{topic} ends before {next}, the reader is at {begin}")));
    }
    Ok(begin)
}

/// A member reads a topic while it holds this lock; the system lets go of it when the process dies.
pub(super) fn lock_topic(path: &Path, group: &str, topic: Topic) -> Result<Option<File>, LogError> {
    let folder = super::beside(path, ".groups");
    let file = std::fs::create_dir_all(&folder)
        .and_then(|()| OpenOptions::new().create(true).append(true).open(folder.join(format!("{group}~{topic}"))))
        .map_err(|error| io_error(&folder, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(io_error(&folder, &error)),
    }
}

fn io_error(path: &Path, error: &io::Error) -> LogError {
    LogError::Backend(format!("{}: {error}", path.display()))
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(LogError::Backend(error.to_string())),
    }
}

impl Subscription for Reader {
    fn poll(&mut self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Batch, LogError>> {
        let deadline = Instant::now() + wait;
        Box::pin(self.poll_until(max.max(1), deadline))
    }

    fn commit<'a>(&'a mut self, positions: &'a [Position]) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(self.commit_positions(positions))
    }

    fn stands(&mut self, stored: &[Position]) {
        for cursor in self.cursors.iter_mut().filter(|cursor| cursor.begin.is_some()) {
            let ours = stored.iter().filter(|position| position.topic == cursor.topic && position.partition == 0);
            cursor.begin = Some(ours.map(|position| position.offset + 1).max().unwrap_or(0));
        }
    }
}

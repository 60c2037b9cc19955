//! The one writer: takes what waits, writes it in one transaction, syncs, then confirms in order.
//!
//! When the disk says no, whoever waits hears of it at once; records that must not be lost stay here, in order and before all that
//! comes later, and are tried again. They count as waiting in the queue meanwhile, so that it fills up and says so.

use std::{
    mem,
    ops::Range,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, params};
use tokio::sync::oneshot;

use super::{
    keep::Keeper,
    queue::{Arena, Entry, Request},
    shared::Shared,
    store::{self, ROW_BYTES, TopicState},
};
use crate::{
    clock::Clock,
    log::{Ack, LogError, Position},
    topic::Topic,
};

/// A transaction holds at most so much: a confirmation should not wait for a long queue to be written.
const CHUNK_RECORDS: usize = 4096;
const CHUNK_BYTES: usize = 4 << 20;
/// What could not be written is tried again after this time.
const AGAIN: Duration = Duration::from_millis(250);

pub(super) type States = [TopicState; Topic::ALL.len()];

#[derive(Debug)]
pub(super) struct Writer {
    conn: Connection,
    shared: Arc<Shared>,
    topics: States,
    /// Append times never fall within a topic, whatever the clock does.
    last_at: [i64; Topic::ALL.len()],
    keeper: Keeper,
    disk_max: u64,
    every: Duration,
    /// Records that must not be lost and could not be written yet, in order.
    kept: Arena,
    /// Of the chunk in hand.
    offsets: Vec<i64>,
    finished: u64,
}

impl Writer {
    pub fn new(
        conn: Connection,
        shared: Arc<Shared>,
        keeper: Keeper,
        disk_max: u64,
        every: Duration,
    ) -> rusqlite::Result<Self> {
        let mut topics = States::default();
        let mut last_at = [0; Topic::ALL.len()];
        for ((topic, state), at) in Topic::ALL.into_iter().zip(&mut topics).zip(&mut last_at) {
            *state = store::topic_state(&conn, topic)?;
            *at = store::last_at_ms(&conn, topic)?;
            shared.set_head(topic, state.next);
        }
        Ok(Self {
            conn,
            shared,
            topics,
            last_at,
            keeper,
            disk_max,
            every,
            kept: Arena::default(),
            offsets: Vec::new(),
            finished: 0,
        })
    }

    /// Until the queue is closed and empty.
    pub fn run(mut self) {
        let ended = Ended(Arc::clone(&self.shared));
        let (mut arena, mut requests) = (Arena::default(), Vec::new());
        let mut tidy_at = Instant::now();
        loop {
            let until = if self.kept.entries.is_empty() { tidy_at } else { tidy_at.min(Instant::now() + AGAIN) };
            if !self.shared.queue.take(&mut arena, &mut requests, until) {
                break;
            }
            self.round(&mut arena, &mut requests);
            if Instant::now() >= tidy_at {
                let more = self.tidy();
                tidy_at = if more { Instant::now() } else { Instant::now() + self.every };
            }
        }
        self.round(&mut arena, &mut requests); // a last time
        self.give_up();
        drop(self.conn); // the last one closed folds the WAL into the file
        drop(ended);
    }

    /// Writes what was kept from earlier rounds, then `arena`, which is left empty.
    fn round(&mut self, arena: &mut Arena, requests: &mut Vec<Request>) {
        if !self.kept.entries.is_empty() {
            for entry in &arena.entries {
                self.kept.adopt(arena, entry);
            }
            mem::swap(&mut self.kept, arena);
            self.kept.clear();
        }
        self.write(arena, requests);
        arena.clear();
        if self.kept.entries.is_empty() {
            self.shared.done.send_replace(self.finished);
        }
    }

    fn write(&mut self, arena: &Arena, requests: &mut Vec<Request>) {
        let mut from = 0;
        while from < arena.entries.len() || !requests.is_empty() {
            let mut bytes = 0;
            let rest = arena.entries.iter().skip(from);
            let fits = rest.take(CHUNK_RECORDS).take_while(|entry| {
                let first = bytes == 0;
                bytes += entry.len();
                first || bytes <= CHUNK_BYTES
            });
            let to = from + fits.count();
            let outcome = self.chunk(arena, from..to, mem::take(requests));
            from = to;
            if outcome.is_err() && !self.kept.entries.is_empty() {
                // Nothing may overtake what is kept.
                self.finish(arena, arena.entries.get(from..).unwrap_or_default(), &outcome);
                return;
            }
        }
    }

    fn chunk(&mut self, arena: &Arena, range: Range<usize>, requests: Vec<Request>) -> Result<(), LogError> {
        let entries = arena.entries.get(range).unwrap_or_default();
        let (outcome, requested) = match self.room(!entries.is_empty()) {
            Ok(true) => {
                let outcome = self.commit(arena, entries, &requests);
                // Readers' commits may fit where records do not.
                let alone = outcome.is_err() && !entries.is_empty() && !requests.is_empty();
                let requested = if alone { self.commit(arena, &[], &requests) } else { outcome.clone() };
                (outcome, requested)
            }
            Ok(false) => (Err(LogError::DiskFull), self.commit(arena, &[], &requests)),
            Err(error) => (Err(log_error(&error)), Err(log_error(&error))),
        };
        match &outcome {
            Ok(()) if entries.is_empty() => {}
            Ok(()) => {
                self.shared.confirmed_at_ms.store(Clock::REAL.now_ms(), Ordering::Relaxed);
                self.shared.set_degraded(None);
            }
            Err(error) => self.failed(error),
        }
        self.finish(arena, entries, &outcome);
        for request in requests {
            self.answer(request, requested.clone());
        }
        if outcome == Err(LogError::DiskFull) {
            self.tidy();
        }
        outcome
    }

    /// One transaction; afterwards either all of it is durable or nothing has changed.
    fn commit(&mut self, arena: &Arena, entries: &[Entry], requests: &[Request]) -> Result<(), LogError> {
        let mut topics = self.topics;
        if let Err(error) = self.transaction(arena, entries, requests, &mut topics) {
            if !self.conn.is_autocommit() {
                let _ = self.conn.execute_batch("ROLLBACK"); // fails only when SQLite has rolled back already
            }
            return Err(log_error(&error));
        }
        self.topics = topics;
        for (topic, state) in Topic::ALL.into_iter().zip(&topics) {
            self.shared.set_head(topic, state.next);
        }
        self.shared.version.send_modify(|version| *version += 1);
        Ok(())
    }

    /// Tells what became of entries; those that must not be lost are only kept when they failed.
    fn finish(&mut self, arena: &Arena, entries: &[Entry], outcome: &Result<(), LogError>) {
        let finished = |entry: &&Entry| outcome.is_ok() || !entry.kept;
        let records = entries.iter().filter(finished).count();
        self.shared.queue.finished(records, entries.iter().filter(finished).map(Entry::len).sum());
        self.finished += records as u64;
        for (place, entry) in entries.iter().enumerate() {
            if !finished(&entry) {
                self.kept.adopt(arena, entry);
                continue;
            }
            if outcome.is_err() {
                self.shared.lost.count(entry.topic);
            }
            if let Ack::Notify { sink, token } = &entry.ack {
                let offset = self.offsets.get(place).copied().unwrap_or(-1);
                let position = Position { topic: entry.topic, partition: 0, offset };
                sink.acked(*token, outcome.clone().map(|()| position));
            }
        }
    }

    /// The end has come: what could not be written until now is lost.
    fn give_up(&self) {
        for entry in &self.kept.entries {
            self.shared.lost.count(entry.topic);
            if let Ack::Notify { sink, token } = &entry.ack {
                sink.acked(*token, Err(LogError::Closed));
            }
        }
        if !self.kept.entries.is_empty() {
            let (records, path) = (self.kept.entries.len(), self.shared.path.display());
            tracing::error!(records, %path, "records that could not be written are lost with the end of this process");
        }
    }

    /// Whether the file may still grow.
    fn room(&self, asked: bool) -> rusqlite::Result<bool> {
        Ok(!asked || store::used_bytes(&self.conn)? < self.disk_max)
    }

    fn transaction(
        &mut self,
        arena: &Arena,
        entries: &[Entry],
        requests: &[Request],
        topics: &mut States,
    ) -> rusqlite::Result<()> {
        self.offsets.clear();
        let now = Clock::REAL.now_ms();
        let conn = &self.conn;
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut statement = None;
        let mut touched = [false; Topic::ALL.len()];
        for entry in entries {
            let index = entry.topic.index();
            let (Some(state), Some(last_at), Some(touched)) =
                (topics.get_mut(index), self.last_at.get_mut(index), touched.get_mut(index))
            else {
                continue; // `ALL` holds every topic
            };
            *touched = true;
            *last_at = now.max(*last_at);
            let offset = state.next;
            if !matches!(&statement, Some((topic, _)) if *topic == entry.topic) {
                statement = Some((entry.topic, conn.prepare_cached(&store::insert_sql(entry.topic))?));
            }
            let (key, headers) = (arena.key(entry), arena.headers(entry));
            if let Some((_, insert)) = &mut statement {
                let headers = (!headers.is_empty()).then_some(headers);
                insert.execute(params![offset, *last_at, key, arena.payload(entry), headers])?;
            }
            state.next += 1;
            state.records += 1;
            state.bytes += entry.len() as i64;
            if entry.topic.compacted() {
                supersede(conn, entry.topic, key, offset, state)?;
            }
            self.offsets.push(offset);
        }
        drop(statement);
        for ((topic, state), touched) in Topic::ALL.into_iter().zip(topics.iter()).zip(touched) {
            if touched {
                store::set_topic_state(conn, topic, *state)?;
            }
        }
        for request in requests {
            match request {
                Request::Register { group, topics } => store::register(conn, group, topics)?,
                Request::Commit { group, upto, .. } => store::set_positions(conn, group, upto)?,
                Request::Forget { group, .. } => {
                    conn.prepare_cached("DELETE FROM positions WHERE grp = ?1")?.execute([group]).map(drop)?;
                }
                Request::Tidy { .. } => {}
            }
        }
        conn.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    fn answer(&mut self, request: Request, outcome: Result<(), LogError>) {
        let (done, outcome) = match request {
            Request::Register { .. } => return,
            Request::Commit { done, .. } | Request::Forget { done, .. } => (done, outcome),
            Request::Tidy { done } => {
                while self.tidy() {}
                (done, outcome)
            }
        };
        let _: Result<(), _> = oneshot::Sender::send(done, outcome); // Err: nobody waits any more
    }

    /// One bounded round of deleting; true when there is more to delete.
    fn tidy(&mut self) -> bool {
        let full = store::used_bytes(&self.conn).is_ok_and(|used| used >= self.disk_max);
        match self.keeper.round(&mut self.conn, &mut self.topics, Clock::REAL.now_ms(), full) {
            Ok(more) => more,
            Err(error) => {
                self.failed(&log_error(&error));
                false
            }
        }
    }

    fn failed(&self, error: &LogError) {
        if self.shared.degraded().is_none() {
            tracing::error!(path = %self.shared.path.display(), %error, "the event log cannot write");
        }
        self.shared.set_degraded(Some(error.to_string()));
    }
}

/// Compacted topics keep only the last record of a key.
fn supersede(conn: &Connection, topic: Topic, key: &[u8], offset: i64, state: &mut TopicState) -> rusqlite::Result<()> {
    let sql = format!("DELETE FROM \"{}\" WHERE key = ?1 AND off < ?2 RETURNING {ROW_BYTES}", topic.name());
    let mut delete = conn.prepare_cached(&sql)?;
    let mut rows = delete.query(params![key, offset])?;
    while let Some(row) = rows.next()? {
        state.records -= 1;
        state.bytes -= row.get::<_, i64>(0)?;
    }
    Ok(())
}

fn log_error(error: &rusqlite::Error) -> LogError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => LogError::DiskFull,
        // Another process held the file for the whole busy time-out.
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LogError::Timeout,
        _ => LogError::Backend(error.to_string()),
    }
}

/// However the thread ends, nobody goes on waiting for it.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        let shared = &self.0;
        shared.queue.close();
        if thread::panicking() {
            shared.set_degraded(Some("the writer of the log has failed".to_owned()));
        }
        // Only a panic leaves something behind.
        let (mut arena, mut requests) = (Arena::default(), Vec::new());
        while shared.queue.take(&mut arena, &mut requests, Instant::now()) {
            requests.clear();
            for entry in arena.entries.drain(..) {
                shared.lost.count(entry.topic);
                if let Ack::Notify { sink, token } = entry.ack {
                    sink.acked(token, Err(LogError::Closed));
                }
            }
        }
        shared.ended.store(true, Ordering::Release);
        shared.version.send_modify(|version| *version += 1);
        shared.done.send_modify(|_| {});
    }
}

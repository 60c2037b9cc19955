//! The one writer: takes what waits, writes it in one transaction, syncs, then confirms in order.

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
    queue::{Arena, Request},
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
        Ok(Self { conn, shared, topics, last_at, keeper, disk_max, every, offsets: Vec::new(), finished: 0 })
    }

    /// Until the queue is closed and empty.
    pub fn run(mut self) {
        let ended = Ended(Arc::clone(&self.shared));
        let (mut arena, mut requests) = (Arena::default(), Vec::new());
        let mut tidy_at = Instant::now();
        while self.shared.queue.take(&mut arena, &mut requests, tidy_at) {
            self.write(&arena, &mut requests);
            arena.clear();
            if Instant::now() >= tidy_at {
                let more = self.tidy();
                tidy_at = if more { Instant::now() } else { Instant::now() + self.every };
            }
        }
        drop(self.conn); // the last one closed folds the WAL into the file
        drop(ended);
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
            self.chunk(arena, from..to, mem::take(requests));
            from = to;
        }
    }

    fn chunk(&mut self, arena: &Arena, range: Range<usize>, requests: Vec<Request>) {
        let entries = arena.entries.get(range).unwrap_or_default();
        let mut topics = self.topics;
        let (room, outcome) = match self.room(!entries.is_empty()) {
            Ok(true) => (true, self.transaction(arena, entries, &requests, &mut topics)),
            Ok(false) => (false, self.transaction(arena, &[], &requests, &mut topics)),
            Err(error) => (true, Err(error)),
        };
        let outcome = outcome.map_err(|error| {
            if !self.conn.is_autocommit() {
                let _ = self.conn.execute_batch("ROLLBACK"); // fails only when SQLite has rolled back already
            }
            log_error(&error)
        });
        match &outcome {
            Ok(()) => {
                self.topics = topics;
                for (topic, state) in Topic::ALL.into_iter().zip(&topics) {
                    self.shared.set_head(topic, state.next);
                }
                if room && !entries.is_empty() {
                    self.shared.confirmed_at_ms.store(Clock::REAL.now_ms(), Ordering::Relaxed);
                    self.shared.set_degraded(None);
                }
                self.shared.version.send_modify(|version| *version += 1);
            }
            Err(error) => self.failed(error),
        }
        if !room {
            self.failed(&LogError::DiskFull);
        }
        let outcome = outcome.and(if room { Ok(()) } else { Err(LogError::DiskFull) });
        let bytes = entries.iter().map(super::queue::Entry::len).sum();
        self.shared.queue.finished(entries.len(), bytes);
        self.confirm(entries, &outcome);
        let requested = if room { outcome } else { Ok(()) };
        for request in requests {
            self.answer(request, requested.clone());
        }
        if !room {
            self.tidy();
        }
        self.finished += entries.len() as u64;
        self.shared.done.send_replace(self.finished);
    }

    /// Whether the file may still grow.
    fn room(&self, asked: bool) -> rusqlite::Result<bool> {
        Ok(!asked || store::used_bytes(&self.conn)? < self.disk_max)
    }

    fn transaction(
        &mut self,
        arena: &Arena,
        entries: &[super::queue::Entry],
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

    fn confirm(&self, entries: &[super::queue::Entry], outcome: &Result<(), LogError>) {
        for (place, entry) in entries.iter().enumerate() {
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

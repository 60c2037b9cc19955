//! What waits for the writer: records copied once into a shared arena, bounded in number and bytes.
//!
//! While the writer syncs one batch, the next one gathers here: that is the group commit. Records that nobody waits for gather a
//! little longer, which saves most of the commits of a quiet site; one that somebody waits for takes them along at once. Two arenas change places, so that
//! appending allocates nothing once they have grown.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::super::{Ack, Append, AppendError, LogError};
use crate::topic::Topic;

/// What the writer does besides appending, in the same transaction.
#[derive(Debug)]
pub(super) enum Request {
    /// The group exists from now on: what it has not read is kept.
    Register {
        group: String,
        topics: Vec<Topic>,
    },
    Commit {
        group: String,
        upto: Vec<(Topic, i64)>,
        done: oneshot::Sender<Result<(), LogError>>,
    },
    Forget {
        group: String,
        done: oneshot::Sender<Result<(), LogError>>,
    },
    /// A round of housekeeping now.
    Tidy {
        done: oneshot::Sender<Result<(), LogError>>,
    },
}

/// A record in the arena.
#[derive(Debug)]
pub(super) struct Entry {
    pub topic: Topic,
    start: usize,
    key: usize,
    payload: Option<usize>,
    headers: usize,
    /// Stays until it is durable, whatever happens to the disk.
    pub kept: bool,
    pub ack: Ack,
}

impl Entry {
    pub const fn len(&self) -> usize {
        let payload = match self.payload {
            Some(len) => len,
            None => 0,
        };
        self.key + payload + self.headers
    }
}

#[derive(Debug, Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    pub entries: Vec<Entry>,
}

impl Arena {
    pub fn key(&self, entry: &Entry) -> &[u8] {
        self.slice(entry.start, entry.key)
    }

    pub fn payload(&self, entry: &Entry) -> Option<&[u8]> {
        entry.payload.map(|len| self.slice(entry.start + entry.key, len))
    }

    /// Encoded by [`super::headers`]; empty = none.
    pub fn headers(&self, entry: &Entry) -> &[u8] {
        self.slice(entry.start + entry.len() - entry.headers, entry.headers)
    }

    fn slice(&self, start: usize, len: usize) -> &[u8] {
        self.bytes.get(start..start + len).unwrap_or_default()
    }

    /// Takes over a copy of an entry of another arena, behind those that are here.
    pub fn adopt(&mut self, from: &Self, entry: &Entry) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(from.slice(entry.start, entry.len()));
        self.entries.push(Entry { start, ack: entry.ack.clone(), ..*entry });
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        // A burst of large records should not keep its memory for ever.
        self.bytes.shrink_to(ARENA_KEPT);
    }
}

const ARENA_KEPT: usize = 4 << 20;

#[derive(Debug, Default)]
struct State {
    arena: Arena,
    requests: Vec<Request>,
    /// Taken and not yet finished, those in the writer's hands included.
    records: usize,
    bytes: usize,
    /// Records taken since the start.
    taken: u64,
    /// When the oldest record in the arena came.
    since: Option<Instant>,
    /// Somebody waits for what is in the arena.
    urgent: bool,
    closed: bool,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    records_max: usize,
    bytes_max: usize,
    record_max: usize,
    /// How long records that nobody waits for gather.
    linger: Duration,
}

impl Queue {
    pub fn new(records_max: usize, bytes_max: usize, record_max: usize, linger: Duration) -> Self {
        Self { state: Mutex::default(), ready: Condvar::new(), records_max, bytes_max, record_max, linger }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `kept`: it stays in the queue until it is durable, and its ack hears of nothing before that or the end.
    pub fn append(&self, record: Append<'_>, ack: Ack, kept: bool) -> Result<(), AppendError> {
        let headers = super::headers::encoded_len(record.headers);
        let len = record.key.len() + record.payload.map_or(0, <[u8]>::len) + headers;
        let mut state = self.lock();
        if state.closed {
            return Err(AppendError::Closed);
        }
        if len > self.record_max {
            return Err(AppendError::TooLarge);
        }
        if state.records >= self.records_max || state.bytes + len > self.bytes_max {
            return Err(AppendError::Full);
        }
        state.records += 1;
        state.bytes += len;
        state.taken += 1;
        let arena = &mut state.arena;
        let start = arena.bytes.len();
        arena.bytes.extend_from_slice(record.key);
        arena.bytes.extend_from_slice(record.payload.unwrap_or_default());
        super::headers::encode(record.headers, &mut arena.bytes);
        let payload = record.payload.map(<[u8]>::len);
        let waited_for = matches!(ack, Ack::Notify { .. });
        arena.entries.push(Entry { topic: record.topic, start, key: record.key.len(), payload, headers, kept, ack });
        let urgent = waited_for || state.records * 2 > self.records_max || state.bytes * 2 > self.bytes_max;
        let first = state.since.is_none();
        if first {
            state.since = Some(Instant::now());
        }
        let hurry = urgent && !state.urgent;
        state.urgent |= urgent;
        drop(state);
        if first || hurry {
            self.ready.notify_one();
        }
        Ok(())
    }

    pub fn request(&self, request: Request) -> Result<(), LogError> {
        let mut state = self.lock();
        if state.closed {
            return Err(LogError::Closed);
        }
        state.requests.push(request);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for work until `until`, swaps it into `arena` (which must be clear); false when closed and empty.
    pub fn take(&self, arena: &mut Arena, requests: &mut Vec<Request>, until: Instant) -> bool {
        let mut state = self.lock();
        while !state.urgent && state.requests.is_empty() {
            let due = state.since.map(|since| since + self.linger);
            if state.closed {
                if due.is_none() {
                    return false;
                }
                break;
            }
            let Some(left) = due.unwrap_or(until).checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                if due.is_none() {
                    return true;
                }
                break;
            };
            state = self.ready.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.since = None;
        state.urgent = false;
        mem::swap(&mut state.arena, arena);
        mem::swap(&mut state.requests, requests);
        true
    }

    pub fn finished(&self, records: usize, bytes: usize) {
        let mut state = self.lock();
        state.records = state.records.saturating_sub(records);
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Takes nothing more; the writer finishes what is there and ends.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    /// How many records were taken so far; what still gathers is written now.
    pub fn hurry(&self) -> u64 {
        let mut state = self.lock();
        state.urgent = true;
        let taken = state.taken;
        drop(state);
        self.ready.notify_one();
        taken
    }

    pub fn waiting(&self) -> usize {
        self.lock().records
    }
}

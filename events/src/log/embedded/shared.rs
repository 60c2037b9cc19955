//! What appenders, the writer thread and readers of one process share.

use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use tokio::sync::watch;

use super::queue::Queue;
use crate::{clock::Clock, log::lost::Lost, topic::Topic};

#[derive(Debug)]
pub(super) struct Shared {
    pub path: PathBuf,
    pub queue: Queue,
    /// The offset of the next record per topic, as committed.
    heads: [AtomicI64; Topic::ALL.len()],
    /// Grows with every commit: readers wait for it.
    pub version: watch::Sender<u64>,
    /// Records finished (durable or failed) since the start.
    pub done: watch::Sender<u64>,
    /// Real UTC ms; 0 = none yet.
    pub confirmed_at_ms: AtomicI64,
    degraded: Mutex<Option<(i64, String)>>,
    /// Records that were taken and then failed.
    pub lost: Lost,
    /// The writer thread has ended.
    pub ended: AtomicBool,
}

impl Shared {
    pub fn new(path: PathBuf, queue: Queue) -> Self {
        Self {
            path,
            queue,
            heads: std::array::from_fn(|_| AtomicI64::new(0)),
            version: watch::Sender::new(0),
            done: watch::Sender::new(0),
            confirmed_at_ms: AtomicI64::new(0),
            degraded: Mutex::new(None),
            lost: Lost::default(),
            ended: AtomicBool::new(false),
        }
    }

    pub fn head(&self, topic: Topic) -> i64 {
        self.heads.get(topic.index()).map_or(0, |head| head.load(Ordering::Acquire))
    }

    pub fn set_head(&self, topic: Topic, next: i64) {
        if let Some(head) = self.heads.get(topic.index()) {
            head.store(next, Ordering::Release);
        }
    }

    pub fn degraded(&self) -> Option<(i64, String)> {
        self.degraded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the time at which it began, whatever the reason is by now.
    pub fn set_degraded(&self, why: Option<String>) {
        let mut degraded = self.degraded.lock().unwrap_or_else(PoisonError::into_inner);
        *degraded = why.map(|why| (degraded.as_ref().map_or_else(|| Clock::REAL.now_ms(), |(since, _)| *since), why));
    }
}

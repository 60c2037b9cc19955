//! Records that a log took and then could not make durable. Where an ack waits it hears of it; here everyone is counted, so that what
//! nobody waits for is not lost unseen.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::topic::Topic;

/// Counted since the start, and by topic in the metric `evgate_log_lost_total`.
#[derive(Debug, Default)]
pub(super) struct Lost(AtomicU64);

impl Lost {
    /// One record of `topic` failed after it was taken. Rare, so the metric's handle is looked up each time.
    pub fn count(&self, topic: Topic) {
        self.0.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("evgate_log_lost_total", "topic" => topic.name()).increment(1);
    }

    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

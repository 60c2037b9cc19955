//! How records leave the spool, and how full it is.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{Place, State, Waiting};
use crate::log::{EventLog as _, LogError, Record, SpoolHealth};

/// A drain that has brought nothing for so long is not waited for at the end.
const STANDSTILL: Duration = Duration::from_millis(500);

impl Waiting {
    /// A record of the spool is in the log.
    pub fn drained(&self, place: Place, record: &Record) {
        self.drained.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("evgate_spool_drained_total").increment(1);
        self.gone(place, record);
    }

    /// The log will never take a record of the spool, which is set aside.
    pub fn refused(&self, place: Place, record: &Record) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("evgate_spool_refused_total").increment(1);
        self.gone(place, record);
    }

    /// The spool need not keep a record any more.
    fn gone(&self, place: Place, record: &Record) {
        let (topic, offset) = place;
        let mut state = self.lock();
        state.records = state.records.saturating_sub(1);
        state.bytes = state.bytes.saturating_sub(record.bytes() as u64);
        let left = self.left_upto.get(topic.index()).is_some_and(|upto| offset < *upto);
        if left {
            state.left_behind = state.left_behind.saturating_sub(1);
        } else if let Some(behind) = state.behind.get_mut(topic.index())
            && let Some(count) = behind.get_mut(&record.key)
        {
            *count -= 1;
            if *count == 0 {
                behind.remove(&record.key);
            }
        }
        if state.records == 0
            && let Some((since, before)) = state.since.take()
        {
            self.oldest_at_ms.store(0, Ordering::Relaxed);
            state.shrink();
            let seconds = since.elapsed().as_secs();
            let (drained, refused) = (self.drained.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed));
            tracing::info!(
                records = drained - before,
                refused,
                seconds,
                "the spool is empty: the log has everything but what it refused"
            );
        }
        self.publish_depth(&state);
    }

    pub(super) fn publish_depth(&self, state: &State) {
        self.behind.store(state.records, Ordering::Relaxed);
        self.depth.send_replace((state.records, state.left_behind));
    }

    pub async fn caught_up(&self) -> Result<(), LogError> {
        let mut depth = self.depth.subscribe();
        depth.wait_for(|(_, left_behind)| *left_behind == 0).await.map(drop).map_err(|_| LogError::Closed)
    }

    /// Waits until the spool is empty, as long as it gets emptier and at most until then.
    pub async fn empty_by(&self, deadline: Instant) {
        let mut depth = self.depth.subscribe();
        while depth.borrow_and_update().0 > 0 {
            let until = deadline.min(Instant::now() + STANDSTILL);
            if tokio::time::timeout_at(until.into(), depth.changed()).await.is_err() {
                return;
            }
        }
    }

    pub fn health(&self) -> SpoolHealth {
        let state = self.lock();
        let failing = state.spool.as_ref().and_then(|spool| spool.health().degraded);
        let dead = self.dead.load(Ordering::Relaxed);
        SpoolHealth {
            records: state.records,
            bytes: state.bytes,
            oldest_at_ms: if state.records == 0 { 0 } else { self.oldest_at_ms.load(Ordering::Relaxed) },
            spooled: self.spooled.load(Ordering::Relaxed),
            drained: self.drained.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            left_behind: state.left_behind,
            log_away: state.away,
            failing: failing.or_else(|| dead.then(|| (0, "the spool's thread has failed".to_owned()))),
        }
    }
}

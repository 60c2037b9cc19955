//! How far the database is behind the log, told whether the consumer gets on or is stuck.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use events::{clock::Clock, log::Batch};
use metrics::Gauge;

use crate::status::Part;

const TELL_EVERY: Duration = Duration::from_secs(1);
/// A reader at its end looks again every 100 ms; one that does not for this long is stuck.
const FRESH_MS: i64 = 2_000;

/// Real time, UTC ms.
#[derive(Clone, Copy, Debug)]
enum Reached {
    /// Others read: not our lag.
    Nothing,
    /// Everything was applied that was there at this time.
    End(i64),
    /// Applied up to a record that the log took at this time; there is more, or it is not known.
    Record(i64),
}

pub(super) struct Lag {
    reached: Mutex<Reached>,
    gauge: Gauge,
    part: Part,
}

impl Lag {
    /// Until it reads, it is behind since now.
    pub fn new(gauge: Gauge, part: Part) -> Self {
        Self { reached: Mutex::new(Reached::Record(Clock::REAL.now_ms())), gauge, part }
    }

    /// The batch was applied.
    pub fn applied(&self, batch: &Batch) {
        let last_ms = batch.records.last().map(|record| record.appended_at_ms);
        let reached = match last_ms {
            _ if batch.at_end => Reached::End(Clock::REAL.now_ms()),
            _ if batch.idle => Reached::Nothing,
            Some(last_ms) => Reached::Record(last_ms),
            None => return,
        };
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = reached;
        self.tell();
    }

    fn ms(&self, now_ms: i64) -> i64 {
        match *self.reached.lock().unwrap_or_else(PoisonError::into_inner) {
            Reached::Nothing => 0,
            Reached::End(at_ms) if now_ms - at_ms < FRESH_MS => 0,
            Reached::End(at_ms) | Reached::Record(at_ms) => now_ms.saturating_sub(at_ms).max(0),
        }
    }

    fn tell(&self) {
        let lag_ms = self.ms(Clock::REAL.now_ms());
        self.part.figure("lag_ms", lag_ms);
        #[expect(clippy::cast_precision_loss, reason = "a gauge; a lag of 2^52 ms is not reached")]
        self.gauge.set(lag_ms as f64);
    }

    /// Tells it again and again, whatever the consumer does meanwhile.
    pub async fn keep_telling(&self) {
        loop {
            self.tell();
            tokio::time::sleep(TELL_EVERY).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use events::{
        log::{Position, Record},
        topic::Topic,
    };

    use super::*;
    use crate::status::Status;

    #[test]
    fn it_grows_from_where_the_consumer_stuck() {
        let lag = Lag::new(Gauge::noop(), Status::default().part("consumer"));
        let now = Clock::REAL.now_ms();
        let record = Record {
            position: Position { topic: Topic::Device, partition: 0, offset: 0 },
            key: "k".into(),
            payload: None,
            headers: Vec::new(),
            appended_at_ms: now - 60_000,
        };
        assert!(lag.ms(now + 10_000) >= 9_000, "nothing was read since the start");
        let batch = |records: &[Record], at_end, idle| Batch { records: records.to_vec(), at_end, idle };
        lag.applied(&batch(std::slice::from_ref(&record), false, false));
        assert_eq!(lag.ms(now), 60_000);
        assert_eq!(lag.ms(now + 5_000), 65_000, "it grows while the next batch is not applied");
        lag.applied(&batch(&[], false, false));
        assert_eq!(lag.ms(now), 60_000, "nothing new is no news");
        lag.applied(&batch(&[record], true, false));
        let now = Clock::REAL.now_ms();
        assert_eq!(lag.ms(now), 0, "at the end");
        assert!(lag.ms(now + 10_000) >= 9_000, "at the end once, and stuck since");
        lag.applied(&batch(&[], false, true));
        assert_eq!(lag.ms(now + 10_000), 0, "a member without a partition is not behind");
    }
}

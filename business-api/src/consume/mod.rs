//! Folds the log into rows. Event, effects and position are one database transaction, so that a `kill -9` at any moment leaves
//! either all of a batch or nothing of it, and the log delivers the rest again.
//!
//! Poison (undecodable, impossible) goes to `<topic>.dlq` through the outbox, in the same transaction, and never blocks what
//! follows. A transient fault pauses: the same batch is tried again until the database is back.

mod alarms;
mod apply;
mod batch;
mod live;
mod timers;

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    clock::Clock,
    log::{Batch, EventLog, Position, Record, Subscription},
    topic::Topic,
};
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

pub(crate) use batch::Settings;
use timers::Look;

use crate::{
    outbox::Bell,
    status::Part,
    store::{DbError, Store},
};

const POLL: Duration = Duration::from_millis(100);
/// How often timers are looked at, real time.
const TICK: Duration = Duration::from_millis(200);
const TICK_BEHIND: Duration = Duration::from_secs(2);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Consumer {
    pub store: Store,
    pub log: Arc<dyn EventLog>,
    pub clock: Clock,
    pub settings: Arc<Settings>,
    pub batch: usize,
    pub bell: Bell,
    pub part: Part,
}

impl Consumer {
    /// Consumes until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut backoff = Backoff::default();
        while !shutdown.is_cancelled() {
            // The database's positions are the truth: one that is older than the log (a restored backup) reads again.
            let stored = match self.stored().await {
                Ok(stored) => stored,
                Err(error) => {
                    self.part.ill(&format!("positions: {error}"));
                    backoff.wait(&shutdown).await;
                    continue;
                }
            };
            match self.log.subscribe_from(&self.settings.group, &[Topic::Device, Topic::Telemetry], &stored) {
                Err(error) => {
                    self.part.ill(&format!("subscribe: {error}"));
                    backoff.wait(&shutdown).await;
                }
                Ok(subscription) => {
                    // Ends at shutdown or when the subscription is broken; then a new one goes on after the stored positions.
                    self.follow(subscription, &mut backoff, &shutdown).await;
                }
            }
        }
    }

    async fn stored(&self) -> Result<Vec<Position>, DbError> {
        let positions = self.store.write_platform().await?.positions(&self.settings.group).await?;
        Ok(positions.into_iter().map(|((topic, partition), offset)| Position { topic, partition, offset }).collect())
    }

    async fn follow(
        &self,
        mut subscription: Box<dyn Subscription>,
        backoff: &mut Backoff,
        shutdown: &CancellationToken,
    ) {
        let mut ticked = Instant::now();
        loop {
            let polled = tokio::select! {
                () = shutdown.cancelled() => return,
                polled = subscription.poll(self.batch, POLL) => polled,
            };
            let batch = match polled {
                Ok(batch) => batch,
                Err(error) => {
                    self.part.ill(&format!("log: {error}"));
                    backoff.wait(shutdown).await;
                    return;
                }
            };
            if !batch.records.is_empty() {
                let Some(positions) = self.apply(&batch.records, shutdown).await else { return };
                // A failed commit costs re-reading, nothing else: the stored positions are the truth.
                if let Err(error) = subscription.commit(&positions).await {
                    tracing::debug!(%error, "position not committed to the log");
                }
            }
            self.part.well();
            backoff.reset();
            self.tell_lag(&batch);
            let look = if batch.at_end { Look::AtEnd } else { Look::Behind };
            if ticked.elapsed() >= if batch.at_end { TICK } else { TICK_BEHIND } {
                ticked = Instant::now();
                self.tick(look, shutdown).await;
            }
        }
    }

    fn tell_lag(&self, batch: &Batch) {
        let last_ms = batch.records.last().map(|record| record.appended_at_ms);
        let lag_ms = match last_ms {
            Some(last_ms) if !batch.at_end => Clock::REAL.now_ms().saturating_sub(last_ms).max(0),
            _ if batch.at_end => 0,
            _ => return,
        };
        self.part.figure("lag_ms", lag_ms);
        #[expect(clippy::cast_precision_loss, reason = "a gauge; a lag of 2^52 ms is not reached")]
        self.settings.metrics.lag.set(lag_ms as f64);
    }

    /// Applies a batch, however long that takes; `None` at shutdown.
    async fn apply(&self, records: &[Record], shutdown: &CancellationToken) -> Option<Vec<Position>> {
        let mut backoff = Backoff::default();
        loop {
            let started = Instant::now();
            match self.attempt(records).await {
                Ok(positions) => {
                    self.settings.metrics.batch_seconds.record(started.elapsed());
                    self.bell.ring();
                    return Some(positions);
                }
                Err(error) if error.is_transient() => {
                    self.settings.metrics.retries.increment(1);
                    if !matches!(error, DbError::Changed(_)) {
                        self.part.ill(&format!("{error}"));
                    }
                    backoff.wait(shutdown).await;
                    if shutdown.is_cancelled() {
                        return None;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, events = records.len(), "a batch could not be applied; one event at a time");
                    self.isolate(records, shutdown).await?;
                    return Some(batch::ends(records));
                }
            }
        }
    }

    async fn attempt(&self, records: &[Record]) -> Result<Vec<Position>, DbError> {
        let now_ms = self.clock.now_ms();
        let applied = AssertUnwindSafe(batch::apply(&self.store, &self.settings, records, now_ms)).catch_unwind().await;
        applied.unwrap_or_else(|_| Err(DbError::Unreadable("panic while applying".to_owned())))
    }

    /// Applies one event after the other; the one that cannot be applied goes to the dead letters.
    async fn isolate(&self, records: &[Record], shutdown: &CancellationToken) -> Option<()> {
        for record in records {
            let mut backoff = Backoff::default();
            let mut poison = None::<String>;
            loop {
                let one = std::slice::from_ref(record);
                let result = match &poison {
                    None => self.attempt(one).await.map(drop),
                    Some(why) => batch::set_aside(&self.store, &self.settings, record, why, self.clock.now_ms()).await,
                };
                match result {
                    Ok(()) => break,
                    Err(error) if error.is_transient() || poison.is_some() => {
                        self.part.ill(&format!("{error}"));
                        backoff.wait(shutdown).await;
                        if shutdown.is_cancelled() {
                            return None;
                        }
                    }
                    Err(error) => poison = Some(error.to_string()),
                }
            }
        }
        Some(())
    }

    async fn tick(&self, look: Look, shutdown: &CancellationToken) {
        let fired =
            AssertUnwindSafe(timers::fire(&self.store, &self.settings, self.clock.now_ms(), look)).catch_unwind();
        let fired = tokio::select! {
            () = shutdown.cancelled() => return,
            fired = fired => fired,
        };
        match fired {
            Ok(Ok(0)) => {}
            Ok(Ok(_)) => self.bell.ring(),
            Ok(Err(DbError::Changed(_))) => {} // another node was faster
            Ok(Err(error)) => self.part.ill(&format!("timers: {error}")),
            Err(_) => self.part.ill("timers: panic"),
        }
    }
}

/// 50 ms, doubled to 5 s.
#[derive(Debug, Default)]
struct Backoff(u32);

impl Backoff {
    async fn wait(&mut self, shutdown: &CancellationToken) {
        let delay = Duration::from_millis(50).saturating_mul(1 << self.0.min(10)).min(BACKOFF_MAX);
        self.0 = self.0.saturating_add(1);
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(delay) => {}
        }
    }

    const fn reset(&mut self) {
        self.0 = 0;
    }
}

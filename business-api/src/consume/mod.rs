//! Folds the log into rows. Event, effects and position are one database transaction, so that a `kill -9` at any moment leaves
//! either all of a batch or nothing of it, and the log delivers the rest again.
//!
//! Poison (undecodable, impossible) goes to `<topic>.dlq` through the outbox, in the same transaction, and never blocks what
//! follows. A transient fault pauses: the same batch is tried again until the database is back.

mod alarms;
mod apply;
mod batch;
mod lag;
mod letters;
mod live;
mod standing;
mod timers;

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    clock::Clock,
    log::{EventLog, Position, Record, Subscription},
    topic::Topic,
};
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

pub(crate) use batch::Settings;
use batch::{Hole, Outcome};
use lag::Lag;
pub(crate) use letters::Letters;
use timers::Look;

use crate::{
    outbox::Bell,
    status::Part,
    store::{DbError, Store, positions::stands},
};

const POLL: Duration = Duration::from_millis(100);
/// How often timers are looked at, real time.
const TICK: Duration = Duration::from_millis(200);
const TICK_BEHIND: Duration = Duration::from_secs(2);
/// How often the subscription hears where the database stands, real time.
const STAND_EVERY: Duration = Duration::from_secs(5);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Consumer {
    pub store: Store,
    pub log: Arc<dyn EventLog>,
    pub clock: Clock,
    pub settings: Arc<Settings>,
    pub batch: usize,
    pub bell: Bell,
    pub part: Part,
    /// What will never come, or came from another log.
    pub history: Part,
}

/// What following a subscription has found out.
#[derive(Default)]
struct Found {
    /// Positions that this process has applied since it subscribed.
    applied: HashMap<(Topic, i32), i64>,
    /// Holes seen since something was applied. One that is there again after reading anew from the database's position is in the
    /// log itself.
    holes: Vec<Hole>,
}

/// What became of a batch, in the end.
enum Done {
    Applied(Vec<Position>),
    /// Read again from where the database stands.
    Astray,
    Shutdown,
}

impl Consumer {
    /// Consumes until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let lag = Lag::new(self.settings.metrics.lag.clone(), self.part.clone());
        tokio::select! {
            () = self.consume(&lag, &shutdown) => {}
            () = lag.keep_telling() => {}
        }
    }

    async fn consume(&self, lag: &Lag, shutdown: &CancellationToken) {
        let mut backoff = Backoff::default();
        let mut found = Found::default();
        while !shutdown.is_cancelled() {
            let stand = standing::stand(&self.store, &*self.log, &self.settings, &self.history);
            let stood = tokio::select! {
                () = shutdown.cancelled() => return,
                stood = stand => stood,
            };
            // The database's positions are the truth: one that is older than the log (a restored backup) reads again.
            let subscribed = stood.map_err(|error| error.to_string()).and_then(|stood| {
                let topics = [Topic::Device, Topic::Telemetry];
                let subscribed = self.log.subscribe_from(&self.settings.group, &topics, &stood);
                subscribed.map_err(|error| format!("subscribe: {error}"))
            });
            match subscribed {
                Err(why) => {
                    self.part.ill(&why);
                    backoff.wait(shutdown).await;
                }
                Ok(subscription) => {
                    found.applied.clear();
                    // Ends at shutdown or when the subscription is broken; then a new one goes on after the stored positions.
                    self.follow(subscription, &mut found, lag, &mut backoff, shutdown).await;
                }
            }
        }
    }

    async fn follow(
        &self,
        mut subscription: Box<dyn Subscription>,
        found: &mut Found,
        lag: &Lag,
        backoff: &mut Backoff,
        shutdown: &CancellationToken,
    ) {
        let (mut ticked, mut stood) = (Instant::now(), Instant::now());
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
                let positions = match self.apply(&batch.records, found, shutdown).await {
                    Done::Applied(positions) => positions,
                    Done::Astray => {
                        backoff.wait(shutdown).await;
                        return;
                    }
                    Done::Shutdown => return,
                };
                // A failed commit costs re-reading, nothing else: the stored positions are the truth.
                if let Err(error) = subscription.commit(&positions).await {
                    tracing::debug!(%error, "position not committed to the log");
                }
            }
            self.part.well();
            backoff.reset();
            lag.applied(&batch);
            let look = if batch.at_end { Look::AtEnd } else { Look::Behind };
            if ticked.elapsed() >= if batch.at_end { TICK } else { TICK_BEHIND } {
                ticked = Instant::now();
                self.tick(look, shutdown).await;
            }
            if stood.elapsed() >= STAND_EVERY {
                stood = Instant::now();
                if !self.still_stands(&mut *subscription, found).await {
                    return;
                }
            }
        }
    }

    /// Tells the subscription where all members together stand. False when the database was set back under this process: then
    /// everything is read again from there.
    async fn still_stands(&self, subscription: &mut dyn Subscription, found: &Found) -> bool {
        let positions = match self.store.read_platform().await {
            Ok(mut tx) => tx.positions(&self.settings.group).await,
            Err(error) => Err(error),
        };
        let Ok(positions) = positions else { return true }; // what needs the database says so
        subscription.stands(&stands(&positions));
        found.applied.iter().all(|(of, applied)| positions.get(of).is_some_and(|stood| stood.offset >= *applied))
    }

    /// Applies a batch, however long that takes.
    async fn apply(&self, records: &[Record], found: &mut Found, shutdown: &CancellationToken) -> Done {
        let mut backoff = Backoff::default();
        loop {
            let started = Instant::now();
            match self.attempt(records, found).await {
                Ok(done) => {
                    self.settings.metrics.batch_seconds.record(started.elapsed());
                    self.bell.ring();
                    return done;
                }
                Err(error) if error.is_transient() => {
                    self.settings.metrics.retries.increment(1);
                    if !matches!(error, DbError::Changed(_)) {
                        self.part.ill(&format!("{error}"));
                    }
                    backoff.wait(shutdown).await;
                    if shutdown.is_cancelled() {
                        return Done::Shutdown;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, events = records.len(), "a batch could not be applied; one event at a time");
                    return self.isolate(records, found, shutdown).await;
                }
            }
        }
    }

    async fn attempt(&self, records: &[Record], found: &mut Found) -> Result<Done, DbError> {
        let now_ms = self.clock.now_ms();
        let applying = batch::apply(&self.store, &self.settings, records, &found.holes, now_ms);
        let applied = AssertUnwindSafe(applying).catch_unwind().await;
        match applied.unwrap_or_else(|_| Err(DbError::Unreadable("panic while applying".to_owned())))? {
            Outcome::Applied(positions, passed) => {
                for hole in passed {
                    standing::missed(&self.settings, &self.history, hole.after, hole.next - 1);
                }
                found.holes.clear();
                found.applied.extend(positions.iter().map(|at| ((at.topic, at.partition), at.offset)));
                Ok(Done::Applied(positions))
            }
            Outcome::Astray(hole) => {
                tracing::warn!(after = ?hole.after, next = hole.next, "records do not follow what was applied: reading again");
                if !found.holes.contains(&hole) {
                    found.holes.push(hole);
                }
                Ok(Done::Astray)
            }
        }
    }

    /// Applies one event after the other; the one that cannot be applied goes to the dead letters.
    async fn isolate(&self, records: &[Record], found: &mut Found, shutdown: &CancellationToken) -> Done {
        for record in records {
            let mut backoff = Backoff::default();
            let mut poison = None::<String>;
            loop {
                let one = std::slice::from_ref(record);
                let result = match &poison {
                    None => self.attempt(one, found).await,
                    Some(why) => batch::set_aside(&self.store, &self.settings, record, why, self.clock.now_ms())
                        .await
                        .map(|()| Done::Applied(Vec::new())),
                };
                match result {
                    Ok(Done::Applied(_)) => break,
                    Ok(other) => return other,
                    Err(error) if error.is_transient() || poison.is_some() => {
                        self.part.ill(&format!("{error}"));
                        backoff.wait(shutdown).await;
                        if shutdown.is_cancelled() {
                            return Done::Shutdown;
                        }
                    }
                    Err(error) => poison = Some(error.to_string()),
                }
            }
        }
        Done::Applied(batch::positions(&batch::ends(records)))
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

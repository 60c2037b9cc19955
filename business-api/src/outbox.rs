//! Carries the outbox to the log, in order, and forgets a record only after the log's confirmation.
//!
//! At least once: a kill between confirmation and delete publishes again. Consumers are idempotent (registry entries by key,
//! commands by command id, order states by version). One process publishes at a time, by lease.
//!
//! A record that the log will never take keeps nothing back. A letter goes to the list of letters; anything else stays in the table, is passed
//! over, shown, and tried again now and then, in case the log's limit was raised.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    clock::Clock,
    log::{Ack, AckSink, Append, AppendError, EventLog, LogError, Position},
    topic::Topic,
};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    dead_letters,
    metrics::Metrics,
    status::Part,
    store::{DbError, Store, outbox::Stored},
};

const LEASE: &str = "outbox";
const LEASE_MS: i64 = 15_000;
const AT_ONCE: i64 = 500;
const CONFIRM_WITHIN: Duration = Duration::from_secs(30);
/// How often the table is looked at when nobody says that something is in it (another node may have written it).
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a record is tried again that the log refused for good.
const REFUSED_AGAIN: Duration = Duration::from_secs(300);
/// Of those, passed over at a time. One more keeps back what is behind it.
const REFUSED_MAX: usize = 500;

/// Tells the publisher that there may be something.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// Confirmations of one batch, by place in the batch.
struct Confirmations(mpsc::Sender<(u64, Result<Position, LogError>)>);

impl AckSink for Confirmations {
    fn acked(&self, token: u64, outcome: Result<Position, LogError>) {
        // Never full: there is a place for every record of the batch. The receiver is gone when the batch was given up; the
        // records are then published again.
        let _ = self.0.try_send((token, outcome));
    }

    /// In the table, until the log has it.
    fn keeps(&self) -> bool {
        true
    }
}

#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("the log: {0}")]
    Log(#[from] LogError),
    #[error("the log: {0}")]
    Append(#[from] AppendError),
}

impl PublishError {
    /// The log will never take the record.
    const fn too_large(&self) -> bool {
        matches!(self, Self::Append(AppendError::TooLarge) | Self::Log(LogError::TooLarge))
    }
}

/// Records of the table that the log refused for good, by id: their topics and keys, and when they are tried again.
#[derive(Default)]
struct Refused(BTreeMap<i64, (Topic, Vec<u8>, Instant)>);

impl Refused {
    /// Those that are passed over now.
    fn passed_over(&mut self) -> Vec<i64> {
        let now = Instant::now();
        self.0.retain(|_, (.., again)| *again > now);
        self.0.keys().copied().collect()
    }

    /// Has room, or is full.
    fn add(&mut self, stored: &Stored) -> bool {
        let room = self.0.len() < REFUSED_MAX;
        if room {
            let (topic, key) = (stored.outgoing.topic, stored.outgoing.key.clone());
            tracing::error!(%topic, id = stored.id, "too large for the log (log.record_kbytes_max, the brokers' max.message.bytes): stays in the outbox");
            self.0.insert(stored.id, (topic, key, Instant::now() + REFUSED_AGAIN));
        }
        room
    }

    /// Those that published ones have replaced: of a compacted topic only the last value of a key counts, and an older one must not follow it.
    fn replaced(&mut self, published: &[Stored]) -> Vec<i64> {
        let mut replaced = Vec::new();
        for Stored { id, outgoing } in published.iter().filter(|stored| stored.outgoing.topic.compacted()) {
            let older =
                self.0.range(..id).filter(|(_, (topic, key, _))| (*topic, key) == (outgoing.topic, &outgoing.key));
            replaced.extend(older.map(|(id, _)| *id));
        }
        self.0.retain(|id, _| !replaced.contains(id));
        replaced
    }
}

/// Publishes until `shutdown`.
pub(crate) async fn run(
    store: Store,
    log: Arc<dyn EventLog>,
    bell: Bell,
    metrics: Arc<Metrics>,
    part: Part,
    shutdown: CancellationToken,
) {
    let holder = uuid::Uuid::now_v7().to_string();
    let mut wait = LOOK_EVERY;
    let mut refused = Refused::default();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = bell.0.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        let mut published = 0;
        let drained = drain(&store, log.as_ref(), &holder, &mut refused, &mut published).await;
        let kept = refused.0.len();
        part.figure("refused", i64::try_from(kept).unwrap_or(i64::MAX));
        metrics.outbox_refused.set(f64::from(u32::try_from(kept).unwrap_or(u32::MAX)));
        wait = match drained {
            Ok(()) => {
                if kept == 0 {
                    part.well();
                } else {
                    part.ill(&format!("{kept} records are larger than the log takes"));
                }
                LOOK_EVERY
            }
            Err(error) => {
                part.ill(&error.to_string());
                if published > 0 { LOOK_EVERY } else { (wait * 2).min(Duration::from_secs(5)) }
            }
        };
    }
    // What is left stays in the table; the next publisher need not wait for the lease to run out.
    let freed: Result<(), DbError> = async {
        let mut tx = store.write_platform().await?;
        tx.drop_lease(LEASE, &holder).await?;
        tx.commit().await
    }
    .await;
    if let Err(error) = freed {
        tracing::debug!(%error, "outbox lease not freed");
    }
}

/// Publishes everything that is there now; counts what is confirmed.
async fn drain(
    store: &Store,
    log: &dyn EventLog,
    holder: &str,
    refused: &mut Refused,
    published: &mut usize,
) -> Result<(), PublishError> {
    let mut lease_until = None::<Instant>;
    loop {
        let waiting = store.read_platform().await?.outbox(&refused.passed_over(), AT_ONCE).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        if lease_until.is_none_or(|until| Instant::now() > until) {
            let now_ms = Clock::REAL.now_ms();
            let mut tx = store.write_platform().await?;
            let ours = tx.take_lease(LEASE, holder, now_ms, now_ms + LEASE_MS).await?;
            tx.commit().await?;
            if !ours {
                return Ok(());
            }
            lease_until = Some(Instant::now() + Duration::from_millis(LEASE_MS.unsigned_abs() / 3));
        }
        let confirmed = publish(log, &waiting).await;
        let done = confirmed.as_ref().map_or_else(|(done, _)| *done, |()| waiting.len());
        let mut ids: Vec<i64> = waiting.iter().take(done).map(|stored| stored.id).collect();
        if !ids.is_empty() {
            ids.extend(refused.replaced(waiting.get(..done).unwrap_or_default()));
            let mut tx = store.write_platform().await?;
            tx.delete_outbox(&ids).await?;
            tx.commit().await?;
            *published += done;
            metrics::counter!(crate::metrics::OUTBOX_PUBLISHED).increment(done as u64);
        }
        match (confirmed, waiting.get(done)) {
            // Everything before it is confirmed; it would keep back everything after it, for ever.
            (Err((_, error)), Some(stored)) if error.too_large() => {
                if keep_here(store, stored).await? {
                    *published += 1;
                } else if !refused.add(stored) {
                    return Err(error);
                }
            }
            (confirmed, _) => confirmed.map_err(|(_, error)| error)?,
        }
    }
}

/// Moves a letter that the log does not take to the list of letters. False for what is no letter and cannot become one.
async fn keep_here(store: &Store, refused: &Stored) -> Result<bool, DbError> {
    let Some((tenant, whole)) = dead_letters::refused(&refused.outgoing, Clock::REAL.now_ms()) else {
        return Ok(false);
    };
    let (topic, letter) = (refused.outgoing.topic, &whole.letter.id);
    tracing::error!(%topic, letter, "too large for the log (log.record_kbytes_max): kept as a dead letter in the database alone");
    let mut tx = store.write_platform().await?;
    let owner = dead_letters::owner(tenant, &tx.tenants().await?);
    tx.enter(owner).await?;
    tx.put_dead_letters(owner, &[&whole]).await?;
    tx.delete_outbox(&[refused.id]).await?;
    tx.commit().await?;
    Ok(true)
}

/// Appends a batch. On failure says how many from the front are confirmed without a gap: only those may be forgotten, so that
/// what follows a failed record is published again after it and keyed order holds in the end.
async fn publish(log: &dyn EventLog, waiting: &[Stored]) -> Result<(), (usize, PublishError)> {
    let (sender, mut receiver) = mpsc::channel(waiting.len().max(1));
    let sink: Arc<dyn AckSink> = Arc::new(Confirmations(sender));
    let mut taken = 0;
    let mut failure = None::<PublishError>;
    for (token, stored) in (0_u64..).zip(waiting) {
        let record = &stored.outgoing;
        let headers: Vec<(&str, &[u8])> =
            record.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let append =
            Append { topic: record.topic, key: &record.key, payload: record.payload.as_deref(), headers: &headers };
        if let Err(error) = log.append(append, Ack::Notify { sink: Arc::clone(&sink), token }) {
            failure = Some(error.into());
            break;
        }
        taken += 1;
    }
    let mut said: Vec<Option<Result<(), LogError>>> = vec![None; taken];
    let deadline = tokio::time::Instant::now() + CONFIRM_WITHIN;
    for _ in 0..taken {
        let Ok(Some((token, outcome))) = tokio::time::timeout_at(deadline, receiver.recv()).await else { break };
        if let Some(slot) = usize::try_from(token).ok().and_then(|token| said.get_mut(token)) {
            *slot = Some(outcome.map(drop));
        }
    }
    let done = said.iter().take_while(|said| matches!(said, Some(Ok(())))).count();
    // What became of the first that is not confirmed.
    match (said.into_iter().nth(done), failure) {
        (Some(Some(Err(error))), _) => Err((done, error.into())),
        (Some(_), _) => Err((done, LogError::Timeout.into())),
        (None, Some(error)) => Err((done, error)),
        (None, None) => Ok(()),
    }
}

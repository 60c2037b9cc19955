//! Follows the dead-letter topics into rows that can be listed, as a group of its own: whatever goes wrong here delays no event.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    log::{EventLog, LogError, Position, Record, Subscription},
    topic::Topic,
};
use tokio_util::sync::CancellationToken;

use super::{
    Backoff,
    batch::{ends, positions},
    standing::{Verdict, judge, sealed},
};
use crate::{
    dead_letters::{owner, owners, read},
    metrics::Metrics,
    status::Part,
    store::{
        DbError, Store, TenantId,
        dead_letters::{Source, WholeLetter},
        positions::{Positions, stands},
    },
};

const TOPICS: [Topic; 3] = [Topic::DeviceDlq, Topic::TelemetryDlq, Topic::CommandDlq];
/// A letter is up to as large as the log takes.
const AT_ONCE: usize = 50;
const POLL: Duration = Duration::from_millis(500);
/// How often the letters are counted that wait, real time; beside that after every batch.
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// How often letters are forgotten that the log has forgotten, real time.
const FORGET_EVERY: Duration = Duration::from_secs(300);

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("log: {0}")]
    Log(#[from] LogError),
}

/// The reader of the dead-letter topics.
pub(crate) struct Letters {
    pub store: Store,
    pub log: Arc<dyn EventLog>,
    /// The group of this reader alone.
    pub group: String,
    pub metrics: Arc<Metrics>,
    pub part: Part,
}

impl Letters {
    /// Follows until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut backoff = Backoff::default();
        while !shutdown.is_cancelled() {
            let followed = tokio::select! {
                () = shutdown.cancelled() => return,
                followed = self.follow(&mut backoff) => followed,
            };
            match followed {
                Err(FollowError::Db(DbError::Changed(_))) => {} // another process of the group was faster
                Err(error) => self.part.ill(&error.to_string()),
                Ok(never) => match never {},
            }
            backoff.wait(&shutdown).await;
        }
    }

    /// Ends with the first trouble; the next one begins where the database stands.
    async fn follow(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, FollowError> {
        let stands = self.stand().await?;
        let mut subscription = self.log.subscribe_from(&self.group, &TOPICS, &stands)?;
        let (mut counted, mut forgot) = (None::<Instant>, None::<Instant>);
        loop {
            let batch = subscription.poll(AT_ONCE, POLL).await?;
            if !batch.records.is_empty() {
                self.keep(&batch.records, &mut *subscription).await?;
                counted = None;
            }
            if counted.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
                self.count().await?;
                counted = Some(Instant::now());
            }
            if forgot.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
                self.forget().await?;
                forgot = Some(Instant::now());
            }
            self.part.well();
            backoff.reset();
        }
    }

    async fn positions(&self) -> Result<Positions, DbError> {
        self.store.read_platform().await?.positions(&self.group).await
    }

    /// Where to read on. A log that is another one is read from its beginning; a letter that was read before is the same one.
    async fn stand(&self) -> Result<Vec<Position>, FollowError> {
        let known = self.positions().await?;
        let mut stand = Vec::with_capacity(known.len());
        for (position, around) in self.log.around(&stands(&known)).await? {
            let Some(stood) = known.get(&(position.topic, position.partition)) else { continue };
            let verdict = judge(*stood, &around);
            if verdict == Verdict::Here {
                stand.push(position);
                continue;
            }
            let to = Position { offset: around.first - 1, ..position };
            tracing::warn!(topic = %position.topic, partition = position.partition, from = position.offset, to = to.offset, ?verdict, "dead letters are read on from another place");
            let mut tx = self.store.write_platform().await?;
            tx.move_position(&self.group, Some(position.offset), to, None).await?;
            tx.commit().await?;
            stand.push(to);
        }
        Ok(stand)
    }

    /// Letters and positions in one transaction.
    async fn keep(&self, records: &[Record], subscription: &mut dyn Subscription) -> Result<(), FollowError> {
        let mut tx = self.store.write_platform().await?;
        let before = tx.positions(&self.group).await?;
        let ends = ends(records);
        tx.move_forward(&self.group, &before, &sealed(&ends)).await?;
        let known = tx.tenants().await?;
        // The same letter may be there twice; the database takes it once.
        let mut letters: BTreeMap<(TenantId, String), WholeLetter> = BTreeMap::new();
        for record in records {
            let (tenant, letter) = read(record);
            letters.insert((owner(tenant, &known), letter.letter.id.clone()), letter);
        }
        let mut tenants: BTreeMap<TenantId, Vec<&WholeLetter>> = BTreeMap::new();
        for ((tenant, _), letter) in &letters {
            tenants.entry(*tenant).or_default().push(letter);
        }
        for (tenant, letters) in tenants {
            tx.enter(tenant).await?;
            tx.put_dead_letters(tenant, &letters).await?;
        }
        tx.commit().await?;
        // A failed commit costs re-reading, nothing else.
        if let Err(error) = subscription.commit(&positions(&ends)).await {
            tracing::debug!(%error, "position of the dead letters not committed to the log");
        }
        Ok(())
    }

    async fn count(&self) -> Result<(), DbError> {
        let owners = owners(&self.store).await?;
        let mut tx = self.store.read_platform().await?;
        let mut waiting = [0_i64; Source::ALL.len()];
        for tenant in owners {
            tx.enter(tenant).await?;
            for (source, waiting) in Source::ALL.into_iter().zip(&mut waiting) {
                *waiting += tx.dead_letters_waiting(tenant, source).await?;
            }
        }
        drop(tx);
        for (gauge, waiting) in self.metrics.letters_waiting.iter().zip(waiting) {
            #[expect(clippy::cast_precision_loss, reason = "a gauge; 2^52 letters are not reached")]
            gauge.set(waiting as f64);
        }
        self.part.figure("waiting", waiting.iter().sum());
        Ok(())
    }

    /// The log's retention is the letters' retention.
    async fn forget(&self) -> Result<(), FollowError> {
        let around = self.log.around(&stands(&self.positions().await?)).await?;
        for tenant in owners(&self.store).await? {
            let mut tx = self.store.write(tenant).await?;
            for (position, around) in &around {
                tx.forget_dead_letters(tenant, position.topic, position.partition, around.first).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }
}

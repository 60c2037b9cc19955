//! Follows `biz.registry.v1` into the replica, and tells those who are connected what it means for them. The listeners open when
//! the topic has been read to its end once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use events::{
    bytes::Bytes,
    log::{LogError, Record, Start},
    topic::Topic,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Change;
use crate::{
    shard::{Shared, inbox::News},
    status::Part,
};

/// Records taken at once.
const BATCH: usize = 1_000;
/// How long a poll waits, and a failed reader before it begins anew.
const WAIT: Duration = Duration::from_millis(500);

/// Runs until `stop`; a failing log makes the part degraded, never the gateway.
pub(crate) async fn follow_registry(
    shared: Arc<Shared>,
    part: Arc<Part>,
    loaded: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let mut follower = Follower { shared: &shared, part: &part, loaded, barred: HashSet::new() };
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = follower.read() => outcome,
        };
        if let Err(error) = outcome {
            part.degrade(&error.to_string());
            tracing::warn!(%error, "the registry topic cannot be read; the replica stays as it is");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WAIT) => {}
        }
    }
}

struct Follower<'a> {
    shared: &'a Shared,
    part: &'a Part,
    loaded: watch::Sender<bool>,
    /// Chargers that are connected here and may not be, as of the last record about them. Told when the topic is read to its end:
    /// one that is taken away and put back at once (the business side writes its registry anew) notices nothing.
    barred: HashSet<Box<str>>,
}

impl Follower<'_> {
    async fn read(&mut self) -> Result<(), LogError> {
        let mut subscription = self.shared.log.tail(&[Topic::Registry], Start::Beginning)?;
        // After an error the topic comes again from its start. What was true once must not be taken for now, so nothing of it counts
        // before its end is here. A key that is not in it stays: a topic that was made again is empty until it is filled.
        let mut again = self.shared.replica.loaded().then(HashMap::<Bytes, Record>::new);
        loop {
            let batch = subscription.poll(BATCH, WAIT).await?;
            for record in batch.records {
                match &mut again {
                    Some(last) => drop(last.insert(record.key.clone(), record)),
                    None => self.take(&record),
                }
            }
            if !batch.at_end {
                continue;
            }
            for record in again.take().into_iter().flat_map(HashMap::into_values) {
                self.take(&record);
            }
            self.tell();
            if !self.shared.replica.loaded() {
                self.shared.replica.set_loaded();
                let _ = self.loaded.send(true); // nobody waits any more: the gateway is stopping
            }
            self.part.recover();
        }
    }

    fn take(&mut self, record: &Record) {
        let shared = self.shared;
        match shared.replica.apply(&record.key, record.payload.as_deref()) {
            Ok(Change::Charger { id, rebound }) => {
                if rebound {
                    shared.prices.charger(id);
                }
                let barred = shared.live.find(id).is_some_and(|seat| !shared.replica.admits(seat.tenant, id));
                if barred {
                    self.barred.insert(id.into());
                }
            }
            Ok(Change::Tariff(id)) => shared.prices.tariff(id),
            Ok(Change::Token) => {}
            // A newer business side may write what this version does not know: skip, say so, go on.
            Err(error) => {
                tracing::warn!(offset = record.position.offset, %error, "a registry record was skipped");
            }
        }
    }

    fn tell(&mut self) {
        for id in self.barred.drain() {
            if let Some(seat) = self.shared.live.find(&id)
                && !self.shared.replica.admits(seat.tenant, &id)
            {
                self.shared.tell(seat, News::Removed);
            }
        }
    }
}

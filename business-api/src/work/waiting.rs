//! Meter readings that are here before the start of their session, which lies in the spool of a gateway that the charger has left: they
//! wait, bounded, for their order, or for the meter reading at its start that makes an energy of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Wanted, Work};
use crate::{
    order::Reading,
    store::{DbError, Tx, waiting::WaitingRow},
};

/// How long a reading waits for its start, ms of the platform's clock: 48 h.
pub(crate) const WAITS_MS: i64 = 48 * 3_600_000;
/// How many sessions of a charger may fill what one order may keep (`samples_per_order`).
const FULL_SESSIONS: usize = 4;

/// Charger and session.
type Key = (String, String);

/// What waits of the chargers that the work is about.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// How many, stored or new.
    counts: BTreeMap<Key, usize>,
    /// By time: those that are new, and those that are stored of sessions that the work may find an order for.
    readings: BTreeMap<Key, BTreeMap<i64, Reading>>,
    /// Of these, what is not stored.
    new: BTreeSet<(Key, i64)>,
    /// Sessions whose stored readings went to an order.
    taken: BTreeSet<Key>,
}

impl Work {
    /// Reads what waits of these chargers. One of them has something: nobody else costs a query.
    pub(super) async fn load_waiting(&mut self, tx: &mut Tx, wanted: &Wanted) -> Result<(), DbError> {
        let waits = self.chargers.values().filter(|charger| charger.waiting_samples);
        let chargers: Vec<String> = waits.map(|charger| charger.id.clone()).collect();
        if chargers.is_empty() {
            return Ok(());
        }
        self.waiting.counts = tx.waiting_counts(self.tenant, &chargers).await?;
        // Another process may have made the order at the same moment: then the next word of the session finds it.
        let known = |session: &String| wanted.sessions.contains(session) && self.by_session.contains_key(session);
        let has_order = |(_, session): &&Key| wanted.starts.contains(session) || known(session);
        let asked: Vec<Key> = self.waiting.counts.keys().filter(has_order).cloned().collect();
        for key in asked {
            let readings = tx.waiting_of(self.tenant, &key.0, &key.1).await?;
            self.waiting.readings.insert(key, readings.into_iter().map(|it| (it.at_ms, it)).collect());
        }
        let known: Vec<String> = self.orders.keys().cloned().collect();
        known.iter().for_each(|order_no| self.adopt_waiting(order_no));
        Ok(())
    }

    /// A reading that no order can take yet.
    pub fn wait(&mut self, charger: &str, reading: Reading) {
        let key = (charger.to_owned(), reading.session.clone());
        let of_session = self.waiting.counts.get(&key).copied().unwrap_or(0);
        let of_charger: usize =
            self.waiting.counts.iter().filter(|((of, _), _)| of == charger).map(|(_, count)| count).sum();
        let most = self.rules.samples_max;
        if of_session >= most || of_charger >= most.saturating_mul(FULL_SESSIONS) {
            self.metrics.samples_full.increment(1);
            return;
        }
        self.waiting.new.insert((key.clone(), reading.at_ms));
        if self.waiting.readings.entry(key.clone()).or_default().insert(reading.at_ms, reading).is_none() {
            *self.waiting.counts.entry(key).or_default() += 1;
        }
    }

    /// The order has its session now, or the meter reading at its start: what waited for that is kept with it.
    pub(super) fn adopt_waiting(&mut self, order_no: &str) {
        let Some(order) = self.orders.get(order_no).map(|row| &row.facts.order) else { return };
        let Some(session) = order.session.clone() else { return };
        let (key, meter_start) = ((order.charger.clone(), session), order.meter_start);
        let Some(readings) = self.waiting.readings.remove(&key) else { return };
        let waits_on = |reading: &Reading| meter_start.is_none() && reading.relative(None).is_none();
        if readings.values().all(waits_on) {
            self.waiting.readings.insert(key, readings);
            return;
        }
        self.waiting.counts.remove(&key);
        self.waiting.new.retain(|(of, _)| *of != key);
        self.waiting.taken.insert(key);
        for reading in readings.into_values() {
            match reading.relative(meter_start) {
                Some(sample) => self.keep_sample(order_no, sample),
                None if meter_start.is_none() => {
                    let charger = self.orders.get(order_no).map(|row| row.facts.order.charger.clone());
                    self.wait(&charger.unwrap_or_default(), reading);
                }
                None => {} // before the start of the session
            }
        }
    }

    pub(super) async fn flush_waiting(&mut self, tx: &mut Tx) -> Result<(), DbError> {
        for (charger, session) in &self.waiting.taken {
            tx.take_waiting(self.tenant, charger, session).await?;
        }
        let row = |(key, at_ms): &(Key, i64)| {
            let reading = self.waiting.readings.get(key)?.get(at_ms)?.clone();
            Some(WaitingRow { charger: key.0.clone(), reading })
        };
        let new: Vec<WaitingRow> = self.waiting.new.iter().filter_map(row).collect();
        tx.put_waiting(self.tenant, &new, self.now_ms).await
    }
}

//! Whether the positions in the database are positions in this log, and what to do when they are not.
//!
//! Beside each position stands the seal of the record that was applied there. A log that has another record at that place, or ends
//! before it, is another log, or an older state of the same one (a restored backup, a topic made again, another cluster): its
//! offsets mean nothing to this database, and it is read from its first record. Applying is idempotent, so what was applied before
//! changes nothing. A log that no longer has the next record cannot give it back: that is said, counted, and passed.

use events::log::{Around, EventLog, LogError, Position, Record};
use sha2::{Digest as _, Sha256};

use super::batch::Settings;
use crate::{
    registry,
    status::Part,
    store::{
        DbError, Store,
        positions::{Stood, stands},
    },
};

/// Why it is not known where to read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum StandError {
    #[error("positions: {0}")]
    Db(#[from] DbError),
    #[error("log: {0}")]
    Log(#[from] LogError),
}

/// Tells a record from every other at the same offset of another log.
pub(super) fn seal(record: &Record) -> i64 {
    let mut hash = Sha256::new();
    hash.update(record.appended_at_ms.to_le_bytes());
    hash.update((record.key.len() as u64).to_le_bytes());
    hash.update(&record.key);
    hash.update(record.payload.as_deref().unwrap_or_default());
    let digest: [u8; 32] = hash.finalize().into();
    digest.first_chunk().map_or(0, |first| i64::from_le_bytes(*first))
}

/// Where these records are, each with its seal.
pub(super) fn sealed(records: &[&Record]) -> Vec<(Position, i64)> {
    records.iter().map(|record| (record.position, seal(record))).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next record follows.
    Here,
    /// The records up to this one are not kept any more, and were not applied.
    Missed(i64),
    /// Not the log in which this position was.
    Elsewhere,
}

pub(super) fn judge(stood: Stood, around: &Around) -> Verdict {
    let Around { first, next, record } = around;
    if *next <= stood.offset {
        return Verdict::Elsewhere;
    }
    if *first > stood.offset + 1 {
        return Verdict::Missed(first - 1);
    }
    match (stood.seal, record) {
        (Some(known), Some(record)) if seal(record) != known => Verdict::Elsewhere,
        (Some(_), None) if *first <= stood.offset => Verdict::Elsewhere,
        _ => Verdict::Here,
    }
}

/// Where to read on, after what had to be mended was mended in one transaction.
///
/// # Errors
/// Database or log cannot be asked, or somebody else moved a position meanwhile. Nothing is then changed.
pub(super) async fn stand(
    store: &Store,
    log: &dyn EventLog,
    settings: &Settings,
    history: &Part,
) -> Result<Vec<Position>, StandError> {
    let known = store.read_platform().await?.positions(&settings.group).await?;
    let mut stands = stands(&known);
    let mut moves = Vec::new();
    for (position, around) in log.around(&stands).await? {
        let Some(stood) = known.get(&(position.topic, position.partition)) else { continue };
        let verdict = judge(*stood, &around);
        if verdict != Verdict::Here {
            moves.push((position, Position { offset: around.first - 1, ..position }, verdict));
        }
    }
    if moves.is_empty() {
        return Ok(stands);
    }
    let mut tx = store.write_platform().await?;
    for (from, to, _) in &moves {
        tx.move_position(&settings.group, Some(from.offset), *to, None).await?;
    }
    if moves.iter().any(|(_, _, verdict)| *verdict == Verdict::Elsewhere) {
        // Gateways know chargers, tokens and tariffs from the log alone; this one may have none of them.
        registry::publish_again(&mut tx).await?;
    }
    tx.commit().await?;
    for (from, to, verdict) in moves {
        match verdict {
            Verdict::Missed(upto) => missed(settings, history, from, upto),
            _ => elsewhere(settings, history, from),
        }
        if let Some(stand) = stands.iter_mut().find(|stand| **stand == from) {
            *stand = to;
        }
    }
    Ok(stands)
}

/// Events after `from` up to `upto` will not come. Never taken back: a person has to know.
pub(super) fn missed(settings: &Settings, history: &Part, from: Position, upto: i64) {
    let (topic, partition, first) = (from.topic, from.partition, from.offset + 1);
    let why = format!("{topic} partition {partition}: events {first} to {upto} were not in the log any more");
    tracing::error!(%topic, partition, first, last = upto, "events are missing in the database: the log does not have them any more");
    settings.metrics.missed.increment(u64::try_from(upto - from.offset).unwrap_or(0));
    history.add("missed", upto - from.offset);
    history.ill(&why);
}

fn elsewhere(settings: &Settings, history: &Part, from: Position) {
    let (topic, partition, offset) = (from.topic, from.partition, from.offset);
    let why =
        format!("{topic} partition {partition}: not the log that was applied up to {offset}; read from its beginning");
    tracing::error!(%topic, partition, offset, "not the log whose events were applied (new, restored, or another cluster): it is read from its beginning");
    settings.metrics.log_replaced.increment(1);
    history.ill(&why);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use events::topic::Topic;

    use super::*;

    fn record(offset: i64, at_ms: i64, payload: &'static str) -> Record {
        Record {
            position: Position { topic: Topic::Device, partition: 0, offset },
            key: "k".into(),
            payload: Some(payload.into()),
            headers: Vec::new(),
            appended_at_ms: at_ms,
        }
    }

    #[test]
    fn what_the_log_holds_says_whether_the_position_is_in_it() {
        let ours = record(50, 1_000, "a");
        let stood = Stood { offset: 50, seal: Some(seal(&ours)) };
        let unsealed = Stood { seal: None, ..stood };
        let around = |first, next, record: Option<&Record>| Around { first, next, record: record.cloned() };
        let other = record(50, 1_000, "b");
        let again = record(50, 2_000, "a"); // a gateway sent the same event again, to another log
        for (about, stood, around, verdict) in [
            ("as it was", stood, around(0, 60, Some(&ours)), Verdict::Here),
            ("nothing new", stood, around(0, 51, Some(&ours)), Verdict::Here),
            ("all applied, all deleted", stood, around(51, 51, None), Verdict::Here),
            ("applied and deleted, more came", stood, around(51, 80, None), Verdict::Here),
            ("empty", stood, around(0, 0, None), Verdict::Elsewhere),
            ("an older copy that was not written to", stood, around(0, 50, None), Verdict::Elsewhere),
            ("an older copy that was written beyond", stood, around(0, 90, Some(&other)), Verdict::Elsewhere),
            ("the same event at another time", stood, around(0, 90, Some(&again)), Verdict::Elsewhere),
            ("no record where one was", stood, around(0, 90, None), Verdict::Elsewhere),
            ("deleted before it was read", stood, around(60, 90, None), Verdict::Missed(59)),
            ("deleted to the end", stood, around(90, 90, None), Verdict::Missed(89)),
            ("written by an older release", unsealed, around(0, 60, Some(&other)), Verdict::Here),
            ("an older release's, and the log ends before", unsealed, around(0, 50, None), Verdict::Elsewhere),
            ("set to the beginning", Stood { offset: -1, seal: None }, around(0, 0, None), Verdict::Here),
        ] {
            assert_eq!(judge(stood, &around), verdict, "{about}");
        }
    }
}

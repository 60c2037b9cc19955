//! A batch of records in one transaction: what is new in it, whose it is, what cannot be read.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use events::{
    card::other_alignments,
    log::{Position, Record},
    prost::Message as _,
    proto::{Envelope, envelope::Body},
    topic::Topic,
};

use super::{
    alarms, apply,
    live::{self, Connection},
    standing::{seal, sealed},
};
use crate::{
    dead_letters,
    metrics::{DEAD_LETTERS, Metrics},
    store::{DbError, Store, TenantId, Tx, outbox::Outgoing, positions::Positions},
    work::{Rules, Wanted, Work},
};

/// What applying needs beside the database.
pub(crate) struct Settings {
    pub group: String,
    pub rules: Arc<Rules>,
    pub metrics: Arc<Metrics>,
    /// Live data that left its gateway before the record may still be this much behind it, ms of the platform's clock: the two
    /// travel on topics of their own, perhaps through different brokers.
    pub samples_behind_ms: i64,
}

/// An event that could be read, and the record it came in.
pub(super) struct Event<'a> {
    pub record: &'a Record,
    pub envelope: Envelope,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Where the group then stands, and the known holes that were passed.
    Applied(Vec<Position>, Vec<Hole>),
    /// The records do not follow what was applied; nothing was done.
    Astray(Hole),
}

/// Records that should be between what was applied and what came next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    /// The last one that was applied.
    pub after: Position,
    /// The one that came.
    pub next: i64,
}

/// Applies what of the records is new. They must follow what was applied before, but for `holes` that are known.
///
/// # Errors
/// The database's; nothing is then applied.
pub(super) async fn apply(
    store: &Store,
    settings: &Settings,
    records: &[Record],
    holes: &[Hole],
    now_ms: i64,
) -> Result<Outcome, DbError> {
    let mut tx = store.write_platform().await?;
    let before = tx.positions(&settings.group).await?;
    let (fresh, passed) = match fresh(&before, records, holes) {
        Ok(found) => found,
        Err(hole) => return Ok(Outcome::Astray(hole)),
    };
    settings.metrics.skipped.increment((records.len() - fresh.len()) as u64);
    let ends = ends(records);
    tx.move_forward(&settings.group, &before, &sealed(&ends)).await?;
    let mut tenants: BTreeMap<i64, Vec<Event<'_>>> = BTreeMap::new();
    let (mut dead, mut outdated, mut unregistered) = (Vec::new(), 0, 0);
    for record in &fresh {
        match decode(record) {
            Ok((tenant, envelope)) => tenants.entry(tenant.0).or_default().push(Event { record, envelope }),
            Err(reason) => dead.push(dead_letter(record, reason, "")),
        }
    }
    for (tenant, mut events) in tenants {
        // Live data may run ahead of the start of its session on the other topic: starts first. Order per charger and topic
        // stays as it was (the sort is stable).
        events.sort_by_key(|event| event.record.position.topic != Topic::Device);
        let of_tenant = apply_tenant(&mut tx, settings, TenantId(tenant), &events, now_ms).await?;
        dead.extend(of_tenant.dead);
        outdated += of_tenant.outdated;
        unregistered += of_tenant.unregistered;
    }
    tx.push_outbox(dead.into_iter().flatten().collect(), now_ms).await?;
    tx.commit().await?;
    settings.metrics.applied.increment(fresh.len() as u64);
    settings.metrics.outdated.increment(outdated);
    settings.metrics.unregistered.increment(unregistered);
    Ok(Outcome::Applied(positions(&ends), passed))
}

/// The records that were not applied before, if they follow what was, and the holes between them.
fn fresh<'a>(before: &Positions, records: &'a [Record], known: &[Hole]) -> Result<(Vec<&'a Record>, Vec<Hole>), Hole> {
    let mut stands: HashMap<(Topic, i32), i64> = before.iter().map(|(of, stood)| (*of, stood.offset)).collect();
    let (mut fresh, mut passed) = (Vec::with_capacity(records.len()), Vec::new());
    for record in records {
        let at = record.position;
        let stands = stands.entry((at.topic, at.partition)).or_insert(-1);
        let hole = Hole { after: Position { offset: *stands, ..at }, next: at.offset };
        // Another record at the place of the last one applied: the log was set back under a reader that goes on.
        let stood = before.get(&(at.topic, at.partition)).filter(|stood| stood.offset == at.offset);
        if stood.and_then(|stood| stood.seal).is_some_and(|known| known != seal(record)) {
            return Err(hole);
        }
        if at.offset > *stands + 1 {
            if !known.contains(&hole) {
                return Err(hole);
            }
            passed.push(hole);
        }
        if at.offset > *stands {
            *stands = at.offset;
            fresh.push(record);
        }
    }
    Ok((fresh, passed))
}

/// What of a tenant's events did not count, or not wholly.
struct OfTenant {
    dead: Vec<Option<Outgoing>>,
    /// Of connections that newer ones have replaced.
    outdated: u64,
    /// Of chargers that the registry does not have, about nothing but now.
    unregistered: u64,
}

async fn apply_tenant(
    tx: &mut Tx,
    settings: &Settings,
    tenant: TenantId,
    events: &[Event<'_>],
    now_ms: i64,
) -> Result<OfTenant, DbError> {
    tx.enter(tenant).await?;
    let wanted = wanted(events);
    let mut work = Work::load(tx, tenant, now_ms, &settings.rules, &settings.metrics, &wanted).await?;
    let (mut dead, mut outdated, mut unregistered) = (Vec::new(), 0, 0);
    for event in events {
        let charger = event.envelope.charger.as_str();
        if !work.chargers.contains_key(charger) {
            // A charger that was taken out while it was connected still says that it is gone. Redriving that would do nothing.
            if apply::matters_later(&event.envelope) {
                dead.push(dead_letter(event.record, "unknown_charger", charger));
            } else {
                unregistered += 1;
            }
            continue;
        }
        work.traceparent.clone_from(&event.envelope.traceparent);
        // What was put aside for a while says nothing about now.
        let redriven = dead_letters::was_redriven(event.record);
        let from = if redriven { Connection::Older } else { live::connection(&mut work, &event.envelope) };
        outdated += u64::from(!redriven && from == Connection::Older);
        let applied = if from == Connection::Older {
            apply::apply_stale(&mut work, &event.envelope)
        } else {
            live::note(&mut work, &event.envelope, from);
            apply::apply(&mut work, &event.envelope)
        };
        if let Err(why) = applied {
            dead.push(dead_letter(event.record, "impossible", &why));
        }
        if let Some(why) = work.set_aside.take() {
            dead.push(dead_letter(event.record, "too_many_records", &why));
        }
    }
    work.flush(tx).await?;
    Ok(OfTenant { dead, outdated, unregistered })
}

fn decode(record: &Record) -> Result<(TenantId, Envelope), &'static str> {
    let payload = record.payload.clone().ok_or("undecodable")?;
    let envelope = Envelope::decode(payload).map_err(|_| "undecodable")?;
    if envelope.body.is_none() || envelope.charger.is_empty() || envelope.charger.contains('\0') {
        return Err("undecodable");
    }
    let tenant = TenantId::of_envelope(envelope.tenant).ok_or("no_tenant")?;
    Ok((tenant, envelope))
}

/// What of the database the events are about.
fn wanted(events: &[Event<'_>]) -> Wanted {
    let mut wanted = Wanted::default();
    for event in events {
        wanted.chargers.insert(event.envelope.charger.clone());
        match &event.envelope.body {
            Some(Body::SessionAuthorized(it)) => {
                wanted.starts.insert(it.session.clone());
                wanted.sessions.insert(it.session.clone());
                wanted.tokens.insert(it.token.clone());
                wanted.tariffs.insert(it.tariff.clone());
            }
            Some(Body::SessionStarted(it)) => {
                wanted.starts.insert(it.session.clone());
                wanted.sessions.insert(it.session.clone());
                wanted.tokens.insert(it.token.clone());
                wanted.tags.extend(apply::order_tag(&it.token));
            }
            Some(Body::AlarmRaised(it)) => wanted.sessions.extend(alarms::session(it).map(ToOwned::to_owned)),
            Some(Body::SessionEnded(it)) => drop(wanted.sessions.insert(it.session.clone())),
            Some(Body::TransactionRecorded(it)) => {
                wanted.billing = true;
                wanted.digests.push(it.digest.to_vec());
                wanted.starts.insert(it.session.clone());
                wanted.sessions.insert(it.session.clone());
                wanted.tokens.insert(it.token.clone());
                wanted.tokens.insert(it.card.clone());
                wanted.tokens.extend(other_alignments(&it.card));
                wanted.tokens.insert(it.vin.clone());
            }
            Some(Body::MeterSampled(it)) => drop(wanted.sessions.insert(it.session.clone())),
            Some(Body::CommandAnswered(it)) => drop(wanted.commands.insert(it.command_id.clone())),
            _ => {}
        }
    }
    for set in [&mut wanted.sessions, &mut wanted.tokens, &mut wanted.tariffs, &mut wanted.commands] {
        // No row has an empty key; a text with U+0000 cannot be asked for, and no row has that either.
        set.retain(|text| !text.is_empty() && !text.contains('\0'));
    }
    wanted
}

/// The last record of each partition.
pub(super) fn ends(records: &[Record]) -> Vec<&Record> {
    let mut ends: BTreeMap<(Topic, i32), &Record> = BTreeMap::new();
    for record in records {
        let at = record.position;
        let end = ends.entry((at.topic, at.partition)).or_insert(record);
        if at.offset > end.position.offset {
            *end = record;
        }
    }
    // Always in the same order: two consumers that race for the same rows wait for each other instead of deadlocking.
    ends.into_values().collect()
}

pub(super) fn positions(records: &[&Record]) -> Vec<Position> {
    records.iter().map(|record| record.position).collect()
}

/// Puts one record aside that nothing can be done with, and moves past it.
///
/// # Errors
/// The database's.
pub(super) async fn set_aside(
    store: &Store,
    settings: &Settings,
    record: &Record,
    why: &str,
    now_ms: i64,
) -> Result<(), DbError> {
    let mut tx = store.write_platform().await?;
    let before = tx.positions(&settings.group).await?;
    if tx.move_forward(&settings.group, &before, &sealed(&[record])).await? {
        tx.push_outbox(dead_letter(record, "impossible", why).into_iter().collect(), now_ms).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// The original bytes under the original key, with origin and reason in the headers.
fn dead_letter(record: &Record, reason: &'static str, detail: &str) -> Option<Outgoing> {
    metrics::counter!(DEAD_LETTERS, "reason" => reason).increment(1);
    let at = record.position;
    tracing::warn!(
        topic = at.topic.name(),
        partition = at.partition,
        offset = at.offset,
        reason,
        detail,
        "dead letter"
    );
    let header = |name: &str, value: String| (name.to_owned(), value);
    let mut headers = vec![
        header(dead_letters::ORIGIN_TOPIC, at.topic.name().to_owned()),
        header(dead_letters::ORIGIN_PARTITION, at.partition.to_string()),
        header(dead_letters::ORIGIN_OFFSET, at.offset.to_string()),
        header(dead_letters::REASON, reason.to_owned()),
        header(dead_letters::DETAIL, detail.replace('\0', "\u{fffd}")),
    ];
    for (name, value) in &record.headers {
        headers.push((name.clone(), String::from_utf8_lossy(value).into_owned()));
    }
    Some(Outgoing {
        topic: at.topic.dead_letter()?,
        key: record.key.to_vec(),
        payload: record.payload.as_ref().map(|payload| payload.to_vec()),
        headers,
    })
}

//! Dead letters: what a record in a dead-letter topic says of itself, giving an event back to the topic it came from, and leaving
//! a letter alone for good.
//!
//! A redriven event goes through the consumer like any other and is idempotent by its content; one that cannot be applied again
//! becomes another letter, which says how often that was.

mod json;

use events::{
    log::{Position, Record},
    prost::Message as _,
    proto::Envelope,
    topic::Topic,
};
use sha2::{Digest as _, Sha256};

pub use json::{head_json, whole_json};

use crate::store::{
    DbError, Store, TenantId, Tx,
    dead_letters::{Letter, Origin, Source, WholeLetter},
    outbox::Outgoing,
};

/// Whose letters nobody's are: those that name no tenant that the registry has. Only who runs the platform sees them.
pub const NOBODY: TenantId = TenantId(0);

/// Everybody who may have letters: the registry's tenants, and [`NOBODY`].
///
/// # Errors
/// What the database says.
pub async fn owners(store: &Store) -> Result<Vec<TenantId>, DbError> {
    let mut tx = store.read_platform().await?;
    Ok(tx.tenants().await?.into_iter().map(|(tenant, _)| tenant).chain([NOBODY]).collect())
}

/// Headers of a letter that the API wrote. Those of the original record follow them.
pub(crate) const ORIGIN_TOPIC: &str = "dlq-topic";
pub(crate) const ORIGIN_PARTITION: &str = "dlq-partition";
pub(crate) const ORIGIN_OFFSET: &str = "dlq-offset";
pub(crate) const REASON: &str = "dlq-reason";
pub(crate) const DETAIL: &str = "dlq-detail";
/// Begins the name of every header above.
const OF_LETTER: &str = "dlq-";
/// Headers of an event that was redriven: the letter's id, when, by whom, and how often this event was by now.
const REDRIVEN_LETTER: &str = "redriven-letter";
const REDRIVEN_AT: &str = "redriven-at-ms";
const REDRIVEN_BY: &str = "redriven-by";
pub(crate) const REDRIVEN_TIMES: &str = "redriven-times";
/// Begins the name of every header above.
const OF_REDRIVE: &str = "redriven-";

/// The reason of an event that was redriven and did not fit into the log with the headers of a redrive.
pub(crate) const TOO_LARGE: &str = "too_large";
/// The partition of a letter that only the database has. The log's retention does not forget it.
const NOT_IN_THE_LOG: i32 = -1;

/// Longest reason and detail kept in a row, characters; the record's headers are kept whole.
const TEXT_MAX: usize = 400;

/// Reads a record of a dead-letter topic, and whose it says it is. Never fails: whatever is there can be shown.
pub(crate) fn read(record: &Record) -> (u64, WholeLetter) {
    let headers: Vec<(String, String)> = record
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let number = |name: &str| header(name).and_then(|value| value.parse::<i64>().ok());
    let text = |name: &str| fit(header(name).unwrap_or_default());
    let origin = header(ORIGIN_TOPIC).zip(number(ORIGIN_PARTITION)).zip(number(ORIGIN_OFFSET));
    let origin = origin.map(|((topic, partition), offset)| Origin { topic: fit(topic), partition, offset });
    let event = origin.as_ref().and_then(|_| Envelope::decode(record.payload.clone()?).ok());
    let event = event.filter(|event| !event.charger.is_empty());
    let of_key = || fit(&String::from_utf8_lossy(&record.key));
    let (tenant, charger) = match (&origin, event) {
        (Some(_), Some(event)) => (event.tenant, fit(&event.charger)),
        (Some(_), None) => (0, of_key()),
        (None, _) => (header("tenant").and_then(|value| value.parse().ok()).unwrap_or(0), of_key()),
    };
    let source = if origin.is_some() { Source::Consumer } else { Source::Gateway };
    let letter = Letter {
        id: id(record),
        topic: record.position.topic,
        partition: i64::from(record.position.partition),
        offset: record.position.offset,
        source,
        origin,
        reason: text(if source == Source::Consumer { REASON } else { "reason" }),
        detail: text(DETAIL),
        charger,
        attempts: number(REDRIVEN_TIMES).unwrap_or(0),
        bytes: record.payload.as_ref().map_or(0, |payload| i64::try_from(payload.len()).unwrap_or(i64::MAX)),
        appended_at_ms: record.appended_at_ms,
        redriven: None,
        dismissed: None,
    };
    let (key, payload) = (record.key.to_vec(), record.payload.as_ref().map(|payload| payload.to_vec()));
    (tenant, WholeLetter { letter, key, payload, headers })
}

/// Whose a letter is: of the tenants that the registry has, or [`NOBODY`].
pub(crate) fn owner(said: u64, known: &[(TenantId, String)]) -> TenantId {
    TenantId::of_envelope(said).filter(|it| known.iter().any(|(id, _)| id == it)).unwrap_or(NOBODY)
}

/// A record of the outbox that the log will never take, since it is too large with the headers of a letter or of a redrive: it is
/// a letter that only the database has. `None` for what has no dead-letter topic.
pub(crate) fn refused(record: &Outgoing, now_ms: i64) -> Option<(u64, WholeLetter)> {
    let mut headers = record.headers.clone();
    let topic = match record.topic.dead_letter() {
        Some(letters) => {
            let mut of_letter = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
            of_letter(ORIGIN_TOPIC, record.topic.name());
            of_letter(ORIGIN_PARTITION, "-1");
            of_letter(ORIGIN_OFFSET, "-1");
            of_letter(REASON, TOO_LARGE);
            letters
        }
        None => Topic::ALL.into_iter().find(|of| of.dead_letter() == Some(record.topic)).map(|_| record.topic)?,
    };
    let record = Record {
        position: Position { topic, partition: NOT_IN_THE_LOG, offset: -1 },
        key: record.key.clone().into(),
        payload: record.payload.clone().map(Into::into),
        headers: headers.into_iter().map(|(name, value)| (name, value.into())).collect(),
        appended_at_ms: now_ms,
    };
    Some(read(&record))
}

/// PostgreSQL takes no U+0000 in a text.
fn fit(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(TEXT_MAX).collect()
}

/// Of what the record holds, not of where it stands: the outbox may publish a letter twice, and a log may be read again.
fn id(record: &Record) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(record.position.topic.name().as_bytes());
    part(&record.key);
    part(record.payload.as_deref().unwrap_or_default());
    for (name, value) in &record.headers {
        part(name.as_bytes());
        part(value);
    }
    hex::encode(hash.finalize().get(..16).unwrap_or_default())
}

/// An event that was put aside before: it says nothing about now.
pub(crate) fn was_redriven(record: &Record) -> bool {
    record.headers.iter().any(|(name, _)| name == REDRIVEN_TIMES)
}

/// Where a letter's event goes when it is redriven; `None` when it holds none.
#[must_use]
pub fn redrives_to(letter: &Letter) -> Option<Topic> {
    let origin = letter.origin.as_ref().filter(|_| letter.source == Source::Consumer)?;
    // A header is not believed further than to the topics that this dead-letter topic is for.
    Topic::from_name(&origin.topic).filter(|topic| topic.dead_letter() == Some(letter.topic))
}

/// Why a letter was not redriven.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("there is no such dead letter")]
    Unknown,
    /// A message that the gateway could not read.
    #[error(
        "this is a charger's message that the gateway could not read, so it holds no event to apply; read its bytes with \
         `evgate dlq show`, and settle the session with the charger's operator"
    )]
    NoEvent,
    #[error("it was redriven before")]
    Before,
}

/// Marks the letter and queues its event for the topic it came from. Nothing has happened before the transaction is committed;
/// after that nothing can keep it from happening.
///
/// # Errors
/// See [`RedriveError`]; nothing is then to be committed.
pub async fn redrive(
    tx: &mut Tx,
    tenant: TenantId,
    id: &str,
    by: &str,
    again: bool,
    now_ms: i64,
) -> Result<(), RedriveError> {
    let whole = tx.dead_letter(tenant, id).await?.ok_or(RedriveError::Unknown)?;
    let topic = redrives_to(&whole.letter).ok_or(RedriveError::NoEvent)?;
    if !tx.mark_redriven(tenant, id, now_ms, by, again).await? {
        return Err(RedriveError::Before);
    }
    let WholeLetter { letter, key, payload, headers } = whole;
    let mut headers: Vec<_> =
        headers.into_iter().filter(|(name, _)| !name.starts_with(OF_LETTER) && !name.starts_with(OF_REDRIVE)).collect();
    let earlier = letter.redriven.map_or(0, |redriven| redriven.times);
    let times = letter.attempts.saturating_add(earlier).saturating_add(1);
    headers.extend([
        (REDRIVEN_LETTER.to_owned(), letter.id),
        (REDRIVEN_AT.to_owned(), now_ms.to_string()),
        (REDRIVEN_BY.to_owned(), by.to_owned()),
        (REDRIVEN_TIMES.to_owned(), times.to_string()),
    ]);
    tx.push_outbox(vec![Outgoing { topic, key, payload, headers }], now_ms).await?;
    Ok(())
}

/// Longest reason that a person may give, characters.
pub const BECAUSE_MAX: usize = TEXT_MAX;

/// Whether somebody who puts something off the list said why.
pub(crate) fn is_reason(because: &str) -> bool {
    let said = !because.trim().is_empty() && because.chars().count() <= BECAUSE_MAX;
    said && !because.chars().any(char::is_control)
}

/// Why a letter was not dismissed.
#[derive(Debug, thiserror::Error)]
pub enum DismissError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("there is no such dead letter")]
    Unknown,
    #[error("the reason has 1 to {BECAUSE_MAX} printable characters")]
    NoReason,
    #[error("it was dismissed before")]
    Before,
}

/// Writes down that a letter is left alone: it no longer waits for anybody. Its bytes stay, and it may still be redriven.
///
/// # Errors
/// See [`DismissError`]; nothing is then to be committed.
pub async fn dismiss(
    tx: &mut Tx,
    tenant: TenantId,
    id: &str,
    by: &str,
    because: &str,
    now_ms: i64,
) -> Result<(), DismissError> {
    if !is_reason(because) {
        return Err(DismissError::NoReason);
    }
    tx.dead_letter(tenant, id).await?.ok_or(DismissError::Unknown)?;
    if tx.mark_dismissed(tenant, id, now_ms, by, because).await? { Ok(()) } else { Err(DismissError::Before) }
}

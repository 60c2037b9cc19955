//! The SQLite file: one table per topic, offsets from 0 and never used twice, one row of state per topic, positions of groups.
//!
//! A table of its own per topic keeps appends at the end of a B-tree and retention at its front; the rows of `topics` are written
//! in the transaction of the records, so that a reader sees records and end together.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Result, Row, params};

use super::{
    super::{Around, Record},
    Unread, headers,
};
use crate::{log::Position, topic::Topic};

/// Format of the file, in `user_version`.
pub(super) const FORMAT: i64 = 1;
const BUSY: Duration = Duration::from_secs(5);
/// No batch of a reader is larger than this and one record, so that a slow reader's memory is bounded by more than `max`.
const BATCH_BYTES: usize = 8 << 20;

/// A writer's connection: WAL, every commit synced.
pub(super) fn open_writing(path: &Path) -> Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(128);
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    // After a large transaction the WAL file is cut back to this.
    conn.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    conn.pragma_update_and_check(None, "wal_autocheckpoint", 4000, |_| Ok(()))?;
    Ok(conn)
}

/// A reader's connection.
pub(super) fn open_reading(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// Creates what is missing.
pub(super) fn create(conn: &mut Connection) -> Result<()> {
    let tx = conn.transaction()?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS topics(name TEXT PRIMARY KEY, next_off INTEGER NOT NULL, bytes INTEGER NOT NULL,
             records INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS positions(grp TEXT NOT NULL, topic TEXT NOT NULL, off INTEGER NOT NULL,
             PRIMARY KEY (grp, topic)) WITHOUT ROWID;",
    )?;
    for topic in Topic::ALL {
        let name = topic.name();
        tx.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS \"{name}\"(off INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, key BLOB NOT NULL,
                 payload BLOB, headers BLOB);"
        ))?;
        if topic.compacted() {
            tx.execute_batch(&format!(
                "CREATE INDEX IF NOT EXISTS \"{name}.key\" ON \"{name}\"(key);
                 CREATE INDEX IF NOT EXISTS \"{name}.gone\" ON \"{name}\"(at_ms) WHERE payload IS NULL;"
            ))?;
        }
        tx.execute("INSERT OR IGNORE INTO topics VALUES (?1, 0, 0, 0)", [name])?;
    }
    tx.pragma_update(None, "user_version", FORMAT)?;
    tx.commit()
}

/// A topic as its row says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TopicState {
    /// The offset of the next record.
    pub next: i64,
    /// Bytes of keys, payloads and headers kept.
    pub bytes: i64,
    pub records: i64,
}

pub(super) fn topic_state(conn: &Connection, topic: Topic) -> Result<TopicState> {
    conn.prepare_cached("SELECT next_off, bytes, records FROM topics WHERE name = ?1")?
        .query_row([topic.name()], |row| Ok(TopicState { next: row.get(0)?, bytes: row.get(1)?, records: row.get(2)? }))
        .optional()
        .map(Option::unwrap_or_default)
}

pub(super) fn set_topic_state(conn: &Connection, topic: Topic, state: TopicState) -> Result<()> {
    conn.prepare_cached("UPDATE topics SET next_off = ?2, bytes = ?3, records = ?4 WHERE name = ?1")?
        .execute(params![topic.name(), state.next, state.bytes, state.records])
        .map(drop)
}

/// When the last record of a topic was appended, UTC ms; 0 = none is left.
pub(super) fn last_at_ms(conn: &Connection, topic: Topic) -> Result<i64> {
    conn.query_row(&format!("SELECT at_ms FROM \"{}\" ORDER BY off DESC LIMIT 1", topic.name()), [], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

pub(super) fn insert_sql(topic: Topic) -> String {
    format!("INSERT INTO \"{}\"(off, at_ms, key, payload, headers) VALUES (?1, ?2, ?3, ?4, ?5)", topic.name())
}

/// Bytes that a row counts for.
pub(super) const ROW_BYTES: &str = "length(key) + ifnull(length(payload), 0) + ifnull(length(headers), 0)";

/// What a read found.
#[derive(Debug)]
pub(super) struct Found {
    pub records: Vec<Record>,
    /// The offset to go on at.
    pub next: i64,
    /// Nothing was behind it when this was read.
    pub end: bool,
}

/// Reads on from `next`. Call it within one read transaction for all topics of a reader.
pub(super) fn read(conn: &Connection, topic: Topic, next: i64, max: usize, bytes: &mut usize) -> Result<Found> {
    let state = topic_state(conn, topic)?;
    let mut found = Found { records: Vec::new(), next, end: true };
    if next >= state.next {
        return Ok(found);
    }
    let mut select = conn.prepare_cached(&select_sql(topic))?;
    let mut rows = select.query([next])?;
    while let Some(row) = rows.next()? {
        if found.records.len() >= max || *bytes >= BATCH_BYTES {
            found.end = false;
            return Ok(found);
        }
        let record = record(topic, row)?;
        *bytes += record.key.len() + record.payload.as_ref().map_or(0, Bytes::len);
        found.next = record.position.offset + 1;
        found.records.push(record);
    }
    // What was deleted at the end is no reason to look again.
    found.next = state.next;
    Ok(found)
}

fn select_sql(topic: Topic) -> String {
    format!("SELECT off, at_ms, key, payload, headers FROM \"{}\" WHERE off >= ?1 ORDER BY off", topic.name())
}

fn record(topic: Topic, row: &Row<'_>) -> Result<Record> {
    Ok(Record {
        position: Position { topic, partition: 0, offset: row.get(0)? },
        key: Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?),
        payload: row.get_ref(3)?.as_blob_or_null()?.map(Bytes::copy_from_slice),
        headers: row.get_ref(4)?.as_blob_or_null()?.map(headers::decode).unwrap_or_default(),
        appended_at_ms: row.get(1)?,
    })
}

/// Call it within a read transaction.
pub(super) fn around(conn: &Connection, position: Position) -> Result<Around> {
    let Position { topic, offset, .. } = position;
    let next = topic_state(conn, topic)?.next;
    let first = conn.query_row(&format!("SELECT min(off) FROM \"{topic}\""), [], |row| row.get::<_, Option<i64>>(0))?;
    let mut select = conn.prepare_cached(&select_sql(topic))?;
    let found = select.query_row([offset], |row| record(topic, row)).optional()?;
    Ok(Around { first: first.unwrap_or(next), next, record: found.filter(|record| record.position == position) })
}

/// The offset of the first record appended at or after `at_ms`; the end when there is none. Append times never fall within a
/// topic, so that this is a binary search over offsets, with holes where records were deleted.
pub(super) fn first_at(conn: &Connection, topic: Topic, at_ms: i64) -> Result<i64> {
    let sql = format!("SELECT off, at_ms FROM \"{}\" WHERE off >= ?1 ORDER BY off LIMIT 1", topic.name());
    let mut select = conn.prepare_cached(&sql)?;
    let (mut low, mut high) = (0, topic_state(conn, topic)?.next);
    while low < high {
        let middle = low + (high - low) / 2;
        let row: Option<(i64, i64)> = select.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match row {
            Some((offset, at)) if at < at_ms => low = offset + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The last offset that the group has committed; -1 = nothing yet.
pub(super) fn position(conn: &Connection, group: &str, topic: Topic) -> Result<i64> {
    conn.prepare_cached("SELECT off FROM positions WHERE grp = ?1 AND topic = ?2")?
        .query_row([group, topic.name()], |row| row.get(0))
        .optional()
        .map(|found| found.unwrap_or(-1))
}

/// What a group that stands at `offset` has not read.
pub(super) fn unread(conn: &Connection, topic: Topic, offset: i64) -> Result<Unread> {
    let name = topic.name();
    let sql =
        format!("SELECT count(*), ifnull(sum({ROW_BYTES}), 0), ifnull(min(at_ms), 0) FROM \"{name}\" WHERE off > ?1");
    let next_offset = topic_state(conn, topic)?.next;
    conn.query_row(&sql, [offset], |row| {
        let whole = |at| row.get::<_, i64>(at).map(|value| u64::try_from(value).unwrap_or(0));
        Ok(Unread { topic, records: whole(0)?, bytes: whole(1)?, oldest_at_ms: row.get(2)?, next_offset })
    })
}

pub(super) fn register(conn: &Connection, group: &str, topics: &[Topic]) -> Result<()> {
    let mut insert = conn.prepare_cached("INSERT OR IGNORE INTO positions(grp, topic, off) VALUES (?1, ?2, -1)")?;
    topics.iter().try_for_each(|topic| insert.execute([group, topic.name()]).map(drop))
}

/// A group never goes back.
pub(super) fn set_positions(conn: &Connection, group: &str, upto: &[(Topic, i64)]) -> Result<()> {
    let mut upsert = conn.prepare_cached(
        "INSERT INTO positions(grp, topic, off) VALUES (?1, ?2, ?3)
         ON CONFLICT (grp, topic) DO UPDATE SET off = max(off, excluded.off)",
    )?;
    upto.iter().try_for_each(|(topic, offset)| upsert.execute(params![group, topic.name(), offset]).map(drop))
}

pub(super) fn forget(conn: &Connection, group: &str) -> Result<()> {
    conn.prepare_cached("DELETE FROM positions WHERE grp = ?1")?.execute([group]).map(drop)
}

/// Every group's position in every topic it reads.
pub(super) fn positions(conn: &Connection) -> Result<Vec<(String, Topic, i64)>> {
    let mut select = conn.prepare_cached("SELECT grp, topic, off FROM positions")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?)))?;
    rows.filter_map(|row| match row {
        Ok((group, name, offset)) => Topic::from_name(&name).map(|topic| Ok((group, topic, offset))),
        Err(error) => Some(Err(error)),
    })
    .collect()
}

/// Bytes of the file that hold something.
pub(super) fn used_bytes(conn: &Connection) -> Result<u64> {
    let one = |sql| conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
    let pages = one("PRAGMA page_count")? - one("PRAGMA freelist_count")?;
    Ok(u64::try_from(pages * one("PRAGMA page_size")?).unwrap_or(0))
}

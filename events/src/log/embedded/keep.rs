//! What need not be kept is deleted, a bounded number of rows at a time, so that appends never wait long.

use std::{collections::BTreeSet, mem};

use metrics::{Unit, describe_gauge, gauge};
use rusqlite::{Connection, params};

use super::{
    store::{self, ROW_BYTES, TopicState},
    writer::States,
};
use crate::{log::config::Keep, topic::Topic};

const ROWS: i64 = 2000;
const UNREAD: &str = "evgate_log_group_unread";
const HOUR_MS: i64 = 3_600_000;

#[derive(Debug)]
pub(super) struct Keeper {
    keep: [Keep; Topic::ALL.len()],
    tombstone_ms: i64,
    /// A spool: what has been read need not be kept, and nothing else may go.
    only_unread: bool,
    /// Whose unread records the metric shows.
    told: BTreeSet<(String, Topic)>,
}

impl Keeper {
    pub fn new(keep: [Keep; Topic::ALL.len()], tombstone_ms: i64, only_unread: bool) -> Self {
        describe_gauge!(
            UNREAD,
            Unit::Count,
            "Records of the embedded log that a group has not read; they are never deleted."
        );
        Self { keep, tombstone_ms, only_unread, told: BTreeSet::new() }
    }

    /// One round over all topics; true when a topic has more to delete than one round takes.
    pub fn round(
        &mut self,
        conn: &mut Connection,
        topics: &mut States,
        now_ms: i64,
        full: bool,
    ) -> rusqlite::Result<bool> {
        let positions = store::positions(conn)?;
        if !self.only_unread {
            self.tell(&positions, topics); // a spool has metrics of its own
        }
        let mut more = false;
        for ((topic, state), keep) in Topic::ALL.into_iter().zip(topics.iter_mut()).zip(&self.keep) {
            if state.records == 0 {
                continue;
            }
            let tx = conn.transaction()?;
            let mut after = *state;
            let rows = if topic.compacted() {
                forget_tombstones(&tx, topic, now_ms - self.tombstone_ms, &mut after)?
            } else {
                // What a group has not read is kept. A topic without groups has no reader that would miss anything.
                let read = positions.iter().filter(|(_, of, _)| *of == topic).map(|(_, _, offset)| offset + 1).min();
                let floor = read.unwrap_or(if self.only_unread { 0 } else { state.next });
                // With the disk full, data that may be shed anyway makes room for money.
                let expendable = self.only_unread || full && matches!(topic, Topic::Raw | Topic::Telemetry);
                cut(&tx, topic, *keep, now_ms, floor, expendable, &mut after)?
            };
            if rows > 0 {
                store::set_topic_state(&tx, topic, after)?;
                tx.commit()?;
                *state = after;
            }
            more |= rows >= ROWS;
        }
        Ok(more)
    }

    /// Groups are few and named by programs, not by chargers. One that was forgotten goes to 0.
    fn tell(&mut self, positions: &[(String, Topic, i64)], topics: &States) {
        let show = |group: &str, topic: Topic, unread: i64| {
            #[expect(clippy::cast_precision_loss, reason = "a gauge; 2^52 records are not reached")]
            gauge!(UNREAD, "group" => group.to_owned(), "topic" => topic.name()).set(unread as f64);
        };
        let mut gone = mem::take(&mut self.told);
        for (group, topic, offset) in positions {
            let next = topics.get(topic.index()).map_or(0, |state| state.next);
            show(group, *topic, (next - 1 - offset).max(0));
            gone.remove(&(group.clone(), *topic));
            self.told.insert((group.clone(), *topic));
        }
        for (group, topic) in gone {
            show(&group, topic, 0);
        }
    }
}

/// Deletes the oldest records before `floor` that are too old or too many; how many it deleted.
fn cut(
    conn: &Connection,
    topic: Topic,
    keep: Keep,
    now_ms: i64,
    floor: i64,
    expendable: bool,
    state: &mut TopicState,
) -> rusqlite::Result<i64> {
    let young = match (expendable, i64::try_from(keep.hours)) {
        (true, _) => floor,
        (false, Ok(hours)) if hours > 0 => {
            store::first_at(conn, topic, now_ms.saturating_sub(hours.saturating_mul(HOUR_MS)))?
        }
        _ => 0,
    };
    let bytes_max = if keep.mbytes == 0 { i64::MAX } else { i64::try_from(keep.mbytes << 20).unwrap_or(i64::MAX) };
    let name = topic.name();
    let mut select = conn
        .prepare_cached(&format!("SELECT off, {ROW_BYTES} FROM \"{name}\" WHERE off < ?1 ORDER BY off LIMIT {ROWS}"))?;
    let mut rows = select.query([floor])?;
    let (mut upto, mut count) = (0, 0);
    while let Some(row) = rows.next()? {
        let (offset, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
        if offset >= young && state.bytes <= bytes_max {
            break;
        }
        state.bytes -= bytes;
        state.records -= 1;
        upto = offset + 1;
        count += 1;
    }
    if count > 0 {
        conn.prepare_cached(&format!("DELETE FROM \"{name}\" WHERE off < ?1"))?.execute([upto])?;
    }
    Ok(count)
}

/// A deleted key is forgotten when every reader had time to hear of it.
fn forget_tombstones(conn: &Connection, topic: Topic, before_ms: i64, state: &mut TopicState) -> rusqlite::Result<i64> {
    let name = topic.name();
    let mut delete = conn.prepare_cached(&format!(
        "DELETE FROM \"{name}\" WHERE off IN
             (SELECT off FROM \"{name}\" WHERE payload IS NULL AND at_ms < ?1 LIMIT {ROWS}) RETURNING {ROW_BYTES}"
    ))?;
    let mut rows = delete.query(params![before_ms])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        state.bytes -= row.get::<_, i64>(0)?;
        state.records -= 1;
        count += 1;
    }
    Ok(count)
}

//! Id tags that name a remote start: `StartCharging.id_tag` of every command is remembered until its expiry plus ten minutes, so
//! that Authorize and StartTransaction with it are accepted although the registry knows no such token. A tag is good for one session.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

/// How long after the command's expiry the tag is good.
pub const GRACE_MS: i64 = 10 * 60 * 1000;
/// Tags remembered; the oldest goes first.
const TAGS_MAX: usize = 200_000;

#[derive(Clone, Copy, Debug)]
struct Tag {
    until_ms: i64,
    /// The transaction that began with it; 0 = none yet.
    transaction: i32,
}

#[derive(Debug, Default)]
struct Tags {
    known: HashMap<(Box<str>, Box<str>), Tag>,
    order: VecDeque<(Box<str>, Box<str>)>,
}

/// An id tag is the same in any case (OCPP 1.6 CiString20).
fn key(charger: &str, id_tag: &str) -> (Box<str>, Box<str>) {
    (Box::from(charger), id_tag.to_ascii_lowercase().into_boxed_str())
}

/// A bounded memory of (charger, id tag). Locked for nanoseconds, only by starts and authorisations.
#[derive(Debug, Default)]
pub struct RemoteTags(Mutex<Tags>);

impl RemoteTags {
    /// Remembers a tag. Times are the platform's, UTC ms.
    pub fn remember(&self, charger: &str, id_tag: &str, expires_at_ms: i64, now_ms: i64) {
        let mut tags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tags.order.len() >= TAGS_MAX
            || tags.order.front().is_some_and(|first| tags.known.get(first).is_none_or(|tag| tag.until_ms < now_ms))
        {
            let Some(first) = tags.order.pop_front() else { break };
            tags.known.remove(&first);
        }
        let (key, until_ms) = (key(charger, id_tag), expires_at_ms.saturating_add(GRACE_MS));
        match tags.known.get_mut(&key) {
            // The topic is read again now and then: what began with the tag has begun.
            Some(tag) => tag.until_ms = until_ms,
            None => {
                tags.known.insert(key.clone(), Tag { until_ms, transaction: 0 });
                tags.order.push_back(key);
            }
        }
    }

    /// A transaction begins with this tag. False if the tag names a remote start and another transaction has begun with it.
    #[must_use]
    pub fn begin(&self, charger: &str, id_tag: &str, transaction: i32) -> bool {
        let mut tags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tag) = tags.known.get_mut(&key(charger, id_tag)) else { return true };
        if tag.transaction == 0 {
            tag.transaction = transaction;
        }
        tag.transaction == transaction
    }

    /// The tag names a remote start at this charger.
    #[must_use]
    pub fn knows(&self, charger: &str, id_tag: &str, now_ms: i64) -> bool {
        let tags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tags.known.get(&key(charger, id_tag)).is_some_and(|tag| now_ms <= tag.until_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_good_at_its_charger_until_ten_minutes_after_expiry() {
        let tags = RemoteTags::default();
        tags.remember("A", "R1", 1_000, 0);
        assert!(tags.knows("A", "R1", 1_000 + GRACE_MS));
        assert!(!tags.knows("A", "R1", 1_001 + GRACE_MS));
        assert!(!tags.knows("B", "R1", 0));
        assert!(tags.knows("A", "r1", 0), "in any case");
    }

    #[test]
    fn expired_tags_are_forgotten() {
        let tags = RemoteTags::default();
        tags.remember("A", "R1", 0, 0);
        tags.remember("A", "R2", 10 * GRACE_MS, 5 * GRACE_MS);
        assert_eq!(tags.0.lock().map(|tags| tags.known.len()).unwrap_or_default(), 1);
    }

    #[test]
    fn a_tag_is_good_for_one_session() {
        let tags = RemoteTags::default();
        tags.remember("A", "R1", 1_000, 0);
        assert!(tags.begin("A", "R1", 5) && tags.begin("A", "r1", 5), "said again");
        assert!(!tags.begin("A", "R1", 6));
        tags.remember("A", "R1", 1_000, 0);
        assert!(!tags.begin("A", "R1", 6), "also when the command is read again");
        assert!(tags.begin("B", "R1", 6) && tags.begin("A", "CARD", 6) && tags.begin("A", "CARD", 7), "other tags");
    }
}

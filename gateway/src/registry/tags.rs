//! Id tags that name a remote start: `StartCharging.id_tag` of every command is remembered until its expiry plus ten minutes, so
//! that Authorize and StartTransaction with it are accepted although the registry knows no such token.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

/// How long after the command's expiry the tag is good.
pub const GRACE_MS: i64 = 10 * 60 * 1000;
/// Tags remembered; the oldest goes first.
const TAGS_MAX: usize = 200_000;

#[derive(Debug, Default)]
struct Tags {
    until: HashMap<(Box<str>, Box<str>), i64>,
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
            || tags.order.front().is_some_and(|first| tags.until.get(first).is_none_or(|&until| until < now_ms))
        {
            let Some(first) = tags.order.pop_front() else { break };
            tags.until.remove(&first);
        }
        let key = key(charger, id_tag);
        if tags.until.insert(key.clone(), expires_at_ms.saturating_add(GRACE_MS)).is_none() {
            tags.order.push_back(key);
        }
    }

    /// The tag names a remote start at this charger.
    #[must_use]
    pub fn knows(&self, charger: &str, id_tag: &str, now_ms: i64) -> bool {
        let tags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tags.until.get(&key(charger, id_tag)).is_some_and(|&until| now_ms <= until)
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
        assert_eq!(tags.0.lock().map(|tags| tags.until.len()).unwrap_or_default(), 1);
    }
}

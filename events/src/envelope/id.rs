//! Event ids: UUIDv7 (RFC 9562 §5.7), made without a lock and without asking the system for time or randomness.
//!
//! | 48 bits ms since 1970 | 0111 | 12 bits | 10 | 62 bits |
//!
//! The 74 bits are random at the first id of a millisecond and count up within it, so that the ids of one thread grow.

use std::{cell::RefCell, collections::hash_map::RandomState, hash::BuildHasher};

const TAIL_BITS: u32 = 74;
const TAIL_MASK: u128 = (1 << TAIL_BITS) - 1;
/// A start with the top bit clear leaves room to count.
const START_MASK: u128 = TAIL_MASK >> 1;

struct Ids {
    ms: u64,
    tail: u128,
    /// Keyed with randomness of the system, per thread; a keyed hash of a counter is as good as random here.
    random: RandomState,
    draws: u64,
}

thread_local! {
    static IDS: RefCell<Ids> = RefCell::new(Ids { ms: 0, tail: 0, random: RandomState::new(), draws: 0 });
}

/// The next id of this thread; `now_ms` is the time it shows, UTC ms. When that is not later than before, the id still grows.
#[must_use]
pub fn next_event_id(now_ms: i64) -> [u8; 16] {
    IDS.with_borrow_mut(|ids| {
        let now = u64::try_from(now_ms).unwrap_or(0) & 0xffff_ffff_ffff;
        if now > ids.ms || ids.draws == 0 {
            ids.ms = now.max(ids.ms);
            ids.tail = ids.draw() & START_MASK;
        } else if ids.tail == TAIL_MASK {
            ids.ms += 1;
            ids.tail = ids.draw() & START_MASK;
        } else {
            ids.tail += 1;
        }
        let high = (ids.tail >> 62) & 0xfff;
        let low = ids.tail & ((1 << 62) - 1);
        let bits = (u128::from(ids.ms) << 80) | (7 << 76) | (high << 64) | (2 << 62) | low;
        bits.to_be_bytes()
    })
}

impl Ids {
    fn draw(&mut self) -> u128 {
        self.draws += 2;
        let high = self.random.hash_one(self.draws);
        (u128::from(high) << 64) | u128::from(self.random.hash_one(self.draws + 1))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeSet;

    use super::next_event_id;

    #[test]
    fn ids_are_version_7_show_their_time_and_grow() {
        let mut last = [0; 16];
        for (round, now) in
            [1_795_000_000_000_i64, 1_795_000_000_000, 1_795_000_000_001, 1_794_999_999_000, 1_795_000_000_002]
                .into_iter()
                .enumerate()
        {
            for _ in 0..1000 {
                let id = next_event_id(now);
                assert!(id > last, "round {round}");
                last = id;
                let uuid = uuid::Uuid::from_bytes(id);
                assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
            }
            let shown = i64::try_from(uuid::Uuid::from_bytes(last).get_timestamp().unwrap().to_unix().0).unwrap();
            assert_eq!(shown, 1_795_000_000);
        }
        // Times that no id can show.
        assert!(next_event_id(-5) > last);
    }

    #[test]
    fn threads_do_not_meet() {
        let made = |_| std::thread::spawn(|| (0..20_000).map(|_| next_event_id(1_795_000_000_000)).collect::<Vec<_>>());
        let threads: Vec<_> = (0..8).map(made).collect();
        let all: BTreeSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(all.len(), 160_000);
    }
}

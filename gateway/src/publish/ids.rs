//! Event ids: UUIDv7 without a system call per event.

/// Makes UUIDv7s (RFC 9562): 48 bits of UTC ms, 12 of a counter within the ms, 62 of a xorshift generator.
#[derive(Debug)]
pub struct EventIds {
    state: u64,
    at_ms: i64,
    counter: u16,
}

impl EventIds {
    /// `seed` must differ between generators: shards, processes, nodes.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: if seed == 0 { 0x9e37_79b9_7f4a_7c15 } else { seed }, at_ms: 0, counter: 0 }
    }

    /// The next id; ids of one generator sort in the order in which they were made while the clock does not go back.
    pub fn next(&mut self, now_ms: i64) -> [u8; 16] {
        if now_ms == self.at_ms {
            self.counter = (self.counter + 1) & 0x0fff;
        } else {
            self.at_ms = now_ms;
            self.counter = 0;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let high = (now_ms.cast_unsigned() << 16) | 0x7000 | u64::from(self.counter);
        let low = (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 2) | (1 << 63);
        ((u128::from(high) << 64) | u128::from(low)).to_be_bytes()
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_version_7_sorted_and_distinct() {
        let mut ids = EventIds::new(42);
        let made: Vec<_> = (0..5_000).map(|n| ids.next(1_700_000_000_000 + n / 1_000)).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(made.iter().collect::<HashSet<_>>().len(), made.len());
        for id in &made {
            let id = uuid::Uuid::from_bytes(*id);
            assert_eq!(id.get_version_num(), 7);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        }
    }
}

//! Bad behaviour on purpose: what a charger's writes suffer on the way, from its seed and never more often than stated.

use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// How often, of 1000 writes (or sessions, or records), a charger misbehaves; and how often at most in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultPlan {
    /// Most faults of all kinds together for one charger; 0 switches all off.
    pub most: u32,
    /// The connection is dropped in the middle of a message.
    pub drop_mid_message_per_mille: u16,
    /// A message is written in two parts with a pause between.
    pub split_write_per_mille: u16,
    /// A broken copy goes before the message: a YKC frame with a wrong CRC, an OCPP text that is not JSON.
    pub broken_copy_per_mille: u16,
    /// An answered record or transaction message is sent once more.
    pub duplicate_record_per_mille: u16,
    /// 1 to 40 bytes of garbage (never 0x68) go before a YKC frame.
    pub garbage_per_mille: u16,
}

/// What happens to one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteFault {
    None,
    DropMidMessage,
    Split,
    BrokenCopy,
    Garbage,
}

/// Draws faults from a seed and counts them against the limit.
#[derive(Debug)]
pub(crate) struct Faults {
    plan: FaultPlan,
    rng: StdRng,
    left: u32,
}

impl Faults {
    pub(crate) fn new(plan: FaultPlan, rng: StdRng) -> Self {
        Self { plan, rng, left: plan.most }
    }

    /// The fault of the next write, if any.
    pub(crate) fn next_write(&mut self) -> WriteFault {
        let kinds = [
            (self.plan.drop_mid_message_per_mille, WriteFault::DropMidMessage),
            (self.plan.split_write_per_mille, WriteFault::Split),
            (self.plan.broken_copy_per_mille, WriteFault::BrokenCopy),
            (self.plan.garbage_per_mille, WriteFault::Garbage),
        ];
        kinds.into_iter().find(|&(per_mille, _)| self.strikes(per_mille)).map_or(WriteFault::None, |(_, fault)| fault)
    }

    /// True if an answered record is to be sent again.
    pub(crate) fn duplicates_record(&mut self) -> bool {
        self.strikes(self.plan.duplicate_record_per_mille)
    }

    /// Some point inside a message of `len` bytes.
    pub(crate) fn cut(&mut self, len: usize) -> usize {
        if len < 2 { len } else { self.rng.random_range(1..len) }
    }

    /// Bytes that start no frame.
    pub(crate) fn garbage(&mut self) -> Vec<u8> {
        let len = self.rng.random_range(1..=40);
        (0..len).map(|_| self.rng.random_range(0..=0x67)).collect()
    }

    fn strikes(&mut self, per_mille: u16) -> bool {
        let hit = self.left > 0 && per_mille > 0 && self.rng.random_range(0..1000) < per_mille;
        self.left -= u32::from(hit);
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn faults_are_bounded_and_follow_the_seed() {
        let plan = FaultPlan { most: 7, split_write_per_mille: 300, garbage_per_mille: 300, ..FaultPlan::default() };
        let draw = || {
            let mut faults = Faults::new(plan, StdRng::seed_from_u64(5));
            (0..1000).map(|_| faults.next_write()).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
        assert_eq!(draw().iter().filter(|&&f| f != WriteFault::None).count(), 7);
        let mut off = Faults::new(FaultPlan { most: 0, ..plan }, StdRng::seed_from_u64(5));
        assert!((0..1000).all(|_| off.next_write() == WriteFault::None));
    }
}

//! Who is connected: charger → seat. A seat is one login of one charger; a newer login takes the charger over and fences the
//! older seat, which from then on can neither speak nor unregister for it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use dashmap::{DashMap, mapref::entry::Entry};
use events::proto::Protocol;

/// Where a connection lives. The generation tells it from an earlier one in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Index of the shard.
    pub shard: u16,
    /// Generation of the slot.
    pub generation: u16,
    /// Slot in the shard's list.
    pub slot: u32,
}

/// One login of one charger.
#[derive(Debug)]
pub struct Seat {
    /// The charger's id: key of its events.
    pub charger: Arc<str>,
    /// Its tenant.
    pub tenant: u64,
    /// What it speaks.
    pub protocol: Protocol,
    /// Later logins have higher ones, on every node.
    pub epoch: u64,
    /// The connection it came by.
    pub address: Address,
    fenced: AtomicBool,
}

impl Seat {
    /// A newer login has taken the charger over.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Relaxed)
    }

    /// A seat that no registry holds, for tests and benches.
    #[must_use]
    pub fn detached(charger: &str, tenant: u64, protocol: Protocol, epoch: u64) -> Arc<Self> {
        Arc::new(Self {
            charger: charger.into(),
            tenant,
            protocol,
            epoch,
            address: Address { shard: 0, generation: 0, slot: 0 },
            fenced: AtomicBool::new(false),
        })
    }
}

/// The outcome of a claim.
#[derive(Debug)]
pub struct Claimed {
    /// The new seat.
    pub seat: Arc<Seat>,
    /// The seat that lost the charger, already fenced; its connection must be told.
    pub superseded: Option<Arc<Seat>>,
}

/// Every live session of this node. Touched at login, logout and by commands, never per message.
#[derive(Debug, Default)]
pub struct LiveSessions {
    seats: DashMap<Arc<str>, Arc<Seat>>,
    /// The highest epoch given out or seen in another node's claim.
    epoch_last: AtomicU64,
}

impl LiveSessions {
    /// Takes a charger over. `clock_ms` (real time) keeps epochs growing over restarts.
    pub fn claim(&self, charger: &str, tenant: u64, protocol: Protocol, address: Address, clock_ms: i64) -> Claimed {
        let clock = u64::try_from(clock_ms).unwrap_or(0);
        let charger: Arc<str> = charger.into();
        // The epoch is taken under the entry's lock, so that the order of epochs is the order of claims.
        match self.seats.entry(Arc::clone(&charger)) {
            Entry::Occupied(mut taken) => {
                let seat = self.seat(charger, tenant, protocol, address, clock);
                let old = taken.insert(Arc::clone(&seat));
                old.fenced.store(true, Ordering::Release);
                Claimed { seat, superseded: Some(old) }
            }
            Entry::Vacant(free) => {
                let seat = self.seat(charger, tenant, protocol, address, clock);
                free.insert(Arc::clone(&seat));
                Claimed { seat, superseded: None }
            }
        }
    }

    fn seat(&self, charger: Arc<str>, tenant: u64, protocol: Protocol, address: Address, clock: u64) -> Arc<Seat> {
        let last = self.epoch_last.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(clock.max(last + 1)));
        let epoch = clock.max(last.unwrap_or_else(|last| last) + 1);
        Arc::new(Seat { charger, tenant, protocol, epoch, address, fenced: AtomicBool::new(false) })
    }

    /// Gives a charger up; true if it was still this seat's.
    pub fn release(&self, seat: &Seat) -> bool {
        self.seats.remove_if(&*seat.charger, |_, current| current.epoch == seat.epoch).is_some()
    }

    /// The seat that speaks for a charger now.
    #[must_use]
    pub fn find(&self, charger: &str) -> Option<Arc<Seat>> {
        self.seats.get(charger).map(|seat| Arc::clone(&seat))
    }

    /// Another node's claim: later epochs of ours will be higher, and an older seat of ours is fenced and returned, so that
    /// its connection can be told.
    pub fn observe(&self, charger: &str, epoch: u64) -> Option<Arc<Seat>> {
        self.epoch_last.fetch_max(epoch, Ordering::AcqRel);
        let (_, seat) = self.seats.remove_if(charger, |_, seat| seat.epoch < epoch)?;
        seat.fenced.store(true, Ordering::Release);
        Some(seat)
    }

    /// Number of live sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// No session is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn claim(live: &LiveSessions, slot: u32, clock_ms: i64) -> Claimed {
        live.claim("A", 1, Protocol::Ykc, Address { shard: 0, generation: 0, slot }, clock_ms)
    }

    #[test]
    fn the_newer_login_wins_and_the_older_cannot_unregister_it() {
        let live = LiveSessions::default();
        let old = claim(&live, 1, 1_000).seat;
        let new = claim(&live, 2, 1_000);
        assert_eq!(new.superseded.unwrap().epoch, old.epoch);
        assert!(old.is_fenced() && !new.seat.is_fenced());
        assert!(new.seat.epoch > old.epoch);
        assert!(!live.release(&old));
        assert_eq!(live.find("A").unwrap().address.slot, 2);
        assert!(live.release(&new.seat));
        assert!(live.is_empty());
    }

    #[test]
    fn epochs_grow_when_the_clock_stands_or_goes_back() {
        let live = LiveSessions::default();
        let first = claim(&live, 1, 5_000).seat.epoch;
        let second = claim(&live, 1, 5_000).seat.epoch;
        let third = claim(&live, 1, 10).seat.epoch;
        assert!(first < second && second < third);
    }

    #[test]
    fn a_later_claim_of_another_node_fences_ours_an_earlier_one_does_not() {
        let live = LiveSessions::default();
        let seat = claim(&live, 1, 5_000).seat;
        assert!(live.observe("A", seat.epoch - 1).is_none());
        assert!(live.observe("A", seat.epoch + 100).is_some());
        assert!(seat.is_fenced() && live.find("A").is_none());
        assert!(claim(&live, 1, 1).seat.epoch > seat.epoch + 100);
    }
}

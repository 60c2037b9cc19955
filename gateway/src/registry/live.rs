//! Who is connected: charger → seat. A seat is one login of one charger; a newer login takes the charger over and fences the
//! older seat, which from then on can neither speak nor unregister for it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use dashmap::{DashMap, mapref::entry::Entry};
use events::{
    log::{AckSink, LogError, Position},
    proto::Protocol,
};

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
    /// Our claim was read back: what other nodes claim from here on is later than it.
    in_log: AtomicBool,
    /// The log did not take our claim; it has to be said again.
    unsaid: AtomicBool,
    /// The highest epoch that stands before our claim in the log and was read after the login; 0 = none.
    before: AtomicU64,
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
        let address = Address { shard: 0, generation: 0, slot: 0 };
        Arc::new(Self::new(charger.into(), tenant, protocol, epoch, address))
    }

    const fn new(charger: Arc<str>, tenant: u64, protocol: Protocol, epoch: u64, address: Address) -> Self {
        Self {
            charger,
            tenant,
            protocol,
            epoch,
            address,
            fenced: AtomicBool::new(false),
            in_log: AtomicBool::new(false),
            unsaid: AtomicBool::new(false),
            before: AtomicU64::new(0),
        }
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
    /// Some seat's claim has to be said again.
    some_unsaid: Arc<AtomicBool>,
}

/// Hears what became of a claim.
#[derive(Debug)]
struct Said {
    seat: Arc<Seat>,
    some_unsaid: Arc<AtomicBool>,
}

impl AckSink for Said {
    fn acked(&self, _: u64, outcome: Result<Position, LogError>) {
        if outcome.is_err() {
            self.seat.unsaid.store(true, Ordering::Release);
            self.some_unsaid.store(true, Ordering::Release);
        }
    }
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
        Arc::new(Seat::new(charger, tenant, protocol, epoch, address))
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

    /// Another process's claim, in the order of the log. The login whose claim stands last holds the charger, whatever the clocks
    /// say: a seat of ours whose claim was read before is fenced and returned, so that its connection can be told. One whose claim
    /// is still to come is later, and stays. Later epochs of ours will be higher.
    pub fn observe(&self, charger: &str, epoch: u64) -> Option<Arc<Seat>> {
        self.epoch_last.fetch_max(epoch, Ordering::AcqRel);
        self.fence_if(charger, |seat| {
            let later = seat.in_log.load(Ordering::Acquire);
            if !later {
                seat.before.fetch_max(epoch, Ordering::AcqRel);
            }
            later
        })
    }

    /// A claim of ours, read back. When an earlier one has an epoch that is not lower (its node's clock is ahead, and we had not read
    /// it at the login), consumers would take what our seat says for old: it is fenced and returned, with that epoch, and the charger's
    /// next login gets an epoch above both.
    pub fn observe_own(&self, charger: &str, epoch: u64) -> Option<(Arc<Seat>, u64)> {
        let seat = self.fence_if(charger, |seat| {
            if seat.epoch != epoch {
                return false;
            }
            seat.in_log.store(true, Ordering::Release);
            seat.before.load(Ordering::Acquire) >= epoch
        })?;
        let before = seat.before.load(Ordering::Acquire);
        Some((seat, before))
    }

    fn fence_if(&self, charger: &str, lost: impl Fn(&Seat) -> bool) -> Option<Arc<Seat>> {
        let (_, seat) = self.seats.remove_if(charger, |_, seat| lost(seat))?;
        seat.fenced.store(true, Ordering::Release);
        Some(seat)
    }

    /// Who has to hear what the log did with a seat's claim: a claim that it did not take is said again as long as the seat lives.
    #[must_use]
    pub fn said(&self, seat: &Arc<Seat>) -> Arc<dyn AckSink> {
        Arc::new(Said { seat: Arc::clone(seat), some_unsaid: Arc::clone(&self.some_unsaid) })
    }

    /// Live seats whose claim the log did not take; each is returned once per failure.
    pub(crate) fn take_unsaid(&self) -> Vec<Arc<Seat>> {
        if !self.some_unsaid.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        let unsaid = self.seats.iter().filter(|seat| seat.unsaid.swap(false, Ordering::AcqRel));
        unsaid.map(|seat| Arc::clone(&seat)).collect()
    }

    /// Every live session.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Seat>> {
        self.seats.iter().map(|seat| Arc::clone(&seat)).collect()
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
    fn the_claim_that_stands_last_in_the_log_wins_whatever_its_epoch() {
        for theirs in [1, 4_999, 5_001, 900_000] {
            let live = LiveSessions::default();
            let seat = claim(&live, 1, 5_000).seat;
            assert!(live.observe_own("A", seat.epoch).is_none());
            assert!(live.observe("A", theirs).is_some(), "{theirs}");
            assert!(seat.is_fenced() && live.find("A").is_none());
            assert!(claim(&live, 1, 1).seat.epoch > theirs.max(seat.epoch));
        }
    }

    #[test]
    fn a_claim_before_ours_never_fences_ours_unless_nobody_would_believe_ours() {
        for (theirs, stays) in [(4_999, true), (5_000, false), (900_000, false)] {
            let live = LiveSessions::default();
            let seat = claim(&live, 1, 5_000).seat;
            assert!(live.observe("A", theirs).is_none());
            assert!(!seat.is_fenced());
            assert_eq!(live.observe_own("A", seat.epoch).is_none(), stays, "{theirs}");
            assert_eq!(seat.is_fenced(), !stays);
            // The next one stands above both.
            let next = claim(&live, 1, 5_000).seat;
            assert!(live.observe_own("A", next.epoch).is_none() && !next.is_fenced());
        }
    }

    #[test]
    fn an_earlier_claim_of_our_own_says_nothing_about_the_seat_of_now() {
        let live = LiveSessions::default();
        let first = claim(&live, 1, 5_000).seat;
        let second = claim(&live, 2, 5_000).seat;
        assert!(live.observe_own("A", first.epoch).is_none());
        assert!(live.observe("A", 10).is_none());
        assert!(!second.is_fenced());
    }

    #[test]
    fn a_claim_that_failed_is_said_again_once_while_its_seat_lives() {
        let live = LiveSessions::default();
        let fail = |seat: &Arc<Seat>| live.said(seat).acked(0, Err(LogError::Timeout));
        let gone = claim(&live, 1, 5_000).seat;
        fail(&gone);
        let seat = claim(&live, 2, 5_000).seat;
        assert!(live.take_unsaid().is_empty());
        fail(&seat);
        assert_eq!(live.take_unsaid().len(), 1);
        assert!(live.take_unsaid().is_empty());
    }
}

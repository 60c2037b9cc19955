//! Events of one connection that wait because the log had no room.

use std::collections::VecDeque;

use crate::session::{Class, Event};

/// What happened to an event that had to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// It waits.
    Waits,
    /// It waits in place of an older one of its class and connector, which is shed.
    Replaced,
    /// It is shed: the queue is full of events that matter more.
    Shed,
}

/// Waiting events. Exists (boxed) only while something waits.
///
/// Two queues, because state gives way to what must not be lost: the log may take the latter (its spool does) while it refuses the
/// former for as long as Kafka is away.
#[derive(Debug, Default)]
pub struct StalledEvents {
    kept: VecDeque<Event>,
    state: VecDeque<Event>,
}

impl StalledEvents {
    /// Adds an event. Money and kept events always fit: the connection is not read while one of them waits, so there are at
    /// most those of one read. Of live data and status the latest per connector survives, within `limit`.
    pub fn push(&mut self, event: Event, limit: usize) -> Queued {
        if matches!(event.class, Class::Money | Class::Kept) {
            self.kept.push_back(event);
            return Queued::Waits;
        }
        if let Some(index) = self.state.iter().position(|old| same_place(old, &event)) {
            self.state.remove(index);
            self.state.push_back(event);
            return Queued::Replaced;
        }
        if self.state.len() >= limit {
            return Queued::Shed;
        }
        self.state.push_back(event);
        Queued::Waits
    }

    /// Whether an event has to wait here without the log being asked: behind what must not be lost, or in place of an older one.
    #[must_use]
    pub fn precedes(&self, event: &Event) -> bool {
        self.holds_back() || self.state.iter().any(|old| same_place(old, event))
    }

    /// Tries everything again: first what must not be lost, in order, then state. `publish` says whether an event is done with.
    /// True when at least one was.
    pub fn retry(&mut self, mut publish: impl FnMut(&Event) -> bool) -> bool {
        let before = self.kept.len() + self.state.len();
        while let Some(event) = self.kept.front() {
            if !publish(event) {
                return self.kept.len() + self.state.len() < before;
            }
            self.kept.pop_front();
        }
        // One topic may be blocked for this charger while another is not.
        let mut blocked = Vec::new();
        self.state.retain(|event| {
            let stays = blocked.contains(&event.topic()) || !publish(event);
            if stays && !blocked.contains(&event.topic()) {
                blocked.push(event.topic());
            }
            stays
        });
        self.kept.len() + self.state.len() < before
    }

    /// What must not be lost, in order; the rest is given up.
    pub fn into_kept(self) -> impl Iterator<Item = Event> {
        self.kept.into_iter()
    }

    /// Something waits that must not be lost: do not read more from this peer.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.state.is_empty()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len() + self.state.len()
    }
}

/// The newer one says what the older one said, of the same connector.
fn same_place(old: &Event, new: &Event) -> bool {
    old.class == new.class
        && old.connector == new.connector
        && old.seat.charger == new.seat.charger
        && same_kind(old, new)
}

fn same_kind(a: &Event, b: &Event) -> bool {
    use crate::session::What;
    match (&a.what, &b.what) {
        (What::Body(a), What::Body(b)) => std::mem::discriminant(a) == std::mem::discriminant(b),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use events::proto::{MeterSampled, Protocol, SessionStarted, StatusChanged, envelope::Body};

    use super::*;
    use crate::{registry::Seat, session::What};

    fn event(class: Class, connector: u32, number: u64, body: Body) -> Event {
        Event {
            seat: Seat::detached("A", 1, Protocol::Ykc, 1),
            class,
            connector,
            number,
            occurred_at_ms: 0,
            received_at_ms: 0,
            ticket: 0,
            leftovers: Vec::new(),
            what: What::Body(body),
        }
    }

    fn sample(connector: u32, number: u64) -> Event {
        event(Class::Live, connector, number, Body::MeterSampled(MeterSampled::default()))
    }

    fn numbers(stalled: &mut StalledEvents, takes: impl Fn(&Event) -> bool) -> Vec<u64> {
        let mut numbers = Vec::new();
        stalled.retry(|event| {
            let taken = takes(event);
            if taken {
                numbers.push(event.number);
            }
            taken
        });
        numbers
    }

    #[test]
    fn live_data_is_coalesced_per_connector_and_money_goes_first_and_in_order() {
        let mut stalled = StalledEvents::default();
        assert_eq!(stalled.push(sample(1, 1), 8), Queued::Waits);
        assert_eq!(stalled.push(sample(2, 2), 8), Queued::Waits);
        assert!(!stalled.holds_back());
        let money = |number| event(Class::Money, 1, number, Body::SessionStarted(SessionStarted::default()));
        assert_eq!(stalled.push(money(3), 1), Queued::Waits);
        assert_eq!(stalled.push(money(4), 1), Queued::Waits);
        assert!(stalled.holds_back());
        assert_eq!(stalled.push(sample(1, 5), 8), Queued::Replaced);
        assert_eq!(numbers(&mut stalled, |event| event.number != 4), [3], "nothing overtakes money");
        assert_eq!(numbers(&mut stalled, |_| true), [4, 2, 5]);
        assert!(stalled.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_shed_but_never_money() {
        let mut stalled = StalledEvents::default();
        stalled.push(sample(1, 1), 1);
        let status = event(Class::Status, 1, 2, Body::StatusChanged(StatusChanged::default()));
        assert_eq!(stalled.push(status, 1), Queued::Shed);
        let money = event(Class::Money, 1, 3, Body::SessionStarted(SessionStarted::default()));
        assert_eq!(stalled.push(money, 1), Queued::Waits);
    }

    #[test]
    fn a_topic_that_takes_nothing_holds_no_other_up() {
        let mut stalled = StalledEvents::default();
        let status =
            |connector, number| event(Class::Status, connector, number, Body::StatusChanged(StatusChanged::default()));
        stalled.push(status(1, 1), 8);
        stalled.push(status(2, 2), 8);
        stalled.push(sample(1, 3), 8);
        let asked = std::cell::Cell::new(0);
        let taken = numbers(&mut stalled, |event| {
            asked.set(asked.get() + 1);
            event.topic() == events::topic::Topic::Telemetry
        });
        assert_eq!((taken, asked.get()), (vec![3], 2), "one status was tried, not both");
        assert!(stalled.precedes(&status(1, 4)) && !stalled.precedes(&sample(1, 5)));
    }
}

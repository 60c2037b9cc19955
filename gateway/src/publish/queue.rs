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

/// Waiting events, in order. Exists (boxed) only while something waits.
#[derive(Debug, Default)]
pub struct StalledEvents(VecDeque<Event>);

impl StalledEvents {
    /// Adds an event. Money and kept events always fit: the connection is not read while one of them waits, so there are at
    /// most those of one read. Of live data and status the latest per connector survives, within `limit`.
    pub fn push(&mut self, event: Event, limit: usize) -> Queued {
        if matches!(event.class, Class::Money | Class::Kept) {
            self.0.push_back(event);
            return Queued::Waits;
        }
        let same = |old: &Event| {
            old.class == event.class
                && old.connector == event.connector
                && old.seat.charger == event.seat.charger
                && same_kind(old, &event)
        };
        if let Some(index) = self.0.iter().position(same) {
            self.0.remove(index);
            self.0.push_back(event);
            return Queued::Replaced;
        }
        if self.0.len() >= limit {
            return Queued::Shed;
        }
        self.0.push_back(event);
        Queued::Waits
    }

    /// The next to try.
    #[must_use]
    pub fn front(&self) -> Option<&Event> {
        self.0.front()
    }

    /// The next was taken, or given up.
    pub fn pop(&mut self) -> Option<Event> {
        self.0.pop_front()
    }

    /// Something waits that must not be lost: do not read more from this peer.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        self.0.iter().any(|event| matches!(event.class, Class::Money | Class::Kept))
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
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

    #[test]
    fn live_data_is_coalesced_per_connector_and_money_kept_in_order() {
        let mut stalled = StalledEvents::default();
        assert_eq!(stalled.push(sample(1, 1), 8), Queued::Waits);
        assert_eq!(stalled.push(sample(2, 2), 8), Queued::Waits);
        assert!(!stalled.holds_back());
        let money = event(Class::Money, 1, 3, Body::SessionStarted(SessionStarted::default()));
        assert_eq!(stalled.push(money, 1), Queued::Waits);
        assert!(stalled.holds_back());
        assert_eq!(stalled.push(sample(1, 4), 8), Queued::Replaced);
        let numbers: Vec<_> = std::iter::from_fn(|| stalled.pop()).map(|event| event.number).collect();
        assert_eq!(numbers, [2, 3, 4]);
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
}

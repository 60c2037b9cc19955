//! The connections of a shard: a slot each, with a generation that tells a connection from an earlier one in its slot.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    task::Waker,
};

use events::commands::Command;

use super::inbox::News;
use crate::{
    accept::Turn,
    registry::{Address, Seat},
};

/// A message to a connection.
#[derive(Debug)]
pub(crate) enum ToConnection {
    /// The log confirmed (or lost) the money of a ticket.
    Acked { ticket: u32, durable: bool },
    /// The business side wants something done.
    Command(Arc<Command>),
    /// Something happened to a seat of it.
    News(Arc<Seat>, News),
    /// Leave when nothing is in flight.
    Goodbye,
    /// Leave now.
    Cut,
}

/// The part of a connection that its shard can reach. The rest belongs to its task.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    inbox: RefCell<Vec<ToConnection>>,
    waker: RefCell<Option<Waker>>,
    /// When the sweep has to wake it, ms of the shard.
    pub deadline_ms: Cell<u64>,
    /// The sweep found the deadline passed.
    pub due: Cell<bool>,
    /// The log may have room again.
    pub retry: Cell<bool>,
    /// Where its TLS handshake stands.
    pub turn: Cell<Turn>,
    /// Something is in flight: money, a command, a charging session. Drain says goodbye to others first.
    pub busy: Cell<bool>,
}

pub(crate) type ConnectionCell = Rc<Reach>;

impl Reach {
    /// Keeps the task's waker; free when it is the same as before.
    pub fn listen(&self, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        match &*kept {
            Some(same) if same.will_wake(waker) => {}
            _ => *kept = Some(waker.clone()),
        }
    }

    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub fn tell(&self, message: ToConnection) {
        self.inbox.borrow_mut().push(message);
        self.wake();
    }

    /// Everything that lies there; leaves no memory behind.
    pub fn take(&self) -> Vec<ToConnection> {
        if self.inbox.borrow().is_empty() { Vec::new() } else { self.inbox.take() }
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u16,
    cell: Option<ConnectionCell>,
}

/// The list.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    used: usize,
}

impl Slots {
    /// Gives a connection its slot.
    pub fn insert(&mut self, shard: u16, cell: ConnectionCell) -> Address {
        self.used += 1;
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.cell = Some(cell);
            return Address { shard, generation: slot.generation, slot: index };
        }
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 0, cell: Some(cell) });
        Address { shard, generation: 0, slot: index }
    }

    /// The connection of an address, unless it is gone.
    pub fn get(&self, slot: u32, generation: u16) -> Option<&ConnectionCell> {
        let slot = self.slots.get(slot as usize)?;
        if slot.generation == generation { slot.cell.as_ref() } else { None }
    }

    pub fn remove(&mut self, address: Address) {
        if let Some(slot) = self.slots.get_mut(address.slot as usize)
            && slot.generation == address.generation
            && slot.cell.take().is_some()
        {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(address.slot);
            self.used -= 1;
        }
    }

    pub fn cells(&self) -> impl Iterator<Item = &ConnectionCell> {
        self.slots.iter().filter_map(|slot| slot.cell.as_ref())
    }

    pub const fn len(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_slot_is_another_connection() {
        let mut slots = Slots::default();
        let old = slots.insert(0, ConnectionCell::default());
        slots.remove(old);
        slots.remove(old);
        let new = slots.insert(0, ConnectionCell::default());
        assert_eq!(old.slot, new.slot);
        assert!(slots.get(old.slot, old.generation).is_none());
        assert!(slots.get(new.slot, new.generation).is_some());
        assert_eq!((slots.len(), slots.cells().count()), (1, 1));
    }
}

//! TLS handshakes of one shard at the same time: each costs some 10 KiB and a signature, and after an outage everybody comes at once.
//! A connection asks for its turn when its first byte is there; those that say nothing take no place.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use crate::{
    registry::Address,
    shard::slots::{Reach, Slots},
};

/// Where a connection stands with its handshake; part of what its shard can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Has not asked, or is done.
    #[default]
    None,
    /// In the queue; it is woken when its turn has come.
    Waiting,
    /// Has a place.
    Granted,
}

/// The places of a shard.
#[derive(Debug)]
pub(crate) struct Handshakes {
    free: Cell<usize>,
    waiting: RefCell<VecDeque<Address>>,
}

impl Handshakes {
    pub fn new(max: usize) -> Self {
        Self { free: Cell::new(max), waiting: RefCell::default() }
    }

    /// Asks for a place; false: wait to be woken.
    pub fn enter(&self, cell: &Reach, address: Address) -> bool {
        if cell.turn.get() == Turn::None {
            let free = self.free.get();
            if free > 0 {
                self.free.set(free - 1);
                cell.turn.set(Turn::Granted);
            } else {
                self.waiting.borrow_mut().push_back(address);
                cell.turn.set(Turn::Waiting);
            }
        }
        cell.turn.get() == Turn::Granted
    }

    /// Done, failed or gone: the place, if it had one, goes to the one that has waited longest.
    pub fn leave(&self, cell: &Reach, slots: &Slots) {
        if cell.turn.replace(Turn::None) != Turn::Granted {
            return;
        }
        while let Some(address) = self.waiting.borrow_mut().pop_front() {
            if let Some(next) = slots.get(address.slot, address.generation)
                && next.turn.get() == Turn::Waiting
            {
                next.turn.set(Turn::Granted);
                next.wake();
                return;
            }
        }
        self.free.set(self.free.get() + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::slots::ConnectionCell;

    #[test]
    fn places_go_to_who_waited_longest_and_is_still_there() {
        let (handshakes, mut slots) = (Handshakes::new(1), Slots::default());
        let cells: Vec<ConnectionCell> = (0..4).map(|_| ConnectionCell::default()).collect();
        let at: Vec<Address> = cells.iter().map(|cell| slots.insert(0, ConnectionCell::clone(cell))).collect();
        let entered: Vec<bool> = cells.iter().zip(&at).map(|(cell, &at)| handshakes.enter(cell, at)).collect();
        assert_eq!(entered, [true, false, false, false]);
        let turns = || cells.iter().map(|cell| cell.turn.get()).collect::<Vec<_>>();
        for (cell, address) in cells.iter().zip(&at).skip(1).take(1) {
            // One that gives up waiting frees nothing.
            handshakes.leave(cell, &slots);
            slots.remove(*address);
        }
        for cell in cells.iter().take(1) {
            handshakes.leave(cell, &slots);
        }
        assert_eq!(turns(), [Turn::None, Turn::None, Turn::Granted, Turn::Waiting]);
        for cell in cells.iter().skip(2) {
            handshakes.leave(cell, &slots);
        }
        assert_eq!((turns(), handshakes.free.get()), (vec![Turn::None; 4], 1));
    }
}

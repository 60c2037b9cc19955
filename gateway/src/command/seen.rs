//! Command ids that were seen: a bounded memory.

use std::collections::{HashSet, VecDeque};

/// The last so many ids.
#[derive(Debug)]
pub(super) struct Seen {
    ids: HashSet<Box<str>>,
    order: VecDeque<Box<str>>,
    max: usize,
}

impl Seen {
    pub fn new(max: usize) -> Self {
        Self { ids: HashSet::new(), order: VecDeque::new(), max: max.max(1) }
    }

    /// This id was seen and is not forgotten.
    pub fn knows(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// True if this id was not seen before, or so long ago that it was forgotten.
    pub fn first_time(&mut self, id: &str) -> bool {
        if self.ids.contains(id) {
            return false;
        }
        if self.order.len() >= self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.ids.insert(id.into());
        self.order.push_back(id.into());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_counts_once_while_remembered() {
        let mut seen = Seen::new(2);
        assert!(seen.first_time("a"));
        assert!(!seen.first_time("a"));
        assert!(seen.first_time("b") && seen.first_time("c"));
        assert!(seen.first_time("a"), "forgotten by now");
        assert_eq!((seen.ids.len(), seen.order.len()), (2, 2));
    }
}

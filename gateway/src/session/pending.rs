//! Money that waits for the log: an answer is held until every event it stands for is confirmed.

/// Waiting answers of one connection, in the order of their messages. Holds no memory while nothing waits.
#[derive(Debug)]
pub(crate) struct Money<T> {
    waiting: Vec<Waiting<T>>,
    ticket_last: u32,
}

#[derive(Debug)]
struct Waiting<T> {
    ticket: u32,
    /// Confirmations still to come.
    parts: u32,
    since_ms: u64,
    answer: T,
}

impl<T> Default for Money<T> {
    fn default() -> Self {
        Self { waiting: Vec::new(), ticket_last: 0 }
    }
}

impl<T> Money<T> {
    /// Holds an answer until `parts` events (at least 1) with the returned ticket are confirmed.
    pub fn hold(&mut self, answer: T, parts: u32, now_ms: u64) -> u32 {
        let ticket = self.next_ticket();
        self.waiting.push(Waiting { ticket, parts, since_ms: now_ms, answer });
        ticket
    }

    /// A ticket: never 0 (it means "no ticket"), and unique among what can wait at the same time.
    pub const fn next_ticket(&mut self) -> u32 {
        self.ticket_last = (self.ticket_last + 1) & TICKET_MASK;
        if self.ticket_last == 0 {
            self.ticket_last = 1;
        }
        self.ticket_last
    }

    /// An answer waits for this ticket.
    pub fn holds(&self, ticket: u32) -> bool {
        self.waiting.iter().any(|waiting| waiting.ticket == ticket)
    }

    /// An answer of this kind waits.
    pub fn any(&self, is: impl Fn(&T) -> bool) -> bool {
        self.waiting.iter().any(|waiting| is(&waiting.answer))
    }

    /// One event of a ticket is durable: the answer and how long it waited (ms), when it was the last.
    pub fn confirm(&mut self, ticket: u32, now_ms: u64) -> Option<(T, u64)> {
        let index = self.waiting.iter().position(|waiting| waiting.ticket == ticket)?;
        let waiting = self.waiting.get_mut(index)?;
        waiting.parts = waiting.parts.saturating_sub(1);
        if waiting.parts > 0 {
            return None;
        }
        let done = self.waiting.remove(index);
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
        Some((done.answer, now_ms.saturating_sub(done.since_ms)))
    }

    /// The oldest has waited this long or longer.
    pub fn overdue(&self, now_ms: u64, limit_ms: u64) -> bool {
        self.waiting.first().is_some_and(|oldest| now_ms.saturating_sub(oldest.since_ms) >= limit_ms)
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn clear(&mut self) {
        self.waiting = Vec::new();
    }
}

/// Tickets fit into the 24 low bits of a token of the log.
pub(crate) const TICKET_MASK: u32 = 0x00ff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_waits_for_every_part() {
        let mut money = Money::default();
        let a = money.hold("a", 2, 10);
        let b = money.hold("b", 1, 11);
        assert_eq!(money.confirm(a, 20), None);
        assert_eq!(money.confirm(b, 21), Some(("b", 10)));
        assert_eq!(money.confirm(a, 30), Some(("a", 20)));
        assert_eq!(money.confirm(a, 31), None);
        assert_eq!(money.waiting.capacity(), 0);
    }

    #[test]
    fn tickets_are_never_zero() {
        let mut money = Money { waiting: Vec::new(), ticket_last: TICKET_MASK - 1 };
        assert_eq!(money.hold((), 1, 0), TICKET_MASK);
        assert_eq!(money.hold((), 1, 0), 1);
    }

    #[test]
    fn the_oldest_decides_what_is_overdue() {
        let mut money = Money::default();
        let first = money.hold((), 1, 100);
        money.hold((), 1, 150);
        assert!(!money.overdue(119, 20));
        assert!(money.overdue(120, 20));
        money.confirm(first, 120);
        assert!(!money.overdue(120, 20));
    }
}

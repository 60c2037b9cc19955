//! Commands that cannot be delivered yet: their charger is not connected here, or they were issued before this process began.
//! Bounded, until their expiry; a login makes those of its charger due.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use events::commands::Command;
use tokio::{sync::Notify, time::Instant};

/// A command without an expiry is held this long after it was appended.
const NO_EXPIRY_MS: i64 = 5 * 60 * 1000;

/// A command that waits.
#[derive(Clone, Debug)]
pub(crate) struct HeldCommand {
    pub command: Arc<Command>,
    /// When the log took it, real UTC ms: its answer, if there is one, was appended later.
    pub appended_at_ms: i64,
    /// The platform's time at which it is given up, UTC ms.
    until_ms: i64,
}

#[derive(Debug, Default)]
struct Waiting {
    by_charger: HashMap<Box<str>, VecDeque<HeldCommand>>,
    /// Chargers that logged in, and from when on their commands may be delivered.
    due: HashMap<Box<str>, Instant>,
}

/// The waiting commands of this node, per charger in the order of the log.
#[derive(Debug)]
pub(crate) struct HeldCommands {
    waiting: Mutex<Waiting>,
    /// All of them; read without the lock by every login.
    count: AtomicUsize,
    max: usize,
    per_charger: usize,
    /// From a login to the delivery: the node that had the charger before says meanwhile what became of its commands.
    handover: Duration,
    pub(super) wake: Notify,
}

impl HeldCommands {
    pub fn new(max: usize, per_charger: usize, handover: Duration) -> Self {
        Self { waiting: Mutex::default(), count: AtomicUsize::new(0), max, per_charger, handover, wake: Notify::new() }
    }

    /// Keeps a command; false if there is no room.
    pub fn hold(&self, command: Arc<Command>, appended_at_ms: i64, now_ms: i64) -> bool {
        let until_ms = match command.expires_at_ms {
            0 => now_ms.saturating_add(NO_EXPIRY_MS),
            until => until,
        };
        let mut waiting = self.lock();
        let room = self.count.load(Ordering::Relaxed) < self.max;
        let of_charger = waiting.by_charger.entry(command.charger.as_str().into()).or_default();
        if !room || of_charger.len() >= self.per_charger {
            if of_charger.is_empty() {
                waiting.by_charger.remove(command.charger.as_str());
            }
            return false;
        }
        of_charger.push_back(HeldCommand { command, appended_at_ms, until_ms });
        self.count.fetch_add(1, Ordering::Release);
        true
    }

    /// Something waits for this charger: what comes later has to wait behind it.
    pub fn has(&self, charger: &str) -> bool {
        self.len() > 0 && self.lock().by_charger.contains_key(charger)
    }

    /// A charger is here: its commands are due after the handover. Costs a load when nothing waits.
    pub fn logged_in(&self, charger: &str) {
        if self.len() == 0 {
            return;
        }
        let mut waiting = self.lock();
        if waiting.by_charger.contains_key(charger) {
            waiting.due.insert(charger.into(), Instant::now() + self.handover);
            self.wake.notify_one();
        }
    }

    /// The first moment at which something is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.lock().due.values().min().copied()
    }

    /// Chargers whose commands are due at `now`, and the oldest of these commands, appended at (real UTC ms).
    pub fn due(&self, now: Instant) -> (Vec<Box<str>>, i64) {
        let waiting = self.lock();
        let chargers: Vec<Box<str>> =
            waiting.due.iter().filter(|&(_, &at)| at <= now).map(|(charger, _)| charger.clone()).collect();
        let held = chargers.iter().filter_map(|charger| waiting.by_charger.get(charger)).flatten();
        let oldest = held.map(|held| held.appended_at_ms).min().unwrap_or(i64::MAX);
        (chargers, oldest)
    }

    /// Gives the commands of a charger away, in order, under the lock: nobody delivers a later one meanwhile. What `deliver` does
    /// not take (the charger left again) stays.
    pub fn release(&self, charger: &str, mut deliver: impl FnMut(&HeldCommand) -> bool) {
        let mut waiting = self.lock();
        waiting.due.remove(charger);
        let Some(of_charger) = waiting.by_charger.get_mut(charger) else { return };
        while let Some(held) = of_charger.front() {
            if !deliver(held) {
                return;
            }
            of_charger.pop_front();
            self.count.fetch_sub(1, Ordering::Release);
        }
        waiting.by_charger.remove(charger);
    }

    /// Gives up what is over; the number. Those of a charger that is here are left: its session says that they are over.
    pub fn expire(&self, now_ms: i64) -> usize {
        if self.len() == 0 {
            return 0;
        }
        let mut waiting = self.lock();
        let Waiting { by_charger, due } = &mut *waiting;
        let mut over = 0;
        by_charger.retain(|charger, held| {
            if !due.contains_key(charger) {
                let before = held.len();
                held.retain(|held| held.until_ms >= now_ms);
                over += before - held.len();
            }
            !held.is_empty()
        });
        self.count.fetch_sub(over, Ordering::Release);
        over
    }

    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(id: &str, charger: &str, expires_at_ms: i64) -> Arc<Command> {
        Arc::new(Command { command_id: id.into(), charger: charger.into(), expires_at_ms, ..Command::default() })
    }

    #[test]
    fn only_a_login_makes_them_due_and_they_keep_their_order() {
        let held = HeldCommands::new(10, 10, Duration::ZERO);
        assert!(held.hold(command("1", "A", 100), 5, 0));
        assert!(held.hold(command("2", "A", 100), 4, 0));
        assert!(held.hold(command("3", "B", 100), 3, 0));
        held.logged_in("C");
        assert_eq!(held.next_due(), None);
        held.logged_in("A");
        assert_eq!(held.due(Instant::now()), (vec!["A".into()], 4));
        let mut seen = Vec::new();
        held.release("A", |held| {
            seen.push(held.command.command_id.clone());
            true
        });
        assert_eq!((seen, held.len()), (vec!["1".to_owned(), "2".to_owned()], 1));
        assert!(held.next_due().is_none() && !held.has("A") && held.has("B"));
    }

    #[test]
    fn what_is_not_taken_waits_for_the_next_login() {
        let held = HeldCommands::new(10, 10, Duration::ZERO);
        assert!(held.hold(command("1", "A", 100), 5, 0));
        held.logged_in("A");
        held.release("A", |_| false);
        assert!(held.has("A") && held.next_due().is_none());
    }

    #[test]
    fn bounded_and_until_their_expiry() {
        let held = HeldCommands::new(3, 2, Duration::ZERO);
        assert!(held.hold(command("1", "A", 100), 0, 0));
        assert!(held.hold(command("2", "A", 200), 0, 0));
        assert!(!held.hold(command("3", "A", 200), 0, 0), "too many of one charger");
        assert!(held.hold(command("4", "B", 0), 0, 0));
        assert!(!held.hold(command("5", "C", 200), 0, 0), "too many");
        assert_eq!((held.expire(101), held.len()), (1, 2));
        assert_eq!((held.expire(NO_EXPIRY_MS + 1), held.len()), (2, 0));
        assert!(!held.has("A") && !held.has("B"));
    }
}

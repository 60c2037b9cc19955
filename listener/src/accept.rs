//! Errors of `accept`: counted each, said seldom, and waited for where they do not pass by themselves.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use metrics::Counter;

/// What did not pass by itself is tried again after this long. What comes meanwhile waits in the kernel's queue.
const PAUSE: Duration = Duration::from_millis(50);
/// The same trouble is said again after this long.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// What went wrong while one listener accepted. Its shards may share it.
#[derive(Debug)]
pub struct AcceptErrors {
    listener: &'static str,
    counter: Counter,
    seldom: Seldom,
    failing: AtomicBool,
}

impl AcceptErrors {
    /// For a listener of this name, which is in the log lines.
    #[must_use]
    pub fn new(listener: &'static str, counter: Counter) -> Self {
        Self { listener, counter, seldom: Seldom::new(), failing: AtomicBool::new(false) }
    }

    /// Takes note of an error; says how long to wait before the next `accept`.
    pub fn pause(&self, error: &io::Error) -> Duration {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
            return Duration::ZERO; // the peer left while it was queued
        }
        self.counter.increment(1);
        self.failing.store(true, Ordering::Relaxed);
        if let Some(unsaid) = self.seldom.may_say() {
            tracing::warn!(
                listener = self.listener,
                %error,
                unsaid,
                "accept fails and is tried again; new connections wait"
            );
        }
        PAUSE
    }

    /// A connection was accepted.
    #[inline]
    pub fn none(&self) {
        if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
            tracing::debug!(listener = self.listener, "accepts again");
        }
    }
}

/// Lets something be said once in [`SAID_EVERY`].
#[derive(Debug)]
pub(crate) struct Seldom {
    started: Instant,
    /// From then on it may be said, ms since `started`.
    from_ms: AtomicU64,
    unsaid: AtomicU64,
}

impl Seldom {
    pub fn new() -> Self {
        Self { started: Instant::now(), from_ms: AtomicU64::new(0), unsaid: AtomicU64::new(0) }
    }

    /// How often it happened unsaid, if it may be said now.
    pub fn may_say(&self) -> Option<u64> {
        self.may_say_at(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn may_say_at(&self, now_ms: u64) -> Option<u64> {
        let from = self.from_ms.load(Ordering::Relaxed);
        let next = now_ms.saturating_add(u64::try_from(SAID_EVERY.as_millis()).unwrap_or(u64::MAX));
        let mine =
            now_ms >= from && self.from_ms.compare_exchange(from, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine {
            return Some(self.unsaid.swap(0, Ordering::Relaxed));
        }
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_period_with_how_often_it_was_not() {
        let seldom = Seldom::new();
        let said: Vec<_> = [0, 1, 59_999, 60_000, 60_001].map(|ms| seldom.may_say_at(ms)).into();
        assert_eq!(said, [Some(0), None, None, Some(2), None]);
    }

    #[test]
    fn only_what_does_not_pass_by_itself_is_waited_for() {
        let errors = AcceptErrors::new("test", Counter::noop());
        assert_eq!(errors.pause(&io::ErrorKind::ConnectionAborted.into()), Duration::ZERO);
        // EMFILE, ENFILE
        for code in [24, 23] {
            assert_eq!(errors.pause(&io::Error::from_raw_os_error(code)), PAUSE);
        }
    }
}

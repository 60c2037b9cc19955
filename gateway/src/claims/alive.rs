//! Which gateways live, by what they say on `ev.session.v1`. No clock of another node counts: a sign of life is as old as the time
//! since we read it, and only while our own come back to us, so that a log which is away, or we who were, make nobody dead.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use events::{
    envelope::{Head, encode_body, next_event_id},
    log::{Ack, Append, EventLog, NotDurable, append_durable},
    proto::{GatewayReported, GatewayState, Protocol, envelope::Body},
    topic::Topic,
};
use tokio::time::Instant;

/// How often a gateway says that it lives, at the least.
const BEAT_MAX: Duration = Duration::from_secs(10);
/// So many signs of life may be missed before a gateway is lost.
const BEATS: u32 = 6;

/// What this gateway knows of those that live, itself among them.
#[derive(Debug)]
pub(crate) struct Alive(Mutex<Watch>);

impl Alive {
    /// `lost_after` zero: nobody is ever lost.
    pub fn new(process: u64, lost_after: Duration) -> Self {
        Self(Mutex::new(Watch {
            own: process,
            lost_after,
            others: HashMap::new(),
            echo: None,
            said: None,
            suspected_by: None,
            left: false,
        }))
    }

    pub fn watch(&self) -> MutexGuard<'_, Watch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Watch {
    own: u64,
    lost_after: Duration,
    /// When each was heard.
    others: HashMap<u64, Instant>,
    /// When our own sign of life was last read back.
    echo: Option<Instant>,
    said: Option<Instant>,
    /// Who began to say that we are dead; it says it a second time when it is done.
    suspected_by: Option<u64>,
    /// We have said our goodbye.
    left: bool,
}

impl Watch {
    /// Takes a report as it stands in the log. True: others were told that we are dead.
    pub fn heard(&mut self, now: Instant, report: &GatewayReported) -> bool {
        match (report.process == self.own, report.state()) {
            (true, GatewayState::Alive) => {
                // Nobody could be heard in the gap.
                if self.is_deaf(now) {
                    self.others.values_mut().for_each(|heard| *heard = now);
                }
                self.echo = Some(now);
            }
            (false, GatewayState::Alive) => drop(self.others.insert(report.process, now)),
            (false, GatewayState::Left | GatewayState::Lost) => drop(self.others.remove(&report.process)),
            (true, GatewayState::Suspected) => {
                self.suspected_by = Some(report.by);
                return true;
            }
            (true, GatewayState::Lost) => return self.suspected_by.take() != Some(report.by),
            (false, GatewayState::Suspected) | (_, GatewayState::Unspecified) | (true, GatewayState::Left) => {}
        }
        false
    }

    /// Those that live no more, as far as it is for us to say. The first of the living (by number) says it after `lost_after`, the
    /// next after twice that, and so on: one is enough, and more do no harm.
    pub fn lost(&self, now: Instant) -> Vec<u64> {
        if self.lost_after.is_zero() || self.is_deaf(now) {
            return Vec::new();
        }
        let silence = |heard: &Instant| now.saturating_duration_since(*heard);
        let living = self.others.iter().filter(|(_, heard)| silence(heard) <= self.lost_after);
        let before = living.filter(|(process, _)| **process < self.own).count();
        let patience = self.lost_after.saturating_mul(u32::try_from(before + 1).unwrap_or(u32::MAX));
        self.others.iter().filter(|(_, heard)| silence(heard) > patience).map(|(process, _)| *process).collect()
    }

    /// Their chargers are settled.
    pub fn forget(&mut self, processes: &HashSet<u64>) {
        self.others.retain(|process, _| !processes.contains(process));
    }

    /// Our own signs of life do not come back in time.
    fn is_deaf(&self, now: Instant) -> bool {
        self.echo.is_none_or(|echo| now.saturating_duration_since(echo) > self.lost_after / 2)
    }

    /// Says that we live, when it is time. One that the log does not take is left out.
    pub fn beat(&mut self, now: Instant, log: &dyn EventLog, node: &str, now_ms: i64) {
        let every = if self.lost_after.is_zero() { BEAT_MAX } else { BEAT_MAX.min(self.lost_after / BEATS) };
        if self.left || self.said.is_some_and(|said| now.saturating_duration_since(said) < every) {
            return;
        }
        self.said = Some(now);
        append(self.own, self.own, GatewayState::Alive, node, now_ms, |record| {
            // A full log has other things to do.
            let _ = log.append(record, Ack::None);
        });
    }

    /// Says that we live at once, whatever was said.
    pub fn beat_again(&mut self) {
        self.said = None;
    }

    /// Says that we are gone, and from here on nothing any more.
    pub fn leave(
        &mut self,
        log: &dyn EventLog,
        node: &str,
        now_ms: i64,
    ) -> impl Future<Output = Result<(), NotDurable>> + Send + use<> {
        self.left = true;
        report(log, self.own, self.own, GatewayState::Left, node, now_ms)
    }
}

/// Says how a process is; resolves when the log has it.
pub(super) fn report(
    log: &dyn EventLog,
    process: u64,
    by: u64,
    state: GatewayState,
    node: &str,
    now_ms: i64,
) -> impl Future<Output = Result<(), NotDurable>> + Send + use<> {
    let durable = append(process, by, state, node, now_ms, |record| append_durable(log, record));
    async move { durable.await.map(drop) }
}

fn append<T>(
    process: u64,
    by: u64,
    state: GatewayState,
    node: &str,
    now_ms: i64,
    append: impl FnOnce(Append<'_>) -> T,
) -> T {
    let head = Head {
        event_id: next_event_id(now_ms),
        tenant: 0,
        charger: "",
        connector: 0,
        protocol: Protocol::Unspecified,
        epoch: 0,
        number: 0,
        occurred_at_ms: now_ms,
        received_at_ms: now_ms,
        node,
        traceparent: "",
    };
    let mut buffer = Vec::with_capacity(128);
    encode_body(&head, &[], &Body::GatewayReported(GatewayReported { process, state: state.into(), by }), &mut buffer);
    let key = format!("process/{process:016x}");
    append(Append { topic: Topic::Session, key: key.as_bytes(), payload: Some(&buffer), headers: &[] })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const OWN: u64 = 50;

    /// A watch, and what time it is.
    struct Told(Watch, Instant);

    impl Told {
        fn new() -> Self {
            let alive = Alive::new(OWN, MINUTE);
            Self(alive.0.into_inner().unwrap_or_else(PoisonError::into_inner), Instant::now())
        }

        fn say(&mut self, process: u64, state: GatewayState, by: u64) -> bool {
            self.0.heard(self.1, &GatewayReported { process, state: state.into(), by })
        }

        fn alive(&mut self, processes: &[u64]) {
            for process in processes {
                assert!(!self.say(*process, GatewayState::Alive, *process));
            }
        }

        /// Time passes, in which these go on saying that they live.
        fn pass(&mut self, seconds: u32, living: &[u64]) {
            for _ in 0..seconds {
                self.1 += Duration::from_secs(1);
                self.alive(living);
            }
        }

        fn lost(&self) -> Vec<u64> {
            self.0.lost(self.1)
        }
    }

    #[test]
    fn one_that_says_nothing_for_the_time_is_lost_and_the_first_of_the_living_says_so() {
        let mut told = Told::new();
        told.alive(&[OWN, 70, 80]);
        told.pass(60, &[OWN, 80]);
        assert!(told.lost().is_empty());
        told.pass(1, &[OWN, 80]);
        assert_eq!(told.lost(), [70]);
        // Another one lives and comes before us: it has its minute.
        told.alive(&[10]);
        assert!(told.lost().is_empty());
        told.pass(59, &[OWN, 10, 80]);
        assert!(told.lost().is_empty());
        told.pass(1, &[OWN, 10, 80]);
        assert_eq!(told.lost(), [70], "it has not done it");
        assert!(!told.say(70, GatewayState::Lost, 10));
        assert!(told.lost().is_empty());
    }

    #[test]
    fn one_that_left_or_came_back_is_not_lost() {
        let mut told = Told::new();
        told.alive(&[OWN, 70, 71]);
        told.say(71, GatewayState::Left, 71);
        told.pass(61, &[OWN]);
        assert_eq!(told.lost(), [70]);
        told.alive(&[70]);
        assert!(told.lost().is_empty());
    }

    #[test]
    fn while_our_own_signs_do_not_come_back_nobody_is_lost_nor_grows_silent() {
        let mut told = Told::new();
        told.alive(&[OWN, 70]);
        told.pass(300, &[]);
        assert!(told.lost().is_empty(), "the log is away, or we were");
        told.alive(&[OWN]);
        told.pass(60, &[OWN]);
        assert!(told.lost().is_empty());
        told.pass(1, &[OWN]);
        assert_eq!(told.lost(), [70]);
    }

    #[test]
    fn that_we_are_dead_is_heard_once_of_each_who_says_it() {
        let mut told = Told::new();
        assert!(told.say(OWN, GatewayState::Suspected, 70));
        assert!(!told.say(OWN, GatewayState::Lost, 70));
        // The log keeps only the last one for long.
        assert!(told.say(OWN, GatewayState::Lost, 70));
        assert!(!told.say(70, GatewayState::Suspected, OWN) && !told.say(70, GatewayState::Lost, OWN));
    }
}

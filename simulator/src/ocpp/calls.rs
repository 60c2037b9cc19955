//! The calls of a charge point: one on its way at a time, transaction messages kept in order until they are confirmed or
//! given up, all others forgotten with the connection (OCPP 1.6 §3.7, §4.1.1; OCPP-J 1.6 §4.1.1).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// A local name for a transaction, before and after the platform has given it an id.
pub(crate) type TxKey = u64;

/// What a call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Boot,
    Heartbeat,
    Status {
        connector: u32,
    },
    Authorize {
        connector: u32,
    },
    /// Meter values of no transaction.
    Meter,
    StartTx(TxKey),
    /// Meter values of a transaction: (at, energy since its start in 0.0001 kWh).
    TxMeter(TxKey, i64, i64),
    StopTx(TxKey),
}

impl About {
    /// Kept over disconnects and sent until confirmed or given up.
    pub(crate) const fn is_transactional(&self) -> bool {
        matches!(self, Self::StartTx(_) | Self::TxMeter(..) | Self::StopTx(_))
    }
}

/// One call, sent or not yet.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub about: About,
    pub action: &'static str,
    /// JSON; `TX_ID` stands where the transaction id goes.
    pub payload: String,
    /// Message id of the last transmission; empty before the first.
    pub id: String,
    pub transmissions: u32,
    /// A copy of a confirmed call, sent once more on purpose.
    pub again: bool,
    attempts: u32,
    order: u64,
    not_before: Instant,
}

impl Call {
    pub(crate) fn with_payload(&self, payload: String) -> Self {
        Self { payload, ..self.clone() }
    }
}

/// Placeholder of the transaction id in a payload that is queued before the id is known.
pub(crate) const TX_ID: &str = "\"<tx>\"";

/// The queue.
#[derive(Debug)]
pub(crate) struct Calls {
    on_its_way: Option<(Call, Instant)>,
    live: VecDeque<Call>,
    durable: VecDeque<Call>,
    orders: u64,
}

/// What became of an unanswered or refused call.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It will be sent again.
    Retry,
    /// A transaction message whose attempts are used up.
    Lost(Call),
    /// Not a transaction message: forgotten.
    Dropped(Call),
}

impl Calls {
    pub(crate) fn new() -> Self {
        Self { on_its_way: None, live: VecDeque::new(), durable: VecDeque::new(), orders: 0 }
    }

    /// Queues a call behind all others of its kind.
    pub(crate) fn push(&mut self, now: Instant, about: About, action: &'static str, payload: String) {
        self.orders += 1;
        let durable = about.is_transactional();
        let call = Call {
            about,
            action,
            payload,
            id: String::new(),
            transmissions: 0,
            again: false,
            attempts: 0,
            order: self.orders,
            not_before: now,
        };
        if durable { self.durable.push_back(call) } else { self.live.push_back(call) }
    }

    /// Sends a confirmed transaction message once more, before all others.
    pub(crate) fn push_again(&mut self, now: Instant, mut call: Call) {
        call.again = true;
        call.attempts = 0;
        call.not_before = now;
        self.durable.push_front(call);
    }

    pub(crate) fn has_live(&self, about: &About) -> bool {
        self.live.iter().chain(self.on_its_way.iter().map(|(call, _)| call)).any(|call| call.about == *about)
    }

    /// Transaction messages that are not confirmed yet.
    pub(crate) fn transactional(&self) -> usize {
        let flying = self.on_its_way.iter().filter(|(call, _)| call.about.is_transactional()).count();
        self.durable.len() + flying
    }

    /// The next call to send, if none is on its way: the older of both kinds, but a transaction message that waits for its
    /// retry lets the others pass. Before the boot is accepted only the boot itself may go.
    pub(crate) fn next(&mut self, now: Instant, booted: bool) -> Option<Call> {
        if self.on_its_way.is_some() {
            return None;
        }
        if !booted {
            let at = self.live.iter().position(|call| call.about == About::Boot)?;
            return self.live.remove(at);
        }
        let durable = self.durable.front().filter(|call| call.not_before <= now).map(|call| call.order);
        match (self.live.front().map(|call| call.order), durable) {
            (Some(live), Some(durable)) if live < durable => self.live.pop_front(),
            (_, Some(_)) => self.durable.pop_front(),
            (Some(_), None) => self.live.pop_front(),
            (None, None) => None,
        }
    }

    pub(crate) fn sent(&mut self, call: Call, give_up_at: Instant) {
        self.on_its_way = Some((call, give_up_at));
    }

    /// The call that an answer with this id belongs to.
    pub(crate) fn answered(&mut self, id: &str) -> Option<Call> {
        let ours = self.on_its_way.as_ref().is_some_and(|(call, _)| call.id == id);
        if ours { self.on_its_way.take().map(|(call, _)| call) } else { None }
    }

    /// The call on its way if nobody answered it in time.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<Call> {
        let overdue = self.on_its_way.as_ref().is_some_and(|(_, give_up_at)| *give_up_at <= now);
        if overdue { self.on_its_way.take().map(|(call, _)| call) } else { None }
    }

    /// An attempt was used up, by a time-out or an error.
    pub(crate) fn failed(&mut self, now: Instant, mut call: Call, attempts_most: u64, interval: Duration) -> Fate {
        if !call.about.is_transactional() {
            return Fate::Dropped(call);
        }
        call.attempts += 1;
        if u64::from(call.attempts) >= attempts_most.max(1) {
            return Fate::Lost(call);
        }
        // "multiplied by the amount of preceding transmissions of this same message" (OCPP 1.6 §9.1.27).
        call.not_before = now + interval * call.attempts;
        self.durable.push_front(call);
        Fate::Retry
    }

    /// The connection is gone: a transaction message on its way has lost no attempt, everything else is forgotten.
    pub(crate) fn disconnected(&mut self, now: Instant) -> Vec<Call> {
        if let Some((mut call, _)) = self.on_its_way.take() {
            if call.about.is_transactional() {
                call.not_before = now;
                self.durable.push_front(call);
            } else {
                self.live.push_front(call);
            }
        }
        self.live.drain(..).collect()
    }

    /// A call is on its way.
    pub(crate) fn is_busy(&self) -> bool {
        self.on_its_way.is_some()
    }

    /// When something becomes due: a time-out or a retry.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        match &self.on_its_way {
            Some((_, give_up_at)) => Some(*give_up_at),
            None => self.durable.front().map(|call| call.not_before),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn queue(now: Instant) -> Calls {
        let mut calls = Calls::new();
        calls.push(now, About::StartTx(1), "StartTransaction", String::new());
        calls.push(now, About::Status { connector: 1 }, "StatusNotification", String::new());
        calls.push(now, About::StopTx(1), "StopTransaction", String::new());
        calls
    }

    fn send(calls: &mut Calls, now: Instant, id: &str) -> About {
        let mut call = calls.next(now, true).unwrap();
        id.clone_into(&mut call.id);
        let about = call.about.clone();
        calls.sent(call, now + SECOND);
        about
    }

    #[test]
    fn one_at_a_time_in_order_and_only_the_boot_before_the_boot() {
        let now = Instant::now();
        let mut calls = queue(now);
        assert!(calls.next(now, false).is_none());
        calls.push(now, About::Boot, "BootNotification", String::new());
        assert_eq!(calls.next(now, false).unwrap().about, About::Boot);
        assert_eq!(send(&mut calls, now, "a"), About::StartTx(1));
        assert!(calls.next(now, true).is_none(), "one on its way");
        assert!(calls.answered("b").is_none());
        assert!(calls.answered("a").is_some());
        assert_eq!(send(&mut calls, now, "c"), About::Status { connector: 1 });
    }

    #[test]
    fn attempts_are_used_up_by_time_outs_but_not_by_disconnects() {
        let now = Instant::now();
        let mut calls = queue(now);
        send(&mut calls, now, "a");
        assert_eq!(calls.disconnected(now).len(), 1, "the status is forgotten");
        for attempt in 1..3 {
            assert_eq!(send(&mut calls, now + SECOND * 100, "b"), About::StartTx(1));
            assert!(calls.overdue(now + SECOND * 100).is_none());
            let call = calls.overdue(now + SECOND * 101).unwrap();
            assert!(matches!(calls.failed(now, call, 3, SECOND), Fate::Retry));
            assert_eq!(calls.wake_at(), Some(now + SECOND * attempt), "the wait grows");
            assert!(calls.next(now, true).is_none(), "the stop stays behind the start");
        }
        send(&mut calls, now + SECOND * 100, "c");
        let call = calls.overdue(now + SECOND * 200).unwrap();
        assert!(matches!(calls.failed(now, call, 3, SECOND), Fate::Lost(lost) if lost.about == About::StartTx(1)));
        assert_eq!(send(&mut calls, now, "d"), About::StopTx(1));
    }
}

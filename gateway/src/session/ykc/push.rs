//! 0x58 on our own accord: a pile whose prices changed is sent them when all its guns are idle, so that what it shows the next driver
//! is what will be billed. A session that runs is not touched: its driver saw the prices before it began.

use codecs::ykc::{self, kind};
use events::{
    proto::{AlarmRaised, envelope::Body as EventBody},
    registry::BillingModel,
};

use super::{Pile, YkcSession};
use crate::{
    registry::{Seat, prices::fingerprint},
    session::{Class, Context, Effects, Note, PushOutcome},
    translate,
};

/// A pile that has not taken a model after so many tries is left alone until it asks, or until prices change again.
const TRIES: u8 = 3;
/// From a try that failed to the next.
const AGAIN_MS: u64 = 60_000;
/// A gun that charges reports every 15 s (V1.6 §5, 0x13): this long after the login we have heard of all that do.
pub(super) const ALL_HEARD_MS: u64 = 60_000;
/// A start that was let through begins in this time or never (V1.6 §6.3).
pub(super) const START_MS: u64 = 90_000;

/// An answer (0x57) that has not come in this time after the last model was sent does not come any more.
const ANSWER_LOST_MS: u64 = 600_000;

/// Models that were sent (0x58) and not answered. 0x57 does not say which model it answers; a pile answers in the order in which they came.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// Fingerprint of the last model.
    model: u64,
    /// How often that was sent.
    last: u8,
    /// How many others before it.
    older: u8,
    /// When the last was sent. Monotonic, ms.
    at_ms: u64,
}

/// A billing model that a pile has to be sent.
#[derive(Debug)]
pub(super) struct Push {
    tries_left: u8,
    /// What was sent and is not answered.
    sent: Option<BillingModel>,
    /// Until when the answer may come; while nothing is sent: from when on it may be. Monotonic, ms.
    at_ms: u64,
}

impl YkcSession {
    /// Another billing model may hold for this seat's charger.
    pub fn on_tariff(&mut self, cx: &Context<'_>, seat: &Seat, fx: &mut Effects) {
        let here = |pile: &Pile| pile.voice.seat.epoch == seat.epoch && !pile.voice.seat.is_fenced() && !pile.leaving;
        let Some(index) = self.piles.iter().position(here) else { return };
        let Some(pile) = self.piles.get_mut(index) else { return };
        let fresh = Push { tries_left: TRIES, sent: None, at_ms: cx.now.mono_ms };
        let push = pile.push.get_or_insert_with(|| Box::new(fresh));
        push.tries_left = TRIES;
        if push.sent.is_none() {
            push.at_ms = cx.now.mono_ms;
        }
        self.push_model(cx, index, fx);
    }

    /// Sends a pile its billing model if it has to be sent one, and now can be.
    pub(super) fn push_model(&mut self, cx: &Context<'_>, index: usize, fx: &mut Effects) {
        let (now, style) = (cx.now.mono_ms, self.style());
        let Some(pile) = self.piles.get_mut(index) else { return };
        let Some(push) = &pile.push else { return };
        if push.at_ms > now {
            return;
        }
        if push.sent.is_some() {
            pile.push_ended(cx, PushOutcome::NoAnswer, fx);
            return;
        }
        if pile.leaving
            || pile.voice.seat.is_fenced()
            || !pile.is_idle(now)
            || pile.in_flight(kind::MODEL_SET_REPLY, None)
        {
            return;
        }
        // What holds now, not what held when it was found out; the pile may have asked for it meanwhile.
        let model = pile.model(cx, None).filter(|model| fingerprint(model) != pile.holds);
        let frame = model.as_ref().and_then(|model| translate::ykc::billing_model(pile.id, model));
        let (Some(frame), Some(model)) = (frame, model) else {
            pile.push = None;
            return;
        };
        pile.sent_model(cx, &model);
        if let Some(push) = &mut pile.push {
            (push.sent, push.at_ms) = (Some(model), now + cx.settings.answer_ms);
        }
        let seq = self.next_sequence();
        ykc::encode_styled(seq, &ykc::ModelSet(frame), style, &mut fx.out);
    }
}

impl Pile {
    /// A start was let through: its gun is not idle until it has had its time.
    pub(super) fn let_start(&mut self, now_ms: u64) {
        (self.let_start, self.unsure_until_ms) = (true, now_ms + START_MS);
    }

    /// A model was sent, by us or for a command.
    pub(super) fn sent_model(&mut self, cx: &Context<'_>, model: &BillingModel) {
        let (now, model) = (cx.now.mono_ms, fingerprint(model));
        let before = self.models_sent.take().filter(|sent| now.saturating_sub(sent.at_ms) < ANSWER_LOST_MS);
        let sent = match before.map(|sent| *sent) {
            Some(sent) if sent.model == model => Unanswered { last: sent.last.saturating_add(1), at_ms: now, ..sent },
            Some(sent) => Unanswered { model, last: 1, older: sent.older.saturating_add(sent.last), at_ms: now },
            None => Unanswered { model, last: 1, older: 0, at_ms: now },
        };
        self.models_sent = Some(Box::new(sent));
    }

    /// A 0x57 came: the fingerprint of the model that it answers. None: it may be the late answer to another than the last.
    pub(super) fn model_answered(&mut self, now_ms: u64) -> Option<u64> {
        let sent = self.models_sent.as_deref_mut()?;
        if sent.older > 0 && now_ms.saturating_sub(sent.at_ms) < ANSWER_LOST_MS {
            sent.older -= 1;
            return None;
        }
        let model = sent.model;
        sent.last = sent.last.saturating_sub(1);
        if sent.last == 0 {
            self.models_sent = None;
        }
        Some(model)
    }

    pub(super) fn push_in_flight(&self) -> bool {
        self.push.as_ref().is_some_and(|push| push.sent.is_some())
    }

    /// A try is over.
    pub(super) fn push_ended(&mut self, cx: &Context<'_>, outcome: PushOutcome, fx: &mut Effects) {
        let Some(push) = &mut self.push else { return };
        let Some(sent) = push.sent.take() else { return };
        fx.notes.push(Note::Push(outcome));
        if outcome == PushOutcome::Accepted {
            // Prices may have changed again meanwhile: that is looked at before anything else is sent.
            (push.tries_left, push.at_ms) = (TRIES, cx.now.mono_ms);
            return self.delivered(cx, &sent, fx);
        }
        push.tries_left = push.tries_left.saturating_sub(1);
        push.at_ms = cx.now.mono_ms + AGAIN_MS;
        if push.tries_left == 0 {
            self.push = None;
            if !std::mem::replace(&mut self.refuses_prices, true) {
                self.prices_refused(cx, &sent, true, fx);
            }
        }
    }

    /// The pile has this model now.
    pub(super) fn has(&mut self, cx: &Context<'_>, model: &BillingModel, fx: &mut Effects) {
        self.holds = fingerprint(model);
        if std::mem::take(&mut self.refuses_prices) {
            self.prices_refused(cx, model, false, fx);
        }
    }

    /// Tells that a pile did not take its prices, or that it has them after all.
    fn prices_refused(&mut self, cx: &Context<'_>, model: &BillingModel, active: bool, fx: &mut Effects) {
        let detail = hex::encode(translate::ykc::model_no(model));
        let body = AlarmRaised { code: "tariff_not_taken".to_owned(), detail, active };
        self.voice.say(cx, fx, Class::Kept, 0, EventBody::AlarmRaised(body));
    }

    /// The connection is gone.
    pub(super) fn lose_push(&mut self, fx: &mut Effects) {
        if self.push.take().is_some_and(|push| push.sent.is_some()) {
            fx.notes.push(Note::Push(PushOutcome::ConnectionLost));
        }
    }
}

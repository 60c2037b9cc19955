//! 0x05/0x06 check and 0x09/0x0A fetch of the billing model, from the replica; 0x57 in answer to our 0x58.

use codecs::ykc::{self, CheckResult, FrameStyle, ModelCheckView, kind};
use events::{
    proto::{CommandOutcome, TariffChecked, envelope::Body as EventBody},
    registry::BillingModel,
};

use super::Pile;
use crate::{
    registry::prices::fingerprint,
    session::{Class, Context, Effects, Malformed, PushOutcome},
    translate,
};

impl Pile {
    /// The model that holds today for the tariff bound to this pile.
    pub(super) fn model(&self, cx: &Context<'_>, tariff: Option<&str>) -> Option<BillingModel> {
        let seat = &self.voice.seat;
        let bound;
        let tariff = match tariff {
            Some(tariff) => tariff,
            None => {
                bound = cx.replica.charger(&seat.charger)?;
                &bound.tariff
            }
        };
        if tariff.is_empty() { None } else { cx.replica.billing_model(seat.tenant, tariff, cx.now.wall_ms) }
    }

    pub(super) fn on_model_check(
        &mut self,
        cx: &Context<'_>,
        seq: [u8; 2],
        check: &ModelCheckView<'_>,
        style: FrameStyle,
        fx: &mut Effects,
    ) {
        let model = self.model(cx, None);
        let ours = model.as_ref().map(translate::ykc::model_no);
        let same = ours == Some(check.model_no());
        // Without a tariff the charger hears "differs", asks, gets no answer, and forbids charging (§5, 0x09): as it should.
        let model_no = ours.unwrap_or(check.model_no());
        let result = if same { CheckResult::Same } else { CheckResult::Differs };
        let ack = ykc::ModelCheckAck { pile: self.id, model_no, result };
        ykc::encode_styled(seq, &ack, style, &mut fx.out);
        match model.as_ref().filter(|_| same) {
            Some(model) => self.has(cx, model, fx),
            None => self.holds = 0,
        }
        let body = TariffChecked {
            model_no: hex::encode(check.model_no()),
            same,
            delivered: false,
            tariff_hash: model.map(|model| model.content_hash).unwrap_or_default(),
        };
        self.voice.say(cx, fx, Class::Kept, 0, EventBody::TariffChecked(body));
    }

    pub(super) fn on_model_request(&mut self, cx: &Context<'_>, seq: [u8; 2], style: FrameStyle, fx: &mut Effects) {
        let Some(model) = self.model(cx, None) else { return };
        let Some(frame) = translate::ykc::billing_model(self.id, &model) else { return };
        ykc::encode_styled(seq, &ykc::ModelAnswer(frame), style, &mut fx.out);
        self.delivered(cx, &model, fx);
    }

    pub(super) fn delivered(&mut self, cx: &Context<'_>, model: &BillingModel, fx: &mut Effects) {
        self.has(cx, model, fx);
        let body = TariffChecked {
            model_no: hex::encode(translate::ykc::model_no(model)),
            same: true,
            delivered: true,
            tariff_hash: model.content_hash.clone(),
        };
        self.voice.say(cx, fx, Class::Kept, 0, EventBody::TariffChecked(body));
    }

    /// 0x57: says nothing about which model. Only one 0x58 is in flight, but the answer to one that was given up may come late: what may
    /// be that says nothing about the newer model, which is sent again when its time is over.
    pub(super) fn on_model_set_reply(&mut self, cx: &Context<'_>, result: u8, fx: &mut Effects) {
        let waits = self.in_flight(kind::MODEL_SET_REPLY, None);
        let answered = self.model_answered(cx.now.mono_ms);
        if waits && answered.is_none() {
            return;
        }
        let Some(pending) = self.take_pending(kind::MODEL_SET_REPLY, None) else {
            if !self.push_in_flight() {
                fx.malformed(Malformed::Unasked);
            }
            let outcome = if result == 1 { PushOutcome::Accepted } else { PushOutcome::Rejected };
            return self.push_ended(cx, outcome, fx);
        };
        if result == 1
            && let Some(events::commands::command::Action::SetTariff(set)) = &pending.command.action
            && let Some(model) = self.model(cx, (!set.tariff.is_empty()).then_some(&set.tariff))
            && answered == Some(fingerprint(&model))
        {
            self.delivered(cx, &model, fx);
        }
        let outcome = if result == 1 { CommandOutcome::Accepted } else { CommandOutcome::Rejected };
        self.answer(cx, fx, &pending.command, outcome, &format!("{result:02x}"));
    }
}

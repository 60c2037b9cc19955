//! 0x3B transaction record: the bill. Confirmed (0x40) only after the log has it; the charger deletes it then.

use codecs::ykc::{Frame, PileId, RecordResult, RecordView, TradeNo};
use events::proto::envelope::Body as EventBody;

use super::YkcSession;
use crate::{
    session::{Class, Context, Effects, Malformed, Note, What},
    translate,
};

/// A 0x40 that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordAnswer {
    pub seq: [u8; 2],
    pub trade_no: TradeNo,
    pub result: RecordResult,
    /// Of the seat that sent the record.
    pub epoch: u64,
}

impl YkcSession {
    /// `body` is what `record` was read from: the digest covers it.
    pub(super) fn on_record(
        &mut self,
        cx: &Context<'_>,
        seq: [u8; 2],
        index: usize,
        record: &RecordView<'_>,
        body: &[u8],
        fx: &mut Effects,
    ) {
        let Some(pile) = self.piles.get_mut(index) else { return };
        let trade_no = record.trade_no();
        let body = translate::ykc::recorded(record, body);
        if body.started_at_ms.is_none() || body.ended_at_ms == 0 {
            fx.notes.push(Note::Quirk("bad_time"));
        }
        let occurred_at = if body.ended_at_ms == 0 { cx.now.wall_ms } else { body.ended_at_ms };
        let connector = u32::from(record.gun().number());
        let answer = RecordAnswer { seq, trade_no, result: RecordResult::Accepted, epoch: pile.voice.seat.epoch };
        let ticket = self.money.hold(answer, 1, cx.now.mono_ms);
        pile.on_recorded(cx, record.gun(), trade_no);
        let what = What::Body(EventBody::TransactionRecorded(body));
        pile.voice.say_full(cx, fx, Class::Money, connector, occurred_at, ticket, Vec::new(), what);
        pile.start_recorded(cx, record, fx);
    }

    /// V1.7's record: the same with the meter's identity in the middle, which stays in the raw body.
    ///
    /// The digest is taken without that identity, as if the charger had sent 0x3B. A charger that repeats a record in the other
    /// form (after an update, or because one was not confirmed) repeats the same bill: same trade number, same digest, nothing
    /// happens. Only a difference in what makes the bill is a second record for a person to look at.
    pub(super) fn on_record_v17(
        &mut self,
        cx: &Context<'_>,
        frame: &Frame<'_>,
        index: usize,
        fx: &mut Effects,
    ) -> bool {
        let shortened = translate::ykc::without_meter_identity(frame.body);
        match shortened.as_deref().map(|body| (body, RecordView::new_checked(body))) {
            Some((body, Ok(record))) => {
                let events_before = fx.events.len();
                self.on_record(cx, frame.seq, index, &record, body, fx);
                // What arrived is kept whole.
                for event in fx.events.iter_mut().skip(events_before) {
                    if let What::Body(EventBody::TransactionRecorded(body)) = &mut event.what {
                        body.raw = frame.body.to_vec().into();
                    }
                }
                true
            }
            _ => {
                self.on_unparsable_record(cx, frame, fx);
                false
            }
        }
    }

    /// A record that cannot be read may still be money: its bytes go to the dead-letter topic, and only when they are durable
    /// there is the charger told "illegal bill", so that it stops repeating what nobody can read.
    pub(super) fn on_unparsable_record(&mut self, cx: &Context<'_>, frame: &Frame<'_>, fx: &mut Effects) {
        fx.malformed(Malformed::Body);
        let named = frame.body.get(16..).and_then(|rest| rest.first_chunk().copied()).map(PileId);
        // Too short to name a pile: on a connection of one pile it can only be that one's.
        let index = match named.and_then(|id| self.index_of(id)) {
            None if self.piles.len() == 1 => Some(0),
            index => index,
        };
        let Some(pile) = index.and_then(|index| self.piles.get_mut(index)) else {
            fx.malformed(Malformed::NotLoggedIn);
            return;
        };
        if pile.voice.seat.is_fenced() || pile.leaving {
            return;
        }
        pile.heard_ms = cx.now.mono_ms;
        let mut trade_no = TradeNo::ZERO;
        for (to, from) in trade_no.0.iter_mut().zip(frame.body) {
            *to = *from;
        }
        let answer =
            RecordAnswer { seq: frame.seq, trade_no, result: RecordResult::Illegal, epoch: pile.voice.seat.epoch };
        let ticket = self.money.hold(answer, 1, cx.now.mono_ms);
        let what = What::DeadLetter { bytes: frame.raw.to_vec(), why: "ykc_record_unparsable" };
        pile.voice.say_full(cx, fx, Class::Money, 0, cx.now.wall_ms, ticket, Vec::new(), what);
    }
}

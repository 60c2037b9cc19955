//! 0x31 card or VIN start, decided here from the replica; 0x32 the answer (V1.6 §6.4, §7.1). A yes is said only when the log has it, so
//! that the business side knows every approved session; a start that cannot be recorded in time is refused.

use codecs::ykc::{self, Balance, Card, Grant, Refusal, StartMode, StartRequestView, TradeNo, Vin};
use events::{
    proto::{self, SessionAuthorized, envelope::Body as EventBody},
    registry::Token,
};

use super::{Pile, YkcSession, push::START_MS};
use crate::session::{Class, Context, Effects, Note, What};

/// A start that was let through.
#[derive(Debug)]
pub(super) struct Authorized {
    pub trade_no: TradeNo,
    /// Whose card or VIN; empty for 0x34.
    pub token: String,
    pub at_ms: u64,
}

impl Authorized {
    /// It has not begun, and may any moment.
    pub const fn may_begin(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.at_ms) < START_MS
    }
}

/// A charger that repeats its question within this time gets the same trade number.
const REPEAT_MS: u64 = 60_000;

/// A granted 0x32 that waits for the log. One per gun: a question that is repeated meanwhile is the same question.
#[derive(Debug)]
pub(super) struct WaitingStart {
    ticket: u32,
    since_ms: u64,
    seq: [u8; 2],
    /// Of the seat that asked.
    epoch: u64,
    answer: ykc::StartAnswer,
}

/// Boxed while there are any: rare, and every connection would pay for the room.
#[derive(Debug, Default)]
pub(super) struct WaitingStarts(Vec<WaitingStart>);

impl YkcSession {
    pub(super) fn on_start_request(
        &mut self,
        cx: &Context<'_>,
        seq: [u8; 2],
        index: usize,
        request: &StartRequestView<'_>,
        fx: &mut Effects,
    ) {
        let style = self.style();
        let Some(pile) = self.piles.get_mut(index) else { return };
        let (answer, authorized) = pile.decide(cx, request, fx);
        let Some(body) = authorized else {
            return ykc::encode_styled(seq, &answer, style, &mut fx.out);
        };
        let epoch = pile.voice.seat.epoch;
        let starts = &mut self.starts.get_or_insert_default().0;
        if let Some(same) = starts.iter_mut().find(|start| start.answer.trade_no == answer.trade_no) {
            same.seq = seq;
            return;
        }
        let ticket = self.money.next_ticket();
        starts.push(WaitingStart { ticket, since_ms: cx.now.mono_ms, seq, epoch, answer });
        let connector = u32::from(request.gun().number());
        let what = What::Body(EventBody::SessionAuthorized(body));
        pile.voice.say_full(cx, fx, Class::Asked, connector, cx.now.wall_ms, ticket, Vec::new(), what);
    }

    /// True if the ticket was that of a start.
    pub(super) fn on_start_ack(&mut self, now_ms: u64, ticket: u32, durable: bool, fx: &mut Effects) -> bool {
        self.answer_start(now_ms, |start| start.ticket == ticket, durable, fx)
    }

    /// Starts that the log has not confirmed in time: what it says later is not heard any more.
    pub(super) fn refuse_late_starts(&mut self, cx: &Context<'_>, fx: &mut Effects) {
        let late = |start: &WaitingStart| cx.now.mono_ms.saturating_sub(start.since_ms) >= cx.settings.start_ms;
        while self.answer_start(cx.now.mono_ms, late, false, fx) {}
    }

    /// Answers the first such start; false if there is none.
    fn answer_start(
        &mut self,
        now_ms: u64,
        is: impl Fn(&WaitingStart) -> bool,
        recorded: bool,
        fx: &mut Effects,
    ) -> bool {
        let Some(starts) = &mut self.starts else { return false };
        let Some(index) = starts.0.iter().position(is) else { return false };
        let mut start = starts.0.remove(index);
        if starts.0.is_empty() {
            self.starts = None;
        }
        let here = |pile: &Pile| pile.voice.seat.epoch == start.epoch && !pile.voice.seat.is_fenced() && !pile.leaving;
        let Some(pile) = self.piles.iter_mut().find(|pile| here(pile)) else { return true };
        if recorded {
            pile.let_start(now_ms);
        } else {
            // The nearest word that the protocol has for "not now, and it is not the card".
            (start.answer.grant, start.answer.refusal) = (Grant::Refused, Refusal::PileDisabled);
            start.answer.balance = Balance(0);
            fx.notes.push(Note::StartUnrecorded);
        }
        ykc::encode_styled(start.seq, &start.answer, self.style(), &mut fx.out);
        true
    }
}

impl Pile {
    /// The answer to a start request; with a body to publish first if it is a yes.
    fn decide(
        &mut self,
        cx: &Context<'_>,
        request: &StartRequestView<'_>,
        fx: &mut Effects,
    ) -> (ykc::StartAnswer, Option<SessionAuthorized>) {
        let verdict = self.judge(cx, request, fx);
        let (pile_id, now) = (self.id, cx.now);
        let logical = |token: &Token| token.logical_card.parse().unwrap_or(Card::ZERO);
        let fresh = || TradeNo::compose(pile_id, request.gun(), now.wall_ms, cx.trades.next());
        let mut answer = ykc::StartAnswer {
            trade_no: TradeNo::ZERO,
            pile: pile_id,
            gun: request.gun(),
            logical_card: Card::ZERO,
            balance: Balance(0),
            grant: Grant::Refused,
            refusal: Refusal::None,
        };
        let granted = verdict.and_then(|granted| match self.gun(request.gun()) {
            Some(gun) => Ok((granted, gun)),
            None => Err((Refusal::PileDisabled, None)),
        });
        match granted {
            Err((refusal, token)) => {
                answer.refusal = refusal;
                answer.logical_card = token.as_deref().map_or(Card::ZERO, logical);
                // Customary, though it names nothing.
                answer.trade_no = fresh();
                (answer, None)
            }
            Ok(((token, tariff, start_mode), gun)) => {
                let repeated = gun
                    .authorized
                    .as_ref()
                    .filter(|had| had.token == token.uid && now.mono_ms.saturating_sub(had.at_ms) < REPEAT_MS)
                    .map(|had| had.trade_no);
                let trade_no = repeated.unwrap_or_else(fresh);
                gun.let_through(trade_no, &token.uid, now.mono_ms);
                answer.trade_no = trade_no;
                answer.grant = Grant::Granted;
                answer.logical_card = logical(&token);
                answer.balance = Balance(u32::try_from(token.balance_fen.max(0)).unwrap_or(u32::MAX));
                let session = hex::encode(trade_no.0);
                let body =
                    SessionAuthorized { session, token: token.uid.clone(), start_mode: start_mode.into(), tariff };
                (answer, Some(body))
            }
        }
    }

    #[allow(clippy::type_complexity, reason = "a verdict and what each side of it needs, used once")]
    fn judge(
        &mut self,
        cx: &Context<'_>,
        request: &StartRequestView<'_>,
        fx: &mut Effects,
    ) -> Result<(std::sync::Arc<Token>, String, proto::StartMode), (Refusal, Option<std::sync::Arc<Token>>)> {
        let tenant = self.voice.seat.tenant;
        let find = |uid: &str| cx.replica.token(tenant, uid);
        let (token, mode, unknown) = match request.start_mode() {
            StartMode::Card => {
                let card = hex::encode(request.physical_card().0);
                (cx.replica.card(tenant, &card), proto::StartMode::Card, Refusal::NoAccount)
            }
            StartMode::Vin => {
                let known = |vin: &Vin| vin.as_str().is_some_and(|text| find(text).is_some());
                let vin = request.vin().of_start_request(known);
                if vin.is_some_and(|vin| vin == request.vin()) {
                    fx.notes.push(Note::Quirk("vin_order"));
                }
                (vin.and_then(|vin| find(vin.as_str()?)), proto::StartMode::Vin, Refusal::UnknownVin)
            }
            _ => return Err((Refusal::NoAccount, None)),
        };
        let Some(token) = token else { return Err((unknown, None)) };
        // Passwords are not kept here, so one that is asked for cannot be right.
        if request.password_needed().code() == 1 {
            return Err((Refusal::WrongPassword, Some(token)));
        }
        let expired = token.expires_at_ms != 0 && token.expires_at_ms <= cx.now.wall_ms;
        let refusal = match token.status.as_str() {
            "accepted" if expired => Some(Refusal::AccountFrozen),
            "accepted" if token.balance_fen <= 0 => Some(Refusal::BalanceLow),
            "accepted" => None,
            "blocked" | "expired" => Some(Refusal::AccountFrozen),
            _ => Some(unknown),
        };
        if let Some(refusal) = refusal {
            return Err((refusal, Some(token)));
        }
        let entry = cx.replica.charger(&self.voice.seat.charger);
        let Some(entry) = entry.filter(|entry| entry.enabled && !entry.tariff.is_empty()) else {
            return Err((Refusal::PileDisabled, Some(token)));
        };
        let number = u32::from(request.gun().number());
        if number == 0 || entry.connectors != 0 && number > entry.connectors {
            // A gun that the registry does not have is none that anybody may charge at.
            return Err((Refusal::PileDisabled, Some(token)));
        }
        if self.gun(request.gun()).is_none_or(|gun| !gun.trade_no.is_zero()) {
            return Err((Refusal::PileUnsettled, Some(token)));
        }
        let within = cx.settings.record_wait_ms;
        let open = self.gun(request.gun()).and_then(|gun| gun.unsettled(cx.now.mono_ms, within));
        if let Some(open) = open {
            let (trade_no, told) = (open.trade_no, std::mem::replace(&mut open.told, true));
            if !told {
                self.record_missing(cx, u32::from(request.gun().number()), trade_no, true, fx);
            }
            return Err((Refusal::PileUnsettled, Some(token)));
        }
        Ok((token, entry.tariff.clone(), mode))
    }
}

//! 0x31 card or VIN start, decided here from the replica; 0x32 the answer (V1.6 §6.4, §7.1).

use codecs::ykc::{self, Balance, Card, FrameStyle, Grant, Refusal, StartMode, StartRequestView, TradeNo, Vin};
use events::{
    proto::{self, SessionAuthorized, envelope::Body as EventBody},
    registry::Token,
};

use super::Pile;
use crate::session::{Class, Context, Effects, Note};

/// A start that was granted.
#[derive(Debug)]
pub(super) struct Authorized {
    pub trade_no: TradeNo,
    pub token: String,
    pub at_ms: u64,
}

/// A charger that repeats its question within this time gets the same trade number.
const REPEAT_MS: u64 = 60_000;

impl Pile {
    pub(super) fn on_start_request(
        &mut self,
        cx: &Context<'_>,
        seq: [u8; 2],
        request: &StartRequestView<'_>,
        style: FrameStyle,
        fx: &mut Effects,
    ) {
        let verdict = self.judge(cx, request, fx);
        let connector = u32::from(request.gun().number());
        let (pile_id, now) = (self.id, cx.now);
        let logical = |token: &Token| token.logical_card.parse().unwrap_or(Card::ZERO);
        let mut answer = ykc::StartAnswer {
            trade_no: TradeNo::ZERO,
            pile: pile_id,
            gun: request.gun(),
            logical_card: Card::ZERO,
            balance: Balance(0),
            grant: Grant::Refused,
            refusal: Refusal::None,
        };
        match verdict {
            Err((refusal, token)) => {
                answer.refusal = refusal;
                answer.logical_card = token.as_deref().map_or(Card::ZERO, logical);
                // Customary, though it names nothing.
                answer.trade_no = TradeNo::compose(pile_id, request.gun(), now.wall_ms, cx.trades.next());
            }
            Ok((token, tariff, start_mode)) => {
                let Some(gun) = self.gun(request.gun()) else { return };
                let repeated = gun
                    .authorized
                    .as_ref()
                    .filter(|had| had.token == token.uid && now.mono_ms.saturating_sub(had.at_ms) < REPEAT_MS)
                    .map(|had| had.trade_no);
                let trade_no =
                    repeated.unwrap_or_else(|| TradeNo::compose(pile_id, request.gun(), now.wall_ms, cx.trades.next()));
                gun.authorized = Some(Box::new(Authorized { trade_no, token: token.uid.clone(), at_ms: now.mono_ms }));
                answer.trade_no = trade_no;
                answer.grant = Grant::Granted;
                answer.logical_card = logical(&token);
                answer.balance = Balance(u32::try_from(token.balance_fen.max(0)).unwrap_or(u32::MAX));
                let body = SessionAuthorized {
                    session: hex::encode(trade_no.0),
                    token: token.uid.clone(),
                    start_mode: start_mode.into(),
                    tariff,
                };
                self.voice.say(cx, fx, Class::Kept, connector, EventBody::SessionAuthorized(body));
            }
        }
        ykc::encode_styled(seq, &answer, style, &mut fx.out);
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
                (find(&hex::encode(request.physical_card().0)), proto::StartMode::Card, Refusal::NoAccount)
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
        if self.gun(request.gun()).is_none_or(|gun| !gun.trade_no.is_zero()) {
            return Err((Refusal::PileUnsettled, Some(token)));
        }
        Ok((token, entry.tariff.clone(), mode))
    }
}

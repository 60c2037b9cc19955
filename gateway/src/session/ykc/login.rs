//! 0x01 login and 0x02 its answer (V1.6 §6.1).

use codecs::ykc::{self, LoginView};
use events::proto::{Connected, Protocol, envelope::Body as EventBody};

use super::{Pile, YkcSession, push::ALL_HEARD_MS};
use crate::{
    publish::protocol_matches,
    session::{Class, CloseReason, Context, Effects, LoginResult, Note, Voice},
    translate,
};

impl YkcSession {
    pub(super) fn on_login(&mut self, cx: &Context<'_>, seq: [u8; 2], login: &LoginView<'_>, fx: &mut Effects) {
        let id = login.pile();
        let known = self.index_of(id);
        let verdict = match (known, cx.replica.charger(&hex::encode(id.0))) {
            (None, _) if self.piles.len() >= cx.settings.piles => Err(LoginResult::TooManyPiles),
            (_, None) => Err(LoginResult::Unknown),
            (_, Some(entry)) if !entry.enabled => Err(LoginResult::Disabled),
            (_, Some(entry)) if !protocol_matches(&entry.protocol, Protocol::Ykc) => Err(LoginResult::WrongProtocol),
            (_, Some(entry)) => Ok(entry),
        };
        let entry = match verdict {
            Ok(entry) => entry,
            Err(result) => {
                fx.notes.push(Note::Login(result));
                let refused = ykc::LoginAck { pile: id, result: ykc::LoginResult::Refused };
                ykc::encode_styled(seq, &refused, self.style(), &mut fx.out);
                // Other piles of a concentrator go on.
                if self.piles.is_empty() {
                    fx.close(CloseReason::Refused);
                }
                return;
            }
        };
        fx.notes.push(Note::Login(LoginResult::Accepted));
        // A charger that did not see our answer in time says it again: same connection, same seat, unless it lost it.
        let index = match known {
            Some(index) if self.piles.get(index).is_some_and(|pile| !pile.voice.seat.is_fenced()) => index,
            stale => {
                if let Some(index) = stale {
                    let mut lost = self.piles.remove(index);
                    lost.finish(cx, CloseReason::Superseded, fx);
                }
                let charger = hex::encode(id.0);
                let claimed = cx.live.claim(&charger, entry.tenant, Protocol::Ykc, cx.address, cx.real_ms);
                fx.fenced.extend(claimed.superseded);
                fx.claimed.push(std::sync::Arc::clone(&claimed.seat));
                let mut voice = Voice::new(claimed.seat);
                let remote_address = cx.remote.to_string();
                voice.say(cx, fx, Class::Kept, 0, EventBody::Connected(Connected { remote_address }));
                self.piles.reserve_exact(1);
                self.piles.push(Pile {
                    id,
                    voice,
                    guns: Vec::new(),
                    pending: Vec::new(),
                    heard_ms: cx.now.mono_ms,
                    synced_ms: cx.now.mono_ms,
                    told_ms: cx.now.wall_ms,
                    unanswered: 0,
                    leaving: false,
                    gun_count: login.gun_count(),
                    refuses_prices: false,
                    holds: 0,
                    push: None,
                    models_sent: None,
                    unsure_until_ms: cx.now.mono_ms + ALL_HEARD_MS,
                    let_start: false,
                });
                self.piles.len() - 1
            }
        };
        self.greeted = true;
        let style = self.style();
        let Some(pile) = self.piles.get_mut(index) else { return };
        pile.heard_ms = cx.now.mono_ms;
        pile.voice.say(cx, fx, Class::Kept, 0, EventBody::ChargerBooted(translate::ykc::booted(login)));
        let accepted = ykc::LoginAck { pile: id, result: ykc::LoginResult::Ok };
        ykc::encode_styled(seq, &accepted, style, &mut fx.out);
        if cx.settings.sync_time {
            self.sync_time(cx, index, fx);
        }
    }
}

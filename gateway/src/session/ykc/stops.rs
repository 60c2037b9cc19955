//! 0x36 names a gun and stops whatever runs there: whether that is the session that is to be stopped is found out here first. Nobody
//! else's is stopped, and a stop that may go is sent as often as it is asked for.

use codecs::ykc::{Gun, GunState, TradeNo};
use events::proto::CommandOutcome;

use super::{Pile, YkcSession, commands::Pending};
use crate::session::{Context, Effects};

/// The charger's own word for a stop of a gun that does not charge (V1.6 §5, 0x35).
const NOT_CHARGING: &str = "02";

/// Whether a stop of a session may go to a gun.
pub(super) enum MayStop {
    Yes,
    /// Why not.
    No(&'static str),
    /// The gun has not said what it does since it logged in.
    Unknown,
}

impl YkcSession {
    /// A gun said what it does: stops that waited for it go on.
    pub(super) fn stops_go_on(&mut self, cx: &Context<'_>, index: usize, gun: Gun, fx: &mut Effects) {
        let Some(pile) = self.piles.get_mut(index) else { return };
        let waits = |pending: &Pending| pending.gun == Some(gun) && pending.asks_first();
        let Some(at) = pile.pending.iter().position(waits) else { return };
        let waited = pile.pending.remove(at);
        if pile.pending.is_empty() {
            pile.pending = Vec::new();
        }
        self.carry_out(cx, index, &waited.command, fx);
    }
}

impl Pile {
    /// Whether what runs on a gun is the session that is to be stopped.
    pub(super) fn may_stop(&self, cx: &Context<'_>, gun: Gun, session: &str) -> MayStop {
        let ours = |trade_no: TradeNo| session.eq_ignore_ascii_case(&hex::encode(trade_no.0));
        let Some(gun) = self.guns.iter().find(|known| known.gun == gun) else { return MayStop::Unknown };
        if !gun.trade_no.is_zero() {
            return if ours(gun.trade_no) { MayStop::Yes } else { MayStop::No("other_session") };
        }
        match &gun.authorized {
            // Called off: a charger that is late may begin with it still.
            Some(start) if ours(start.trade_no) => return MayStop::Yes,
            Some(start) if start.may_begin(cx.now.mono_ms) => return MayStop::No("other_session"),
            _ => {}
        }
        match gun.said() {
            None => MayStop::Unknown,
            Some(GunState::Idle) => MayStop::No(NOT_CHARGING),
            // It charges and does not say for whom, or it is broken: nothing says that it is not ours.
            Some(_) => MayStop::Yes,
        }
    }

    /// A newer stop of the gun ends the one before: whatever answers counts for the newer.
    pub(super) fn supersede_stop(&mut self, cx: &Context<'_>, gun: Gun, fx: &mut Effects) {
        let before = |pending: &mut Pending| pending.gun == Some(gun) && pending.is_stop();
        let over: Vec<Pending> = self.pending.extract_if(.., before).collect();
        for pending in over {
            self.answer(cx, fx, &pending.command, CommandOutcome::NoAnswer, "superseded");
        }
    }
}

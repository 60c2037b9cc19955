//! What the platform wants of a YKC charger.

use codecs::ykc::{
    self, BalanceReply, BalanceResult, BalanceUpdateView, Cp56, Gun as GunNo, Message, ModelSetReply, Outcome,
    ParametersReply, Permission, RebootReply, RebootWhen, RemoteStartView, RemoteStopReply, StartFailure, StopFailure,
    TimeSyncReply, TradeFlag,
};
use rand::Rng;

use super::YkcCharger;
use super::drivers::{POWER_LOST, STOPPED_BY_APP};
use super::gun::Phase;
use super::records::Start;
use crate::charger::{Hangup, Now, Outbox};

/// A plug may come so long after 0x34 (YKC V1.6 §6.3).
const PLUG_WINDOW_MS: i64 = 60_000;

impl YkcCharger {
    pub(super) fn order(
        &mut self,
        now: Now,
        seq: [u8; 2],
        message: Message<'_>,
        out: &mut Outbox,
    ) -> Result<(), Hangup> {
        let pile = self.pile;
        match message {
            Message::StartAnswer(answer) => self.start_answered(now, &answer, out),
            Message::RemoteStart(start) => self.remote_start(now, seq, &start, out),
            Message::RemoteStop(stop) => self.remote_stop(now, seq, stop.gun(), out),
            Message::ReadRealTime(read) => {
                if let Some(index) = self.gun_index(read.gun()) {
                    self.drive(now, index, out);
                    self.show(now, index, true, out);
                }
            }
            Message::ModelSet(model) => {
                let idle = self.is_idle();
                if idle {
                    self.take_tariff(&model);
                }
                Self::answer(seq, &ModelSetReply { pile, result: outcome(idle) }, out);
            }
            Message::BalanceUpdate(update) => {
                let result = self.new_balance(&update);
                Self::answer(seq, &BalanceReply { pile, physical_card: update.physical_card(), result }, out);
            }
            Message::Parameters(parameters) => {
                self.locked = parameters.permission() == Permission::Locked;
                let fits = (30..=100).contains(&parameters.max_power_pct());
                if fits {
                    self.power_pct = parameters.max_power_pct();
                }
                Self::answer(seq, &ParametersReply { pile, result: outcome(fits) }, out);
            }
            // The charger lives on the platform's clock already: it only says what it shows.
            Message::TimeSync(_) => {
                Self::answer(seq, &TimeSyncReply { pile, time: Cp56::from_utc_ms(now.ms) }, out);
            }
            Message::Reboot(reboot) => {
                Self::answer(seq, &RebootReply { pile, result: Outcome::Ok }, out);
                if reboot.when() != RebootWhen::Now {
                    self.reboot_when_idle = true;
                    return Ok(());
                }
                for index in 0..self.guns.len() {
                    self.finish(now, index, POWER_LOST, out);
                }
                return Err(Hangup::Reboot);
            }
            // Frames of the charger's own direction, and types this charger does not know.
            _ => self.bad(),
        }
        Ok(())
    }

    fn remote_start(&mut self, now: Now, seq: [u8; 2], order: &RemoteStartView<'_>, out: &mut Outbox) {
        let trade_no = order.trade_no();
        let Some(index) = self.gun_index(order.gun()) else {
            let mut reply = self.start_reply(0, trade_no, Some(StartFailure::WrongPile));
            reply.gun = order.gun();
            return Self::answer(seq, &reply, out);
        };
        let Some(gun) = self.guns.get(index) else { return };
        let repeated = gun.trade_no() == Some(trade_no);
        let failure = if repeated {
            None
        } else if gun.is_busy() {
            Some(StartFailure::AlreadyCharging)
        } else if self.tariff.is_none() || self.locked || self.winding_down {
            // No tariff, no charging (YKC V1.6 §6.1).
            Some(StartFailure::Fault)
        } else {
            None
        };
        if repeated || failure.is_some() {
            let reply = self.start_reply(index, trade_no, failure);
            return Self::answer(seq, &reply, out);
        }
        let start = Start {
            trade_no,
            token: String::new(),
            card: order.physical_card(),
            vin: codecs::ykc::Vin::NONE,
            flag: TradeFlag::App,
            balance_fen: order.balance().0,
        };
        let free = matches!(gun.phase, Phase::Idle { .. });
        if free && self.rng.random_range(0..1000) < self.world.plan.plug_late_per_mille {
            let reply = self.start_reply(index, trade_no, Some(StartFailure::NotPlugged));
            Self::answer(seq, &reply, out);
            let plug_ms = now.ms + self.rng.random_range(5_000..=50_000);
            let until_ms = now.ms + PLUG_WINDOW_MS;
            self.set_phase(now, index, Phase::WaitingPlug { start, plug_ms, until_ms }, out);
        } else {
            let reply = self.start_reply(index, trade_no, None);
            Self::answer(seq, &reply, out);
            self.prepare(now, index, start, out);
        }
    }

    fn remote_stop(&mut self, now: Now, seq: [u8; 2], number: GunNo, out: &mut Outbox) {
        let mut reply = RemoteStopReply {
            pile: self.pile,
            gun: number,
            result: Outcome::Failed,
            failure: StopFailure::NotCharging,
        };
        let index = self.gun_index(number);
        let phase = index.and_then(|index| self.guns.get(index)).map(|gun| &gun.phase);
        let running = matches!(phase, Some(Phase::Charging(_) | Phase::Preparing { .. }));
        let waiting = matches!(phase, Some(Phase::WaitingPlug { .. }));
        if running || waiting {
            (reply.result, reply.failure) = (Outcome::Ok, StopFailure::None);
        }
        Self::answer(seq, &reply, out);
        match index {
            Some(index) if running => self.finish(now, index, STOPPED_BY_APP, out),
            Some(index) if waiting => self.rest(now, index, 0, out),
            Some(_) | None => {}
        }
    }

    fn new_balance(&mut self, update: &BalanceUpdateView<'_>) -> BalanceResult {
        let Some(index) = self.gun_index(update.gun()) else { return BalanceResult::WrongPile };
        let card = update.physical_card();
        match self.guns.get_mut(index).map(|gun| &mut gun.phase) {
            Some(Phase::Charging(running)) if card.is_zero() || running.start.card.same_digits(&card) => {
                running.start.balance_fen = update.balance().0;
                BalanceResult::Ok
            }
            Some(Phase::Charging(_)) => BalanceResult::WrongCard,
            // Nobody there whose balance could change.
            _ => BalanceResult::Ok,
        }
    }

    fn gun_index(&self, number: GunNo) -> Option<usize> {
        self.guns.iter().position(|gun| gun.no() == number)
    }
}

fn outcome(ok: bool) -> ykc::Outcome {
    if ok { Outcome::Ok } else { Outcome::Failed }
}

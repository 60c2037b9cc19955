//! One gun: what its driver does, the running charge, and the real-time frame that shows it.

use codecs::ykc::{
    Amount, Amps, Celsius, Energy, Flag, Gun as GunNo, GunHome, GunState, PileId, RealTime, TradeNo, Volts,
};
use tokio::time::Instant;

use super::records::{Start, amounts, energy_by_rate};
use crate::charge::{Charge, e4_between};
use crate::config::StartBy;
use crate::tariff::FourRates;

/// What a gun is at.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nobody there; the next driver of the plan comes at `next_ms` (charger time).
    Idle { next_ms: i64 },
    /// The car is plugged in and the driver wants to start; asked and waiting, or waiting to ask (again).
    Asking { by: StartBy, attempts: u32, ask_at: Instant, waiting: bool },
    /// Remote start without a plug: told the platform so, and the plug comes at `plug_ms` (or too late).
    WaitingPlug { start: Start, plug_ms: i64, until_ms: i64 },
    /// Allowed to start: handshake with the car until `begin_ms`.
    Preparing { start: Start, begin_ms: i64 },
    /// Current flows.
    Charging(Box<Running>),
    /// Over; the car is still plugged in.
    Finished { unplug_ms: i64 },
}

/// A running charge.
#[derive(Debug)]
pub(crate) struct Running {
    pub start: Start,
    pub charge: Charge,
    pub register_start: u64,
    /// The tariff at the start; a new one waits for the next charge.
    pub tariff: FourRates,
}

impl Running {
    /// Amount so far, 0.0001 yuan.
    pub(crate) fn amount_yuan4(charge: &Charge, tariff: &FourRates) -> u64 {
        amounts(tariff, energy_by_rate(charge, tariff)).iter().sum()
    }

    /// Carries the charge on; returns how much energy that was, 0.0001 kWh.
    pub(crate) fn advance(&mut self, to_ms: i64) -> u64 {
        let before = self.charge.register();
        let (tariff, limit_fen) = (self.tariff, u64::from(self.start.balance_fen));
        self.charge.advance(to_ms, |charge| limit_fen == 0 || Self::amount_yuan4(charge, &tariff) < limit_fen * 100);
        e4_between(before, self.charge.register())
    }
}

/// One gun of a pile.
#[derive(Debug)]
pub(crate) struct Gun {
    /// From 1.
    pub number: u8,
    pub phase: Phase,
    /// The meter, Wms; only ever grows.
    pub register: u64,
    /// When its next real-time frame is due.
    pub live_at: Instant,
    /// When its next heartbeat is due.
    pub beat_at: Instant,
}

impl Gun {
    pub(crate) fn no(&self) -> GunNo {
        GunNo::from_number(self.number)
    }

    /// Somebody is charging or about to.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::WaitingPlug { .. } | Phase::Preparing { .. } | Phase::Charging(_))
    }

    fn is_plugged(&self) -> bool {
        !matches!(self.phase, Phase::Idle { .. } | Phase::WaitingPlug { .. })
    }

    /// The trade number of what runs or is about to.
    pub(crate) fn trade_no(&self) -> Option<TradeNo> {
        match &self.phase {
            Phase::WaitingPlug { start, .. } | Phase::Preparing { start, .. } => Some(start.trade_no),
            Phase::Charging(running) => Some(running.start.trade_no),
            Phase::Idle { .. } | Phase::Asking { .. } | Phase::Finished { .. } => None,
        }
    }

    /// The 0x13 frame of this moment (YKC V1.6 §0x13).
    pub(crate) fn real_time(&self, pile: PileId) -> RealTime {
        let mut frame = RealTime {
            trade_no: TradeNo::ZERO,
            pile,
            gun: self.no(),
            state: GunState::Idle,
            gun_home: if self.is_plugged() { GunHome::No } else { GunHome::Yes },
            plugged: if self.is_plugged() { Flag::Yes } else { Flag::No },
            voltage: Volts(0),
            current: Amps(0),
            cable_temp: Celsius(0),
            cable_code: [0; 8],
            soc: 0,
            battery_max_temp: Celsius(0),
            charge_minutes: 0,
            remain_minutes: 0,
            energy: Energy(0),
            energy_loss: Energy(0),
            amount: Amount(0),
            fault_bits: 0,
        };
        if let Phase::Charging(running) = &self.phase {
            let charge = &running.charge;
            let energy =
                Energy(u32::try_from(e4_between(running.register_start, charge.register())).unwrap_or(u32::MAX));
            // A 400 V battery whose voltage rises with its charge, 340 to 420 V.
            let volts = 3_400 + charge.soc_bp() * 800 / 10_000;
            frame.trade_no = running.start.trade_no;
            frame.state = GunState::Charging;
            frame.voltage = Volts(narrow(volts));
            frame.current = Amps(narrow(charge.power_w() * 100 / volts));
            frame.cable_temp = Celsius(50 + 32);
            frame.battery_max_temp = Celsius(50 + 29);
            frame.soc = u8::try_from(charge.soc_bp() / 100).unwrap_or(100);
            frame.charge_minutes = narrow(u64::try_from((charge.at_ms() - charge.started_ms()) / 60_000).unwrap_or(0));
            frame.remain_minutes = narrow(charge.remaining_minutes());
            frame.energy = energy;
            frame.energy_loss = energy;
            frame.amount = Amount(u32::try_from(Running::amount_yuan4(charge, &running.tariff)).unwrap_or(u32::MAX));
        }
        frame
    }
}

fn narrow(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

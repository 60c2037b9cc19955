//! What a pile sends four times a minute while nobody charges.

use codecs::ykc::{Amount, Amps, Celsius, Energy, Flag, Gun, GunHome, GunState, PileId, RealTime, TradeNo, Volts};

/// Of an idle gun without a car, everything that is measured at 0.
pub fn idle(pile: PileId) -> RealTime {
    RealTime {
        trade_no: TradeNo::ZERO,
        pile,
        gun: Gun(1),
        state: GunState::Idle,
        gun_home: GunHome::Yes,
        plugged: Flag::No,
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
    }
}

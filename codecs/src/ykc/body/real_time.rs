//! 0x13 real-time data of one gun (every 15 s while charging, every 5 min while idle, at once on a change) and 0x12,
//! which asks for it.

use crate::ykc::wire::body;
use crate::ykc::{Amount, Amps, Celsius, Energy, Flag, Gun, GunHome, GunState, PileId, TradeNo, Volts, kind};

body! {
    /// 0x12, platform: send 0x13 now.
    ReadRealTime / ReadRealTimeView, kind kind::READ_REAL_TIME, "read_real_time", 8 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// The gun.
        7..8 gun: Gun = "gun" "";
    }
}

body! {
    /// 0x13, charger: state and measurements of one gun.
    RealTime / RealTimeView, kind kind::REAL_TIME, "real_time", 60 bytes {
        /// The charge; zero if none.
        0..16 trade_no: TradeNo = "trade_no" "";
        /// The charger.
        16..23 pile: PileId = "pile_id" "";
        /// The gun.
        23..24 gun: Gun = "gun" "";
        /// Offline, fault, idle or charging.
        24..25 state: GunState = "state" "";
        /// Whether the gun hangs in its holder.
        25..26 gun_home: GunHome = "gun_home" "";
        /// Whether it is plugged into a vehicle.
        26..27 plugged: Flag = "plugged" "";
        /// Output voltage, 0.1 V.
        27..29 voltage: Volts = "voltage" "V";
        /// Output current, 0.1 A, without offset.
        29..31 current: Amps = "current" "A";
        /// Cable temperature; 0 is "not available".
        31..32 cable_temp: Celsius = "cable_temp" "°C";
        /// Cable code, opaque.
        32..40 cable_code: [u8; 8] = "cable_code" "";
        /// State of charge, per cent.
        40..41 soc: u8 = "soc" "%";
        /// Highest battery temperature; 0 is "not available".
        41..42 battery_max_temp: Celsius = "battery_max_temp" "°C";
        /// Minutes charged.
        42..44 charge_minutes: u16 = "charge_minutes" "min";
        /// Minutes left.
        44..46 remain_minutes: u16 = "remain_minutes" "min";
        /// Energy of this charge, 0.0001 kWh.
        46..50 energy: Energy = "energy" "kWh";
        /// Energy with loss, 0.0001 kWh; 0 where the loss ratio is 0.
        50..54 energy_loss: Energy = "energy_loss" "kWh";
        /// Amount so far, 0.0001 yuan.
        54..58 amount: Amount = "amount" "yuan";
        /// Fault bits, raw: vendors count them from different ends (YKC V1.6 §7.3). Not zero means a fault.
        58..60 fault_bits: u16 = "fault_bits" "";
    }
}

//! 0x31 start asked for at the pile by card, account or VIN, and 0x32, the platform's decision.

use crate::ykc::wire::body;
use crate::ykc::{Balance, Card, Flag, Grant, Gun, PileId, Refusal, StartMode, TradeNo, Vin, kind};

body! {
    /// 0x31, charger: a user asks for a charge at the pile.
    StartRequest / StartRequestView, kind kind::START_REQUEST, "start_request", 51 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// The gun.
        7..8 gun: Gun = "gun" "";
        /// By card, account or VIN. An unknown mode is to be refused.
        8..9 start_mode: StartMode = "start_mode" "";
        /// Whether a password goes with it.
        9..10 password_needed: Flag = "password_needed" "";
        /// Physical card or account; zero if none.
        10..18 physical_card: Card = "physical_card" "";
        /// 16 characters of an MD5, or zeros.
        18..34 password: [u8; 16] = "password" "";
        /// The VIN, reversed by the document; see [`Vin::of_start_request`].
        34..51 vin: Vin = "vin" "";
    }
}

body! {
    /// 0x32, platform: start granted or refused.
    StartAnswer / StartAnswerView, kind kind::START_ANSWER, "start_answer", 38 bytes {
        /// The charge, numbered by the platform.
        0..16 trade_no: TradeNo = "trade_no" "";
        /// The charger.
        16..23 pile: PileId = "pile_id" "";
        /// The gun.
        23..24 gun: Gun = "gun" "";
        /// Card number for the display.
        24..32 logical_card: Card = "logical_card" "";
        /// Balance, 0.01 yuan.
        32..36 balance: Balance = "balance" "yuan";
        /// Granted or refused.
        36..37 grant: Grant = "auth_ok" "";
        /// Why refused.
        37..38 refusal: Refusal = "fail_reason" "";
    }
}

//! 0x34 remote start and 0x33 its answer. Success is the answer *and* real-time data that charge, within 90 s. After
//! "not plugged" a second, positive answer may follow within 60 s.

use crate::ykc::wire::body;
use crate::ykc::{Balance, Card, Gun, Outcome, PileId, StartFailure, TradeNo, kind};

body! {
    /// 0x34, platform: start a charge. Sent with exactly 44 bytes: strict chargers refuse more.
    RemoteStart / RemoteStartView, kind kind::REMOTE_START, "remote_start", 44 bytes {
        /// The charge, numbered by the platform.
        0..16 trade_no: TradeNo = "trade_no" "";
        /// The charger.
        16..23 pile: PileId = "pile_id" "";
        /// The gun.
        23..24 gun: Gun = "gun" "";
        /// Card number for the display.
        24..32 logical_card: Card = "logical_card" "";
        /// Card that may stop the charge at the pile; zero if none.
        32..40 physical_card: Card = "physical_card" "";
        /// Balance, 0.01 yuan.
        40..44 balance: Balance = "balance" "yuan";
    }
}

body! {
    /// 0x33, charger: answer to a remote start.
    RemoteStartReply / RemoteStartReplyView, kind kind::REMOTE_START_REPLY, "remote_start_reply", 26 bytes {
        /// The charge.
        0..16 trade_no: TradeNo = "trade_no" "";
        /// The charger.
        16..23 pile: PileId = "pile_id" "";
        /// The gun.
        23..24 gun: Gun = "gun" "";
        /// Whether it starts.
        24..25 result: Outcome = "result" "";
        /// Why not.
        25..26 failure: StartFailure = "fail_reason" "";
    }
}

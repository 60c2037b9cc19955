//! 0x42 balance update, after the user paid more, and 0x41 its answer.

use crate::ykc::wire::body;
use crate::ykc::{Balance, BalanceResult, Card, Gun, PileId, kind};

body! {
    /// 0x42, platform: the balance of the user at a gun.
    BalanceUpdate / BalanceUpdateView, kind kind::BALANCE_UPDATE, "balance_update", 20 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// The gun.
        7..8 gun: Gun = "gun" "";
        /// The user's card; zero for whoever charges, without a check.
        8..16 physical_card: Card = "physical_card" "";
        /// Balance, 0.01 yuan.
        16..20 balance: Balance = "balance" "yuan";
    }
}

body! {
    /// 0x41, charger: answer to a balance update.
    BalanceReply / BalanceReplyView, kind kind::BALANCE_REPLY, "balance_reply", 16 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// The user's card.
        7..15 physical_card: Card = "physical_card" "";
        /// What came of it.
        15..16 result: BalanceResult = "result" "";
    }
}

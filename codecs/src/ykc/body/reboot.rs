//! 0x92 reboot and 0x91 its answer.

use crate::ykc::wire::body;
use crate::ykc::{Outcome, PileId, RebootWhen, kind};

body! {
    /// 0x92, platform: restart the pile.
    Reboot / RebootView, kind kind::REBOOT, "reboot", 8 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// Now, or when idle.
        7..8 when: RebootWhen = "when" "";
    }
}

body! {
    /// 0x91, charger: answer to a reboot.
    RebootReply / RebootReplyView, kind kind::REBOOT_REPLY, "reboot_reply", 8 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// Whether it will.
        7..8 result: Outcome = "result" "";
    }
}

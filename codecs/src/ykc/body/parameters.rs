//! 0x52 work parameters and 0x51 their answer.

use crate::ykc::wire::body;
use crate::ykc::{Outcome, Permission, PileId, kind};

body! {
    /// 0x52, platform: whether the pile may work, and with how much power.
    Parameters / ParametersView, kind kind::PARAMETERS, "parameters", 9 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// Allowed or locked.
        7..8 permission: Permission = "disabled" "";
        /// Highest output, 30 to 100 per cent.
        8..9 max_power_pct: u8 = "max_power_pct" "%";
    }
}

body! {
    /// 0x51, charger: answer to work parameters.
    ParametersReply / ParametersReplyView, kind kind::PARAMETERS_REPLY, "parameters_reply", 8 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// Whether they were taken.
        7..8 result: Outcome = "result" "";
    }
}

//! 0x36 remote stop and 0x35 its answer. The command names no charge: it stops whatever runs on that gun.

use crate::ykc::wire::body;
use crate::ykc::{Gun, Outcome, PileId, StopFailure, kind};

body! {
    /// 0x36, platform: stop what runs on a gun.
    RemoteStop / RemoteStopView, kind kind::REMOTE_STOP, "remote_stop", 8 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// The gun.
        7..8 gun: Gun = "gun" "";
    }
}

body! {
    /// 0x35, charger: answer to a remote stop.
    RemoteStopReply / RemoteStopReplyView, kind kind::REMOTE_STOP_REPLY, "remote_stop_reply", 10 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// The gun.
        7..8 gun: Gun = "gun" "";
        /// Whether it stops.
        8..9 result: Outcome = "result" "";
        /// Why not.
        9..10 failure: StopFailure = "fail_reason" "";
    }
}

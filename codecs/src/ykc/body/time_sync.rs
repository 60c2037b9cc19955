//! 0x56 time sync, after a login and once a day, and 0x55 its answer.

use crate::ykc::wire::body;
use crate::ykc::{Cp56, PileId, kind};

body! {
    /// 0x56, platform: set the clock.
    TimeSync / TimeSyncView, kind kind::TIME_SYNC, "time_sync", 14 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// The time, UTC+8.
        7..14 time: Cp56 = "time" "";
    }
}

body! {
    /// 0x55, charger: answer to a time sync.
    TimeSyncReply / TimeSyncReplyView, kind kind::TIME_SYNC_REPLY, "time_sync_reply", 14 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// Its time afterwards.
        7..14 time: Cp56 = "time" "";
    }
}

//! 0x03 heartbeat, every 10 s per pile or per gun, and 0x04 its answer. After three unanswered ones the charger
//! connects anew.

use crate::ykc::wire::body;
use crate::ykc::{Gun, GunHealth, PileId, kind};

body! {
    /// 0x03, charger: heartbeat. Proves the link of the pile, whatever gun it names.
    Heartbeat / HeartbeatView, kind kind::HEARTBEAT, "heartbeat", 9 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// The gun.
        7..8 gun: Gun = "gun" "";
        /// Normal or faulty.
        8..9 gun_state: GunHealth = "gun_state" "";
    }
}

body! {
    /// 0x04, platform: answer to the heartbeat.
    HeartbeatAck / HeartbeatAckView, kind kind::HEARTBEAT_ACK, "heartbeat_ack", 9 bytes {
        /// The charger, echoed.
        0..7 pile: PileId = "pile_id" "";
        /// The gun, echoed.
        7..8 gun: Gun = "gun" "";
        /// Always 0.
        8..9 ack: u8 = "ack" "";
    }
}

//! 0x01 login and 0x02 its answer. Nothing else is valid before a login succeeded.

use crate::ykc::wire::body;
use crate::ykc::{LoginResult, Network, Operator, PileId, PileType, Text, kind};

body! {
    /// 0x01, charger: login, after every connect and until answered.
    Login / LoginView, kind kind::LOGIN, "login", 30 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// DC or AC.
        7..8 pile_type: PileType = "pile_type" "";
        /// Number of guns.
        8..9 gun_count: u8 = "gun_count" "";
        /// Protocol version times ten: 0x0F is 1.5, 0x10 is 1.6. Chargers lie: a hint only.
        9..10 protocol_version: ProtocolVersion = "protocol_version" "";
        /// Firmware version.
        10..18 program_version: Text<8> = "program_version" "";
        /// How it is connected.
        18..19 network: Network = "network" "";
        /// ICCID of the SIM card; may hold hex letters, zero if unknown.
        19..29 sim: [u8; 10] = "sim" "";
        /// Mobile operator.
        29..30 operator: Operator = "operator" "";
    }
}

body! {
    /// 0x02, platform: answer to the login. Refused means that the platform closes the connection.
    LoginAck / LoginAckView, kind kind::LOGIN_ACK, "login_ack", 8 bytes {
        /// The charger, echoed.
        0..7 pile: PileId = "pile_id" "";
        /// Accepted or refused.
        7..8 result: LoginResult = "result" "";
    }
}

/// Protocol version times ten: 16 is V1.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion(pub u8);

impl ProtocolVersion {
    /// V1.5.
    pub const V1_5: Self = Self(0x0F);
    /// V1.6.
    pub const V1_6: Self = Self(0x10);
}

/// `1.6`.
impl core::fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

impl crate::ykc::wire::Wire<1> for ProtocolVersion {
    const SHAPE: crate::ykc::Shape = crate::ykc::Shape::Decimal(1);
    #[inline(always)]
    fn from_wire([byte]: [u8; 1]) -> Self {
        Self(byte)
    }
    #[inline(always)]
    fn to_wire(self) -> [u8; 1] {
        [self.0]
    }
}

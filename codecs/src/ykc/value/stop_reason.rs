//! Why a charge ended: one byte in the record (YKC V1.6 §8), its class and the form common to all protocols.

use core::fmt;

use crate::ykc::wire::{Shape, Wire};

/// The code of a record, kept as sent. Never fails: unknown numbers are a vendor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StopReason(pub u8);

/// The group a code lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopClass {
    /// 0x40-0x49: the charge ended as wanted.
    Finished,
    /// 0x4A-0x69: it never began; the energy is normally 0.
    StartFailed,
    /// 0x6A-0x8F: it was broken off.
    Aborted,
    /// 0x90, 0x00 and all else.
    Unknown,
}

/// What happened, in the words shared with the other protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopKind {
    /// Stopped from the app or the platform.
    RemoteUser,
    /// Battery full.
    Full,
    /// Energy limit reached.
    LimitEnergy,
    /// Money limit reached.
    LimitMoney,
    /// Time limit reached.
    LimitTime,
    /// Stopped by hand at the pile.
    LocalUser,
    /// Balance used up, before or during the charge.
    Balance,
    /// Emergency stop pressed.
    EmergencyStop,
    /// Control pilot open: unplugged.
    Unplugged,
    /// The pile lost its power.
    PowerLoss,
    /// The vehicle or its battery management.
    Bms,
    /// The charge did not start, for another reason.
    StartFailed,
    /// A fault of the charger, during the charge.
    ChargerFault,
    /// Unknown, or reserved outside of the range of failed starts.
    Unknown,
}

impl StopReason {
    /// The group of the code.
    pub const fn class(self) -> StopClass {
        match self.0 {
            0x40..=0x49 => StopClass::Finished,
            0x4A..=0x69 => StopClass::StartFailed,
            0x6A..=0x8F => StopClass::Aborted,
            _ => StopClass::Unknown,
        }
    }

    /// The form common to all protocols.
    pub const fn kind(self) -> StopKind {
        match self.0 {
            0x40 => StopKind::RemoteUser,
            0x41 => StopKind::Full,
            0x42 => StopKind::LimitEnergy,
            0x43 => StopKind::LimitMoney,
            0x44 => StopKind::LimitTime,
            0x45 => StopKind::LocalUser,
            0x4E | 0x6E => StopKind::Balance,
            0x50 | 0x72 => StopKind::EmergencyStop,
            0x4B | 0x6B => StopKind::Unplugged,
            0x83 => StopKind::PowerLoss,
            0x52 | 0x59..=0x61 | 0x79..=0x82 | 0x84..=0x89 => StopKind::Bms,
            0x4A..=0x69 => StopKind::StartFailed,
            0x6A..=0x77 => StopKind::ChargerFault,
            _ => StopKind::Unknown,
        }
    }

    /// What the code means, in words.
    pub const fn text(self) -> &'static str {
        text_of(self.0)
    }
}

impl StopKind {
    /// A closed set of names, e.g. for an event field: `remote_user`, `full`, ...
    pub const fn label(self) -> &'static str {
        match self {
            Self::RemoteUser => "remote_user",
            Self::Full => "full",
            Self::LimitEnergy => "limit_energy",
            Self::LimitMoney => "limit_money",
            Self::LimitTime => "limit_time",
            Self::LocalUser => "local_user",
            Self::Balance => "balance",
            Self::EmergencyStop => "emergency_stop",
            Self::Unplugged => "unplugged",
            Self::PowerLoss => "power_loss",
            Self::Bms => "bms",
            Self::StartFailed => "start_failed",
            Self::ChargerFault => "charger_fault",
            Self::Unknown => "unknown",
        }
    }
}

const fn text_of(code: u8) -> &'static str {
    match code {
        0x40 => "finished: stopped by app",
        0x41 => "finished: SOC 100 %",
        0x42 => "finished: energy limit reached",
        0x43 => "finished: money limit reached",
        0x44 => "finished: time limit reached",
        0x45 => "finished: stopped by hand",
        0x46..=0x49 => "finished: other",
        0x4A => "start failed: pile control system",
        0x4B => "start failed: control pilot open",
        0x4C => "start failed: breaker tripped",
        0x4D => "start failed: meter communication",
        0x4E => "start failed: balance too low",
        0x4F => "start failed: charging module",
        0x50 => "start failed: emergency stop",
        0x51 => "start failed: surge protector",
        0x52 => "start failed: BMS not ready",
        0x53 => "start failed: temperature",
        0x54 => "start failed: battery reversed",
        0x55 => "start failed: electronic lock",
        0x56 => "start failed: contactor did not close",
        0x57 => "start failed: insulation",
        0x59 => "start failed: BHM timeout",
        0x5A => "start failed: BRM timeout",
        0x5B => "start failed: BCP timeout",
        0x5C => "start failed: BRO(AA) timeout",
        0x5D => "start failed: BCS timeout",
        0x5E => "start failed: BCL timeout",
        0x5F => "start failed: BSM timeout",
        0x60 => "start failed: voltage on the battery side",
        0x61 => "start failed: battery voltage differs from BCP",
        0x62 => "start failed: BRO fell back to 00",
        0x63 => "start failed: host configuration timeout",
        0x64 => "start failed: charger not ready",
        0x65..=0x69 => "start failed: other",
        0x6A => "aborted: system locked",
        0x6B => "aborted: control pilot open",
        0x6C => "aborted: breaker tripped",
        0x6D => "aborted: meter communication",
        0x6E => "aborted: balance too low",
        0x6F => "aborted: AC protection",
        0x70 => "aborted: DC protection",
        0x71 => "aborted: charging module",
        0x72 => "aborted: emergency stop",
        0x73 => "aborted: surge protector",
        0x74 => "aborted: temperature",
        0x75 => "aborted: output",
        0x76 => "aborted: no current",
        0x77 => "aborted: electronic lock",
        0x79 => "aborted: total charging voltage",
        0x7A => "aborted: total charging current",
        0x7B => "aborted: cell voltage",
        0x7C => "aborted: battery over-temperature",
        0x7D => "aborted: highest cell voltage",
        0x7E => "aborted: highest battery temperature",
        0x7F => "aborted: BMV cell voltage",
        0x80 => "aborted: BMT over-temperature",
        0x81 => "aborted: battery state",
        0x82 => "aborted: vehicle forbids charging",
        0x83 => "aborted: pile lost power",
        0x84 => "aborted: BCS timeout",
        0x85 => "aborted: BCL timeout",
        0x86 => "aborted: BSM timeout",
        0x87 => "aborted: BST timeout",
        0x88 => "aborted: BSD timeout",
        0x89 => "aborted: CCS timeout",
        0x8A..=0x8F => "aborted: other",
        0x90 => "unknown",
        0x00 => "none given",
        _ => "not in the document",
    }
}

/// Two hex digits, as the document writes it.
impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02X}", self.0)
    }
}

impl Wire<1> for StopReason {
    const SHAPE: Shape = Shape::Code(text_of);
    #[inline(always)]
    fn from_wire([byte]: [u8; 1]) -> Self {
        Self(byte)
    }
    #[inline(always)]
    fn to_wire(self) -> [u8; 1] {
        [self.0]
    }
}

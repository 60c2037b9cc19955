//! One-byte codes. A value outside of the document is kept as `Other` and given back as it came.

use crate::ykc::wire::{Shape, Wire};

macro_rules! code {
    ($(
        $(#[$doc:meta])*
        $name:ident { $( $(#[$vdoc:meta])* $variant:ident = $value:literal $text:literal, )* }
    )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $( #[doc = $text] $variant, )*
            /// A value that the document does not have.
            Other(u8),
        }

        impl $name {
            /// Every value of the document.
            pub const KNOWN: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The byte.
            pub const fn code(self) -> u8 {
                match self {
                    $( Self::$variant => $value, )*
                    Self::Other(code) => code,
                }
            }

            /// The value of a byte.
            pub const fn from_code(code: u8) -> Self {
                match code {
                    $( $value => Self::$variant, )*
                    other => Self::Other(other),
                }
            }

            /// What it means, in words.
            pub const fn text(self) -> &'static str {
                Self::text_of(self.code())
            }

            const fn text_of(code: u8) -> &'static str {
                match code {
                    $( $value => $text, )*
                    _ => "not in the document",
                }
            }
        }

        impl From<u8> for $name {
            fn from(code: u8) -> Self {
                Self::from_code(code)
            }
        }

        impl From<$name> for u8 {
            fn from(value: $name) -> u8 {
                value.code()
            }
        }

        impl Wire<1> for $name {
            const SHAPE: Shape = Shape::Code(Self::text_of);
            #[inline(always)]
            fn from_wire([byte]: [u8; 1]) -> Self {
                Self::from_code(byte)
            }
            #[inline(always)]
            fn to_wire(self) -> [u8; 1] {
                [self.code()]
            }
        }
    )* };
}

code! {
    /// Kind of charger (0x01).
    PileType { Dc = 0 "DC", Ac = 1 "AC", }

    /// How the charger is connected (0x01). One firmware counts from 1: informational only.
    Network { Sim = 0 "SIM card", Lan = 1 "LAN", Wan = 2 "WAN", OtherNetwork = 3 "other", }

    /// Mobile operator (0x01).
    Operator { Mobile = 0 "China Mobile", Telecom = 2 "China Telecom", Unicom = 3 "China Unicom", OtherOperator = 4 "other", }

    /// Result of a login (0x02).
    LoginResult { Ok = 0 "ok", Refused = 1 "refused", }

    /// State of a gun in a heartbeat (0x03).
    GunHealth { Normal = 0 "normal", Fault = 1 "fault", }

    /// Result of a billing model check (0x06).
    CheckResult { Same = 0 "same", Differs = 1 "differs", }

    /// State of a gun (0x13).
    GunState { Offline = 0 "offline", Fault = 1 "fault", Idle = 2 "idle", Charging = 3 "charging", }

    /// Whether the gun hangs in its holder (0x13).
    GunHome { No = 0 "no", Yes = 1 "yes", Unknown = 2 "unknown", }

    /// No or yes.
    Flag { No = 0 "no", Yes = 1 "yes", }

    /// How a start was asked for (0x31).
    StartMode { Card = 1 "card", Account = 2 "account", Vin = 3 "VIN", }

    /// Whether a start is granted (0x32).
    Grant { Refused = 0 "refused", Granted = 1 "granted", }

    /// Why a start is refused (0x32; YKC V1.6 §7.1).
    Refusal {
        None = 0x00 "none",
        NoAccount = 0x01 "no such account",
        AccountFrozen = 0x02 "account frozen",
        BalanceLow = 0x03 "balance too low",
        CardUnsettled = 0x04 "card has an unsettled record",
        PileDisabled = 0x05 "pile disabled",
        NotAllowedHere = 0x06 "account not allowed on this pile",
        WrongPassword = 0x07 "wrong password",
        StationCapacity = 0x08 "station capacity too low",
        UnknownVin = 0x09 "VIN unknown",
        PileUnsettled = 0x0A "pile has an unsettled record",
        CardsUnsupported = 0x0B "pile does not support cards",
    }

    /// Whether the charger did what it was told (0x33, 0x35, 0x51, 0x57, 0x91).
    Outcome { Failed = 0 "failed", Ok = 1 "ok", }

    /// Why a remote start failed (0x33; YKC V1.6 §7.2).
    StartFailure {
        None = 0 "none",
        WrongPile = 1 "pile id does not match",
        AlreadyCharging = 2 "gun is already charging",
        Fault = 3 "device fault",
        Offline = 4 "device offline",
        NotPlugged = 5 "not plugged in",
    }

    /// Why a remote stop failed (0x35).
    StopFailure { None = 0 "none", WrongPile = 1 "wrong pile id", NotCharging = 2 "gun is not charging", Unspecified = 3 "other", }

    /// What started the charge of a record (0x3B). Two vendors send 03, most likely for VIN; 09 was seen too.
    TradeFlag { App = 1 "app", Card = 2 "card", OfflineCard = 4 "offline card", Vin = 5 "VIN", }

    /// Whether a record was received (0x40). `Illegal` only for a body that cannot be read.
    RecordResult { Accepted = 0 "accepted", Illegal = 1 "illegal bill", }

    /// Result of a balance update (0x41).
    BalanceResult { Ok = 0 "ok", WrongPile = 1 "wrong pile id", WrongCard = 2 "wrong card", }

    /// Whether a pile may work (0x52). The field's Chinese name says the opposite of its values.
    Permission { Allowed = 0 "allowed", Locked = 1 "stopped and locked", }

    /// When to reboot (0x92).
    RebootWhen { Now = 1 "now", Idle = 2 "when idle", }
}

//! Every action of OCPP 1.6 and of its security extension, and who may ask for it.

/// Who sends the CALL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The charge point.
    Station,
    /// The central system.
    Csms,
    /// Either.
    Both,
}

macro_rules! actions {
    ($($name:ident $sender:ident),+ $(,)?) => {
        /// An action of OCPP 1.6.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Action {
            $(#[doc = concat!("`", stringify!($name), "`.")] $name,)+
        }

        impl Action {
            /// Every action, in the order of their names.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The action of a name; `None` is an action that this version does not have.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The name on the wire. May be a metric label.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// Who sends it.
            pub const fn sender(self) -> Sender {
                match self {
                    $(Self::$name => Sender::$sender,)+
                }
            }
        }
    };
}

actions! {
    Authorize Station,
    BootNotification Station,
    CancelReservation Csms,
    CertificateSigned Csms,
    ChangeAvailability Csms,
    ChangeConfiguration Csms,
    ClearCache Csms,
    ClearChargingProfile Csms,
    DataTransfer Both,
    DeleteCertificate Csms,
    DiagnosticsStatusNotification Station,
    ExtendedTriggerMessage Csms,
    FirmwareStatusNotification Station,
    GetCompositeSchedule Csms,
    GetConfiguration Csms,
    GetDiagnostics Csms,
    GetInstalledCertificateIds Csms,
    GetLocalListVersion Csms,
    GetLog Csms,
    Heartbeat Station,
    InstallCertificate Csms,
    LogStatusNotification Station,
    MeterValues Station,
    RemoteStartTransaction Csms,
    RemoteStopTransaction Csms,
    ReserveNow Csms,
    Reset Csms,
    SecurityEventNotification Station,
    SendLocalList Csms,
    SetChargingProfile Csms,
    SignCertificate Station,
    SignedFirmwareStatusNotification Station,
    SignedUpdateFirmware Csms,
    StartTransaction Station,
    StatusNotification Station,
    StopTransaction Station,
    TriggerMessage Csms,
    UnlockConnector Csms,
    UpdateFirmware Csms,
}

impl Action {
    /// True if a charge point may send it.
    pub const fn from_station(self) -> bool {
        matches!(self.sender(), Sender::Station | Sender::Both)
    }

    /// True if a central system may send it.
    pub const fn from_csms(self) -> bool {
        matches!(self.sender(), Sender::Csms | Sender::Both)
    }

    /// The whole answer to a notification whose answer carries nothing, for stations' notifications that nobody reads
    /// typed here: they may be forwarded raw and answered with this.
    pub const fn empty_response(self) -> Option<&'static str> {
        match self {
            Self::DiagnosticsStatusNotification
            | Self::FirmwareStatusNotification
            | Self::LogStatusNotification
            | Self::SecurityEventNotification
            | Self::SignedFirmwareStatusNotification => Some("{}"),
            _ => None,
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

//! From an action's name and its payload to a typed request.

use super::{
    Action, authorize, boot_notification, change_availability, change_configuration, clear_cache, data_transfer,
    get_configuration, heartbeat, meter_values, remote_start_transaction, remote_stop_transaction, reset,
    start_transaction, status_notification, stop_transaction, trigger_message, unlock_connector,
};
use crate::ocpp::{Deviations, ErrorCode, Payload, PayloadError, WriteError, write_call};

/// A request of a certain action, and the type of its answer.
pub trait Call<'a>: Payload<'a> {
    /// The action.
    const ACTION: Action;
    /// What comes back.
    type Response<'r>: Payload<'r>;

    /// Appends this request as a CALL to `out`.
    ///
    /// # Errors
    /// [`WriteError`]; nothing is appended then.
    fn write(&self, out: &mut Vec<u8>, id: &str) -> Result<(), WriteError> {
        write_call(out, id, Self::ACTION.name(), self)
    }
}

/// Why a CALL gets a CALLERROR.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallRefusal {
    /// OCPP 1.6 has no such action, or not in this direction.
    #[error("unknown action")]
    UnknownAction,
    /// OCPP 1.6 has the action, but it is not read here.
    #[error("{0} is not supported")]
    NotSupported(Action),
    /// The payload cannot be read.
    #[error("{0}: {1}")]
    BadPayload(Action, #[source] PayloadError),
}

impl CallRefusal {
    /// The code of the CALLERROR.
    pub const fn error_code(&self) -> ErrorCode<'static> {
        match self {
            Self::UnknownAction => ErrorCode::NotImplemented,
            Self::NotSupported(_) => ErrorCode::NotSupported,
            Self::BadPayload(_, error) => error.error_code(),
        }
    }

    /// A name for a metric label: a closed set.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::UnknownAction => "unknown_action",
            Self::NotSupported(_) => "unsupported_action",
            Self::BadPayload(_, error) => error.kind.label(),
        }
    }
}

macro_rules! calls {
    ($(#[$doc:meta])* $name:ident may_send $may_send:ident { $($action:ident($request:ty)),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name<'a> {
            $(#[doc = concat!("`", stringify!($action), "`.")] $action($request),)+
        }

        impl<'a> $name<'a> {
            /// Reads the payload of a CALL.
            ///
            /// # Errors
            /// [`CallRefusal`], with the code of the CALLERROR.
            pub fn parse(action: &str, payload: &'a str) -> Result<Self, CallRefusal> {
                match Action::from_name(action) {
                    $(Some(Action::$action) => Payload::parse(payload)
                        .map(Self::$action)
                        .map_err(|error| CallRefusal::BadPayload(Action::$action, error)),)+
                    Some(known) if known.$may_send() => Err(CallRefusal::NotSupported(known)),
                    _ => Err(CallRefusal::UnknownAction),
                }
            }

            /// The action.
            pub const fn action(&self) -> Action {
                match self {
                    $(Self::$action(_) => Action::$action,)+
                }
            }

            /// How the payload deviates from the schema.
            pub fn deviations(&self) -> Deviations {
                match self {
                    $(Self::$action(request) => request.deviations(),)+
                }
            }

            /// Appends this request as a CALL to `out`.
            ///
            /// # Errors
            /// [`WriteError`]; nothing is appended then.
            pub fn write(&self, out: &mut Vec<u8>, id: &str) -> Result<(), WriteError> {
                match self {
                    $(Self::$action(request) => request.write(out, id),)+
                }
            }
        }

        $(impl<'a> From<$request> for $name<'a> {
            fn from(request: $request) -> Self {
                Self::$action(request)
            }
        })+
    };
}

calls! {
    /// What a charge point asks a central system.
    StationCall may_send from_station {
        Authorize(authorize::Request<'a>),
        BootNotification(boot_notification::Request<'a>),
        DataTransfer(data_transfer::Request<'a>),
        Heartbeat(heartbeat::Request),
        MeterValues(meter_values::Request<'a>),
        StartTransaction(start_transaction::Request<'a>),
        StatusNotification(status_notification::Request<'a>),
        StopTransaction(stop_transaction::Request<'a>),
    }
}

calls! {
    /// What a central system asks a charge point.
    CsmsCall may_send from_csms {
        ChangeAvailability(change_availability::Request<'a>),
        ChangeConfiguration(change_configuration::Request<'a>),
        ClearCache(clear_cache::Request),
        DataTransfer(data_transfer::Request<'a>),
        GetConfiguration(get_configuration::Request<'a>),
        RemoteStartTransaction(remote_start_transaction::Request<'a>),
        RemoteStopTransaction(remote_stop_transaction::Request),
        Reset(reset::Request<'a>),
        TriggerMessage(trigger_message::Request<'a>),
        UnlockConnector(unlock_connector::Request),
    }
}

//! Codes of a CALLERROR (OCPP-J 1.6 §4.2.3 with errata 5.1 and 5.2; OCPP 2.0.1 part 4 §4.3).

use super::Text;

/// Why a CALL was refused.
///
/// OCPP 1.6 misspells two codes, and the errata say "do not fix": 1.6 peers get `FormationViolation` and
/// `OccurenceConstraintViolation`. Every spelling is understood.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode<'a> {
    /// The action is not known.
    NotImplemented,
    /// The action is known but not supported.
    NotSupported,
    /// The receiver failed.
    InternalError,
    /// The payload is incomplete.
    ProtocolError,
    /// A security issue, also any CALL of a station that is not accepted yet.
    SecurityError,
    /// The payload is not well formed.
    FormationViolation,
    /// A field has a value that it may not have.
    PropertyConstraintViolation,
    /// A field is missing or one too many.
    OccurrenceConstraintViolation,
    /// A field has the wrong type.
    TypeConstraintViolation,
    /// Anything else.
    GenericError,
    /// The message type is not known (2.x).
    MessageTypeNotSupported,
    /// The message is not a valid RPC message (2.x).
    RpcFrameworkError,
    /// A code that no version has.
    Other(Text<'a>),
}

impl<'a> ErrorCode<'a> {
    /// The code as an OCPP 1.6 peer spells it. The two codes that 1.6 does not have become `GenericError` and
    /// `FormationViolation`.
    pub fn as_v16(&self) -> &str {
        match self {
            Self::NotImplemented => "NotImplemented",
            Self::NotSupported => "NotSupported",
            Self::InternalError => "InternalError",
            Self::ProtocolError => "ProtocolError",
            Self::SecurityError => "SecurityError",
            Self::FormationViolation | Self::RpcFrameworkError => "FormationViolation",
            Self::PropertyConstraintViolation => "PropertyConstraintViolation",
            Self::OccurrenceConstraintViolation => "OccurenceConstraintViolation",
            Self::TypeConstraintViolation => "TypeConstraintViolation",
            Self::GenericError | Self::MessageTypeNotSupported => "GenericError",
            Self::Other(text) => text.as_str(),
        }
    }

    /// The code as an OCPP 2.0.1 or 2.1 peer spells it.
    pub fn as_v2(&self) -> &str {
        match self {
            Self::FormationViolation => "FormatViolation",
            Self::OccurrenceConstraintViolation => "OccurrenceConstraintViolation",
            Self::MessageTypeNotSupported => "MessageTypeNotSupported",
            Self::RpcFrameworkError => "RpcFrameworkError",
            _ => self.as_v16(),
        }
    }

    /// Reads a code in any version's spelling.
    pub fn from_text(text: Text<'a>) -> Self {
        match text.as_str() {
            "NotImplemented" => Self::NotImplemented,
            "NotSupported" => Self::NotSupported,
            "InternalError" => Self::InternalError,
            "ProtocolError" => Self::ProtocolError,
            "SecurityError" => Self::SecurityError,
            "FormationViolation" | "FormatViolation" => Self::FormationViolation,
            "PropertyConstraintViolation" => Self::PropertyConstraintViolation,
            "OccurenceConstraintViolation" | "OccurrenceConstraintViolation" => Self::OccurrenceConstraintViolation,
            "TypeConstraintViolation" => Self::TypeConstraintViolation,
            "GenericError" => Self::GenericError,
            "MessageTypeNotSupported" => Self::MessageTypeNotSupported,
            "RpcFrameworkError" => Self::RpcFrameworkError,
            _ => Self::Other(text),
        }
    }

    /// A name for a metric label: a closed set, whatever the peer sends.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotImplemented => "not_implemented",
            Self::NotSupported => "not_supported",
            Self::InternalError => "internal_error",
            Self::ProtocolError => "protocol_error",
            Self::SecurityError => "security_error",
            Self::FormationViolation => "formation_violation",
            Self::PropertyConstraintViolation => "property_constraint_violation",
            Self::OccurrenceConstraintViolation => "occurrence_constraint_violation",
            Self::TypeConstraintViolation => "type_constraint_violation",
            Self::GenericError => "generic_error",
            Self::MessageTypeNotSupported => "message_type_not_supported",
            Self::RpcFrameworkError => "rpc_framework_error",
            Self::Other(_) => "other",
        }
    }
}

//! One body of any type: [`Message`], a variant per body.

use super::body::*;
use super::encode::{Body, Sealed};
use super::frame::BODY_MAX;
use super::value::{Gun, PileId, TradeNo};
use super::wire::Field;
use super::{body::BillingModelView, kind};
use crate::error::{ParseError, Reason};

/// A body of a type that has no field table here, kept as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown<'a> {
    kind: u8,
    body: &'a [u8],
}

impl<'a> Unknown<'a> {
    /// Any type with any bytes.
    ///
    /// # Errors
    /// The body is longer than [`BODY_MAX`].
    pub fn new(kind: u8, body: &'a [u8]) -> Result<Self, ParseError> {
        if body.len() > BODY_MAX {
            let reason = Reason::Long { max: BODY_MAX, have: body.len() };
            return Err(ParseError { message: "unknown", field: "body", offset: BODY_MAX, reason });
        }
        Ok(Self { kind, body })
    }

    /// Frame type.
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// The bytes.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

impl Sealed for Unknown<'_> {}
impl Body for Unknown<'_> {
    fn kind(&self) -> u8 {
        self.kind
    }
    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.body);
    }
}

macro_rules! messages {
    (
        tables { $( $variant:ident($view:ident) $kind:ident [$($id:ident)*]; )* }
        own { $( $own:ident($own_view:ty) $own_kind:ident [$($own_id:ident)*] |$body:ident| $parse:expr; )* }
    ) => {
        /// A parsed body: a view of the bytes it came from.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Message<'a> {
            $(
                #[doc = concat!("See [`", stringify!($variant), "`](super::", stringify!($variant), ").")]
                $variant($view<'a>),
            )*
            $(
                #[doc = concat!("See [`", stringify!($own), "`](super::", stringify!($own), ").")]
                $own($own_view),
            )*
            /// A type without a field table here.
            Unknown(Unknown<'a>),
        }

        impl<'a> Message<'a> {
            /// Reads a body by its frame type. A longer body than the table's is fine: see `extra` of the views.
            ///
            /// # Errors
            /// The body is shorter than its field table, or longer than a frame can carry.
            #[inline]
            pub fn parse(kind: u8, body: &'a [u8]) -> Result<Self, ParseError> {
                Ok(match kind {
                    $( kind::$kind => Self::$variant($view::new_checked(body)?), )*
                    $( kind::$own_kind => { let $body = body; Self::$own($parse?) } )*
                    _ => Self::Unknown(Unknown::new(kind, body)?),
                })
            }

            /// The field table; empty for [`Message::Unknown`].
            pub fn fields(&self) -> &'static [Field] {
                match self {
                    $( Self::$variant(_) => $variant::FIELDS, )*
                    $( Self::$own(view) => view.fields(), )*
                    Self::Unknown(_) => &[],
                }
            }

            /// What follows behind the field table.
            pub fn extra(&self) -> &'a [u8] {
                match self {
                    $( Self::$variant(view) => view.extra(), )*
                    $( Self::$own(view) => view.extra(), )*
                    Self::Unknown(_) => &[],
                }
            }

            fn body(&self) -> &dyn Body {
                match self {
                    $( Self::$variant(view) => view, )*
                    $( Self::$own(view) => view, )*
                    Self::Unknown(unknown) => unknown,
                }
            }

            /// The charger that the body names: several may share a connection. `None` for 0x40 and unknown types.
            pub fn pile(&self) -> Option<PileId> {
                match self {
                    $( Self::$variant(view) => ids!(@pile view $($id)*), )*
                    $( Self::$own(view) => ids!(@pile view $($own_id)*), )*
                    Self::Unknown(_) => None,
                }
            }

            /// The gun, where the body names one.
            pub fn gun(&self) -> Option<Gun> {
                match self {
                    $( Self::$variant(view) => ids!(@gun view $($id)*), )*
                    $( Self::$own(view) => ids!(@gun view $($own_id)*), )*
                    Self::Unknown(_) => None,
                }
            }

            /// The charge, where the body names one. Zero in real-time data means none.
            pub fn trade_no(&self) -> Option<TradeNo> {
                match self {
                    $( Self::$variant(view) => ids!(@trade view $($id)*), )*
                    $( Self::$own(view) => ids!(@trade view $($own_id)*), )*
                    Self::Unknown(_) => None,
                }
            }
        }
    };
}

/// Which of the common ids a body has: p(ile), g(un), t(rade).
macro_rules! ids {
    (@pile $view:ident p $($rest:ident)*) => { Some($view.pile()) };
    (@gun $view:ident g $($rest:ident)*) => { Some($view.gun()) };
    (@trade $view:ident t $($rest:ident)*) => { Some($view.trade_no()) };
    (@$what:ident $view:ident $other:ident $($rest:ident)*) => { ids!(@$what $view $($rest)*) };
    (@$what:ident $view:ident) => {{ let _ = $view; None }};
}

messages! {
    tables {
        Login(LoginView) LOGIN [p];
        LoginAck(LoginAckView) LOGIN_ACK [p];
        Heartbeat(HeartbeatView) HEARTBEAT [p g];
        HeartbeatAck(HeartbeatAckView) HEARTBEAT_ACK [p g];
        ModelCheck(ModelCheckView) MODEL_CHECK [p];
        ModelCheckAck(ModelCheckAckView) MODEL_CHECK_ACK [p];
        ModelRequest(ModelRequestView) MODEL_REQUEST [p];
        ReadRealTime(ReadRealTimeView) READ_REAL_TIME [p g];
        RealTime(RealTimeView) REAL_TIME [p g t];
        StartRequest(StartRequestView) START_REQUEST [p g];
        StartAnswer(StartAnswerView) START_ANSWER [p g t];
        RemoteStartReply(RemoteStartReplyView) REMOTE_START_REPLY [p g t];
        RemoteStart(RemoteStartView) REMOTE_START [p g t];
        RemoteStopReply(RemoteStopReplyView) REMOTE_STOP_REPLY [p g];
        RemoteStop(RemoteStopView) REMOTE_STOP [p g];
        RecordConfirm(RecordConfirmView) RECORD_CONFIRM [t];
        BalanceReply(BalanceReplyView) BALANCE_REPLY [p];
        BalanceUpdate(BalanceUpdateView) BALANCE_UPDATE [p g];
        ParametersReply(ParametersReplyView) PARAMETERS_REPLY [p];
        Parameters(ParametersView) PARAMETERS [p];
        TimeSyncReply(TimeSyncReplyView) TIME_SYNC_REPLY [p];
        TimeSync(TimeSyncView) TIME_SYNC [p];
        ModelSetReply(ModelSetReplyView) MODEL_SET_REPLY [p];
        RebootReply(RebootReplyView) REBOOT_REPLY [p];
        Reboot(RebootView) REBOOT [p];
    }
    own {
        ModelAnswer(BillingModelView<'a>) MODEL_ANSWER [p] |body| BillingModelView::new_checked(kind::MODEL_ANSWER, body);
        ModelSet(BillingModelView<'a>) MODEL_SET [p] |body| BillingModelView::new_checked(kind::MODEL_SET, body);
        Record(RecordView<'a>) RECORD [p g t] |body| RecordView::new_checked(body);
    }
}

impl Sealed for Message<'_> {}
impl Body for Message<'_> {
    fn kind(&self) -> u8 {
        self.body().kind()
    }
    fn emit(&self, out: &mut Vec<u8>) {
        self.body().emit(out);
    }
}

//! The bodies, one file per conversation. Each body exists as a view (`LoginView`: checked, borrowed) and as a plain
//! value (`Login`: `Copy`, can be built and emitted).

mod balance;
mod billing_model;
mod heartbeat;
mod login;
mod parameters;
mod real_time;
mod reboot;
mod record;
mod remote_start;
mod remote_stop;
mod start;
mod time_sync;

pub use balance::{BalanceReply, BalanceReplyView, BalanceUpdate, BalanceUpdateView};
pub use billing_model::{
    BillingModel, BillingModelView, ModelAnswer, ModelCheck, ModelCheckAck, ModelCheckAckView, ModelCheckView,
    ModelRequest, ModelRequestView, ModelSet, ModelSetReply, ModelSetReplyView, RatePrice, RatePrices, SLOTS,
};
pub use heartbeat::{Heartbeat, HeartbeatAck, HeartbeatAckView, HeartbeatView};
pub use login::{Login, LoginAck, LoginAckView, LoginView, ProtocolVersion};
pub use parameters::{Parameters, ParametersReply, ParametersReplyView, ParametersView};
pub use real_time::{ReadRealTime, ReadRealTimeView, RealTime, RealTimeView};
pub use reboot::{Reboot, RebootReply, RebootReplyView, RebootView};
pub use record::{
    RECORD_FIELDS, RECORD_FIELDS_FIVE_RATES, Record, RecordConfirm, RecordConfirmView, RecordRate, RecordRates,
    RecordView,
};
pub use remote_start::{RemoteStart, RemoteStartReply, RemoteStartReplyView, RemoteStartView};
pub use remote_stop::{RemoteStop, RemoteStopReply, RemoteStopReplyView, RemoteStopView};
pub use start::{StartAnswer, StartAnswerView, StartRequest, StartRequestView};
pub use time_sync::{TimeSync, TimeSyncReply, TimeSyncReplyView, TimeSyncView};

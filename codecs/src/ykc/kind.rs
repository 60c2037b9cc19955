//! Frame types: odd from the charger, even from the platform (YKC V1.6 §4).

/// 0x01, charger: login.
pub const LOGIN: u8 = 0x01;
/// 0x02, platform: answer to the login.
pub const LOGIN_ACK: u8 = 0x02;
/// 0x03, charger: heartbeat, every 10 s.
pub const HEARTBEAT: u8 = 0x03;
/// 0x04, platform: answer to the heartbeat.
pub const HEARTBEAT_ACK: u8 = 0x04;
/// 0x05, charger: is my billing model the current one?
pub const MODEL_CHECK: u8 = 0x05;
/// 0x06, platform: answer to the check.
pub const MODEL_CHECK_ACK: u8 = 0x06;
/// 0x09, charger: send me the billing model.
pub const MODEL_REQUEST: u8 = 0x09;
/// 0x0A, platform: the billing model.
pub const MODEL_ANSWER: u8 = 0x0A;
/// 0x12, platform: send a real-time frame now.
pub const READ_REAL_TIME: u8 = 0x12;
/// 0x13, charger: state and measurements of one gun.
pub const REAL_TIME: u8 = 0x13;
/// 0x31, charger: start asked for by card, account or VIN.
pub const START_REQUEST: u8 = 0x31;
/// 0x32, platform: start granted or refused.
pub const START_ANSWER: u8 = 0x32;
/// 0x33, charger: answer to a remote start.
pub const REMOTE_START_REPLY: u8 = 0x33;
/// 0x34, platform: remote start.
pub const REMOTE_START: u8 = 0x34;
/// 0x35, charger: answer to a remote stop.
pub const REMOTE_STOP_REPLY: u8 = 0x35;
/// 0x36, platform: remote stop.
pub const REMOTE_STOP: u8 = 0x36;
/// 0x3B, charger: transaction record, the bill.
pub const RECORD: u8 = 0x3B;
/// 0x40, platform: record confirmed.
pub const RECORD_CONFIRM: u8 = 0x40;
/// 0x41, charger: answer to a balance update.
pub const BALANCE_REPLY: u8 = 0x41;
/// 0x42, platform: balance update.
pub const BALANCE_UPDATE: u8 = 0x42;
/// 0x51, charger: answer to work parameters.
pub const PARAMETERS_REPLY: u8 = 0x51;
/// 0x52, platform: work parameters.
pub const PARAMETERS: u8 = 0x52;
/// 0x55, charger: answer to a time sync, with its time afterwards.
pub const TIME_SYNC_REPLY: u8 = 0x55;
/// 0x56, platform: time sync.
pub const TIME_SYNC: u8 = 0x56;
/// 0x57, charger: answer to a billing model.
pub const MODEL_SET_REPLY: u8 = 0x57;
/// 0x58, platform: set the billing model.
pub const MODEL_SET: u8 = 0x58;
/// 0x91, charger: answer to a reboot.
pub const REBOOT_REPLY: u8 = 0x91;
/// 0x92, platform: reboot.
pub const REBOOT: u8 = 0x92;

/// Whether a frame of this type travels from the charger to the platform: the odd ones do.
pub const fn from_charger(kind: u8) -> bool {
    kind % 2 == 1
}

/// What a frame type is called, also for the types whose body we do not read.
pub const fn name(kind: u8) -> &'static str {
    match kind {
        LOGIN => "login",
        LOGIN_ACK => "login answer",
        HEARTBEAT => "heartbeat",
        HEARTBEAT_ACK => "heartbeat answer",
        MODEL_CHECK => "billing model check",
        MODEL_CHECK_ACK => "billing model check answer",
        MODEL_REQUEST => "billing model request",
        MODEL_ANSWER => "billing model answer",
        READ_REAL_TIME => "read real-time data",
        REAL_TIME => "real-time data",
        0x15 => "BMS handshake",
        0x17 => "BMS parameters",
        0x19 => "charge end",
        0x1B => "BMS or charger error",
        0x1D => "BMS abort",
        0x21 => "charger abort",
        0x23 => "BMS demand and charger output",
        0x25 => "BMS status",
        START_REQUEST => "start request",
        START_ANSWER => "start answer",
        REMOTE_START_REPLY => "remote start reply",
        REMOTE_START => "remote start",
        REMOTE_STOP_REPLY => "remote stop reply",
        REMOTE_STOP => "remote stop",
        RECORD => "transaction record",
        0x3D => "transaction record V1.7",
        RECORD_CONFIRM => "transaction record confirm",
        BALANCE_REPLY => "balance update reply",
        BALANCE_UPDATE => "balance update",
        0x43 => "offline cards add reply",
        0x44 => "offline cards add",
        0x45 => "offline cards remove reply",
        0x46 => "offline cards remove",
        0x47 => "offline cards query reply",
        0x48 => "offline cards query",
        PARAMETERS_REPLY => "work parameters reply",
        PARAMETERS => "work parameters",
        TIME_SYNC_REPLY => "time sync reply",
        TIME_SYNC => "time sync",
        MODEL_SET_REPLY => "billing model set reply",
        MODEL_SET => "billing model set",
        0x61 => "ground lock report",
        0x62 => "ground lock command",
        0x63 => "ground lock reply",
        REBOOT_REPLY => "reboot reply",
        REBOOT => "reboot",
        0x93 => "upgrade reply",
        0x94 => "upgrade",
        0xA1 => "parallel start request",
        0xA2 => "parallel start answer",
        0xA3 => "parallel remote start reply",
        0xA4 => "parallel remote start",
        0xF0 => "QR code prefix",
        0xF1 => "QR code prefix reply",
        _ => "unknown",
    }
}

/// The shortest body the field table of a type allows; `None` for types without a table.
///
/// The framing uses it to tell a frame whose length byte counts only the body from a damaged one (YKC V1.6 §2.6).
pub(crate) const fn body_min(kind: u8) -> Option<u8> {
    Some(match kind {
        LOGIN => 30,
        LOGIN_ACK => 8,
        HEARTBEAT | HEARTBEAT_ACK | MODEL_CHECK => 9,
        MODEL_CHECK_ACK => 10,
        MODEL_REQUEST => 7,
        MODEL_ANSWER | MODEL_SET => 90,
        READ_REAL_TIME | REMOTE_STOP => 8,
        REAL_TIME => 60,
        0x15 => 73,
        0x17 => 45,
        0x19 => 39,
        0x1B => 32,
        0x1D | 0x21 => 28,
        0x23 => 44,
        0x25 => 31,
        START_REQUEST => 51,
        START_ANSWER => 38,
        REMOTE_START_REPLY => 26,
        REMOTE_START => 44,
        REMOTE_STOP_REPLY => 10,
        RECORD => 158,
        0x3D => 201,
        RECORD_CONFIRM => 17,
        BALANCE_REPLY => 16,
        BALANCE_UPDATE => 20,
        0x43 => 9,
        0x44 | 0x46 | 0x48 => 8,
        0x45 | 0x47 => 7,
        PARAMETERS_REPLY | MODEL_SET_REPLY | REBOOT_REPLY | REBOOT | 0x93 | 0xF1 => 8,
        PARAMETERS | 0xF0 => 9,
        TIME_SYNC_REPLY | TIME_SYNC => 14,
        0x61 => 16,
        0x62 | 0x63 => 13,
        0x94 => 94,
        0xA1 => 58,
        0xA2 => 44,
        0xA3 => 33,
        0xA4 => 50,
        _ => return None,
    })
}

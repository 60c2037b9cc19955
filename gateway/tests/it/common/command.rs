//! Commands as the business side issues them, and what becomes of them.

use codecs::ykc::TradeNo;
use events::{
    commands::{Command, StartCharging, command::Action},
    prost::Message as _,
    proto::{CommandOutcome, envelope::Body},
    topic::Topic,
};

use super::{MemoryLog, Rig, registry};

pub fn command(id: &str, charger: &str, action: Action) -> Command {
    Command {
        command_id: id.into(),
        tenant: registry::TENANT,
        charger: charger.into(),
        connector: 1,
        issued_at_ms: 0,
        expires_at_ms: i64::MAX,
        traceparent: String::new(),
        action: Some(action),
    }
}

pub fn issue(log: &MemoryLog, command: &Command) {
    log.put(Topic::Command, &command.charger, &command.encode_to_vec());
}

pub fn start(trade_no: TradeNo) -> Action {
    Action::StartCharging(StartCharging { session: trade_no.to_string(), balance_fen: 5_000, ..Default::default() })
}

pub async fn outcome(rig: &Rig, id: &str, expected: CommandOutcome) -> String {
    rig.event(Topic::Device, |_, body| match body {
        Body::CommandAnswered(answer) if answer.command_id == id && answer.outcome() == expected => {
            Some(answer.code.clone())
        }
        _ => None,
    })
    .await
}

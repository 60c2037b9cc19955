//! A command: its row for REST and its record for the log, made together so that they cannot differ.

use events::{
    commands::{Command, command::Action},
    prost::Message as _,
    topic::Topic,
};
use serde_json::{Value, json};

use crate::store::{TenantId, commands::CommandRow, outbox::Outgoing};

/// What goes into a command beside its action.
#[derive(Clone, Debug)]
pub(crate) struct About<'a> {
    pub tenant: TenantId,
    pub charger: &'a str,
    pub connector: u32,
    pub order_no: Option<&'a str>,
    pub now_ms: i64,
    pub ttl_ms: i64,
    pub traceparent: &'a str,
}

/// The row and the record of a new command.
pub(crate) fn issue(about: &About<'_>, action: Action) -> (CommandRow, Outgoing) {
    let command_id = uuid::Uuid::now_v7().to_string();
    let expires_at_ms = about.now_ms.saturating_add(about.ttl_ms);
    let (kind, arguments) = describe(&action);
    let row = CommandRow {
        command_id: command_id.clone(),
        charger: about.charger.to_owned(),
        connector: about.connector,
        kind: kind.to_owned(),
        order_no: about.order_no.map(str::to_owned),
        state: "pending".to_owned(),
        code: String::new(),
        arguments: arguments.to_string(),
        issued_at_ms: about.now_ms,
        expires_at_ms,
        answered_at_ms: None,
    };
    let command = Command {
        command_id,
        tenant: about.tenant.0.unsigned_abs(),
        charger: about.charger.to_owned(),
        connector: about.connector,
        issued_at_ms: about.now_ms,
        expires_at_ms,
        traceparent: about.traceparent.to_owned(),
        action: Some(action),
    };
    let outgoing = Outgoing {
        topic: Topic::Command,
        key: about.charger.as_bytes().to_vec(),
        payload: Some(command.encode_to_vec()),
        headers: Vec::new(),
    };
    (row, outgoing)
}

fn describe(action: &Action) -> (&'static str, Value) {
    match action {
        Action::StartCharging(start) => (
            "start_charging",
            json!({ "session": start.session, "id_tag": start.id_tag, "balance_fen": start.balance_fen }),
        ),
        Action::StopCharging(stop) => ("stop_charging", json!({ "session": stop.session })),
        Action::SetTariff(set) => ("set_tariff", json!({ "tariff": set.tariff })),
        Action::Reboot(reboot) => ("reboot", json!({ "immediately": reboot.immediately })),
        Action::SyncTime(_) => ("sync_time", json!({})),
        Action::UpdateBalance(update) => {
            ("update_balance", json!({ "physical_card": update.physical_card, "balance_fen": update.balance_fen }))
        }
        Action::ReadLiveData(_) => ("read_live_data", json!({})),
        Action::SendOcppCall(call) => ("send_ocpp_call", json!({ "action": call.action })),
    }
}

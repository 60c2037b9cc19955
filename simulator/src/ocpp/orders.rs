//! What the platform wants of a charge point.

use codecs::ocpp::{ErrorCode, MessageId, write_error, write_result_raw};
use serde_json::{Value, json};

use super::Boot;
use super::OcppCharger;
use super::drivers::{Connector, Phase};
use crate::charger::{Now, Outbox};

impl OcppCharger {
    pub(super) fn order(&mut self, now: Now, id: &MessageId<'_>, action: &str, payload: &Value, out: &mut Outbox) {
        let answer = match action {
            "RemoteStartTransaction" => self.remote_start(now, payload),
            "RemoteStopTransaction" => self.remote_stop(now, payload),
            "UnlockConnector" => self.unlock(now, payload),
            "TriggerMessage" => self.trigger(now, payload),
            "Reset" => self.reset(now, payload),
            "ChangeAvailability" => self.change_availability(now, payload),
            "GetConfiguration" => self.get_configuration(payload),
            "ChangeConfiguration" => {
                let text = |key: &str| payload.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                let changed = self.settings.set(&text("key"), &text("value"));
                self.authorizes_remote = self.settings.flag("AuthorizeRemoteTxRequests");
                json!({ "status": changed.name() })
            }
            "ClearCache" => json!({ "status": "Accepted" }),
            "DataTransfer" => json!({ "status": "UnknownVendorId" }),
            _ => {
                let mut text = Vec::new();
                write_error(&mut text, id, &ErrorCode::NotImplemented, "this charge point does not know the action");
                return self.text(&text, out);
            }
        };
        let mut text = Vec::new();
        write_result_raw(&mut text, id, &answer.to_string());
        self.text(&text, out);
    }

    fn remote_start(&mut self, now: Now, payload: &Value) -> Value {
        let tag = payload.get("idTag").and_then(Value::as_str).unwrap_or_default().to_owned();
        let wanted = payload.get("connectorId").and_then(Value::as_u64);
        let free = |c: &Connector| c.operative && matches!(c.phase, Phase::Idle { .. } | Phase::Finished { .. });
        let fits = |c: &Connector| free(c) && wanted.is_none_or(|number| u64::from(c.number) == number);
        let index = self.connectors.iter().position(fits);
        let (Some(index), false, true) = (index, tag.is_empty(), self.boot == Boot::Accepted && !self.winding_down)
        else {
            return json!({ "status": "Rejected" });
        };
        if self.authorizes_remote {
            let phase = Phase::Asking { tag, remote: true, attempts: 0, ask_at: now.at };
            self.set_phase(now, index, phase);
        } else {
            self.allow(now, index, tag);
        }
        json!({ "status": "Accepted" })
    }

    fn remote_stop(&mut self, now: Now, payload: &Value) -> Value {
        let wanted = payload.get("transactionId").and_then(Value::as_i64);
        let runs = |c: &Connector| match &c.phase {
            Phase::Charging(running) => {
                let id = self.transactions.get(&running.key).and_then(|tx| tx.id);
                id.is_some() && id == wanted
            }
            _ => false,
        };
        match self.connectors.iter().position(runs) {
            Some(index) => {
                self.finish(now, index, "Remote");
                json!({ "status": "Accepted" })
            }
            None => json!({ "status": "Rejected" }),
        }
    }

    fn unlock(&mut self, now: Now, payload: &Value) -> Value {
        match self.connector_in(payload) {
            Some(index) => {
                self.finish(now, index, "UnlockCommand");
                json!({ "status": "Unlocked" })
            }
            None => json!({ "status": "NotSupported" }),
        }
    }

    fn trigger(&mut self, now: Now, payload: &Value) -> Value {
        let one = self.connector_in(payload);
        let wanted = match one {
            Some(index) => index..index + 1,
            None => 0..self.connectors.len(),
        };
        match payload.get("requestedMessage").and_then(Value::as_str) {
            Some("BootNotification") => {
                // Asked for by the platform: the registration that is there stays.
                let booted = self.boot;
                self.boot = Boot::Due(now.at);
                self.boot_if_due(now);
                self.boot = booted;
            }
            Some("Heartbeat") => self.heartbeat_at = now.at,
            Some("StatusNotification") => wanted.for_each(|index| self.notify(now, index)),
            Some("MeterValues") => wanted.for_each(|index| self.report_now(now, index)),
            _ => return json!({ "status": "NotImplemented" }),
        }
        json!({ "status": "Accepted" })
    }

    fn reset(&mut self, now: Now, payload: &Value) -> Value {
        let hard = payload.get("type").and_then(Value::as_str) == Some("Hard");
        for index in 0..self.connectors.len() {
            self.finish(now, index, if hard { "HardReset" } else { "SoftReset" });
            if let Some(connector) = self.connectors.get_mut(index) {
                connector.phase = Phase::Rebooting;
            }
        }
        json!({ "status": "Accepted" })
    }

    /// Back from a reset: everything is forgotten but the queue and the meters.
    pub(super) fn rebooted(&mut self, now: Now) {
        if self.boot == Boot::Accepted {
            self.world.counters.accepted.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        }
        self.boot = Boot::Due(now.at);
        for connector in &mut self.connectors {
            connector.phase = Phase::Idle { next_ms: now.ms };
        }
    }

    fn change_availability(&mut self, now: Now, payload: &Value) -> Value {
        let operative = payload.get("type").and_then(Value::as_str) != Some("Inoperative");
        let wanted = payload.get("connectorId").and_then(Value::as_u64).unwrap_or(0);
        let mut scheduled = false;
        for index in 0..self.connectors.len() {
            let Some(connector) = self.connectors.get_mut(index) else { continue };
            if wanted != 0 && u64::from(connector.number) != wanted {
                continue;
            }
            connector.operative = operative;
            if matches!(connector.phase, Phase::Charging(_)) {
                scheduled = true;
            } else {
                self.notify(now, index);
            }
        }
        json!({ "status": if scheduled { "Scheduled" } else { "Accepted" } })
    }

    fn get_configuration(&self, payload: &Value) -> Value {
        let keys = payload.get("key").and_then(Value::as_array);
        let wanted: Vec<String> = keys.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let (known, unknown) = self.settings.get(&wanted);
        let known: Vec<Value> = known
            .iter()
            .map(|(key, value, readonly)| json!({ "key": key, "readonly": readonly, "value": value }))
            .collect();
        json!({ "configurationKey": known, "unknownKey": unknown })
    }

    fn connector_in(&self, payload: &Value) -> Option<usize> {
        let number = payload.get("connectorId").and_then(Value::as_u64)?;
        self.index_of(u32::try_from(number).ok()?)
    }
}

//! Meter values of a running transaction: at an interval, and at every quarter hour of the clock, so that a bill can be cut
//! exactly where prices change.

use serde_json::{Value, json};

use super::OcppCharger;
use super::calls::{About, TxKey};
use super::drivers::{Connector, Phase};
use super::stamp;
use super::transaction::Running;
use crate::charger::Now;
use crate::clock::QUARTER_MS;
use crate::rating::Sample;

/// With so many transaction messages waiting, periodic samples are left out; those at quarter hours never are.
const QUEUE_FULL: usize = 200;

/// One reading.
struct Reading {
    at_ms: i64,
    register: u64,
    context: &'static str,
}

impl OcppCharger {
    /// Queues what is due: quarter hours passed since the last look, then a periodic sample.
    pub(super) fn report_meter(&mut self, now: Now, index: usize) {
        let aligned = i64::try_from(self.settings.number("ClockAlignedDataInterval") * 1000).unwrap_or(i64::MAX);
        let stated = self.settings.number("MeterValueSampleInterval").saturating_mul(1000);
        let interval = self.world.paced(stated.max(1000), self.world.floors.live_data_ms.saturating_mul(5));
        let crowded = self.calls.transactional() >= QUEUE_FULL;
        let Some(Connector { phase: Phase::Charging(running), .. }) = self.connectors.get_mut(index) else { return };
        let mut readings = Vec::new();
        for (at_ms, register) in running.charge.quarters().skip(running.quarters_sent) {
            running.quarters_sent += 1;
            // Intervals of a whole number of quarter hours; a finer one is not kept.
            if aligned > 0 && at_ms.rem_euclid(aligned.max(QUARTER_MS)) == 0 {
                readings.push(Reading { at_ms, register, context: "Sample.Clock" });
            }
        }
        if running.sample_at <= now.at && running.charge.ended().is_none() {
            running.sample_at = now.at + interval;
            let (at_ms, register) = (running.charge.at_ms(), running.charge.register());
            if stated > 0 && !crowded && at_ms > running.charge.started_ms() {
                readings.push(Reading { at_ms, register, context: "Sample.Periodic" });
            }
        }
        for reading in readings {
            self.report(now, index, &reading);
        }
    }

    fn report(&mut self, now: Now, index: usize, reading: &Reading) {
        let Some(Connector { number, phase: Phase::Charging(running), .. }) = self.connectors.get(index) else {
            return;
        };
        let energy_e4 = running.energy_e4(reading.register);
        let (key, number) = (running.key, *number);
        let payload = json!({
            "connectorId": number, "transactionId": "<tx>",
            "meterValue": [{ "timestamp": stamp(reading.at_ms), "sampledValue": samples(running, reading) }],
        });
        self.call(now, About::TxMeter(key, reading.at_ms, energy_e4), "MeterValues", &payload);
    }

    /// TriggerMessage: one reading now, of the transaction if one runs.
    pub(super) fn report_now(&mut self, now: Now, index: usize) {
        let Some(connector) = self.connectors.get(index) else { return };
        if let Phase::Charging(running) = &connector.phase {
            let reading =
                Reading { at_ms: running.charge.at_ms(), register: running.charge.register(), context: "Trigger" };
            return self.report(now, index, &reading);
        }
        let register = Running::meter_wh(connector.register).to_string();
        let payload = json!({
            "connectorId": connector.number,
            "meterValue": [{ "timestamp": stamp(now.ms), "sampledValue": [
                { "value": register, "context": "Trigger", "measurand": "Energy.Active.Import.Register", "unit": "Wh" },
            ] }],
        });
        self.call(now, About::Meter, "MeterValues", &payload);
    }

    pub(super) fn sample_confirmed(&mut self, key: TxKey, at_ms: i64, energy_e4: i64) {
        if let Some(tx) = self.transactions.get_mut(&key) {
            tx.samples.push(Sample { at_ms, energy_e4 });
        }
    }

    pub(super) fn sample_lost(&mut self, about: &About) {
        if let About::TxMeter(key, ..) = about
            && let Some(tx) = self.transactions.get_mut(key)
        {
            tx.samples_lost += 1;
        }
    }
}

fn samples(running: &Running, reading: &Reading) -> Value {
    let value = |value: String, measurand: &str, unit: &str| {
        json!({ "value": value, "context": reading.context, "format": "Raw", "measurand": measurand,
                "location": if measurand == "SoC" { "EV" } else { "Outlet" }, "unit": unit })
    };
    json!([
        value(Running::meter_wh(reading.register).to_string(), "Energy.Active.Import.Register", "Wh"),
        value(running.charge.power_w().to_string(), "Power.Active.Import", "W"),
        value((running.charge.soc_bp() / 100).to_string(), "SoC", "Percent"),
    ])
}

//! The bodies of the hot path, written from borrowed values. A property test compares every byte with `prost`.

use super::{
    Head, Rest,
    wire::{Fields, Sink, zigzag},
};
use crate::proto::{ConnectorStatus, Leftover, MeterSampled, StatusChanged, envelope::Body};

/// `MeterSampled`, borrowed. Units as in the schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterSample<'a> {
    pub session: &'a str,
    /// 0.0001 kWh since the session began.
    pub energy_e4: Option<u64>,
    /// 0.0001 kWh, meter reading.
    pub register_e4: Option<u64>,
    /// 0.1 V.
    pub voltage_dv: Option<u32>,
    /// 0.1 A.
    pub current_da: Option<i32>,
    pub power_w: Option<i64>,
    pub soc_percent: Option<u32>,
    pub temperature_c: Option<i32>,
    pub charge_minutes: Option<u32>,
    pub remain_minutes: Option<u32>,
    /// 0.0001 yuan.
    pub amount_e4: Option<u64>,
    pub billable: bool,
    pub status: ConnectorStatus,
    pub plugged: Option<bool>,
    pub fault_bits: u32,
}

/// `StatusChanged`, borrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusChange<'a> {
    pub status: ConnectorStatus,
    pub plugged: Option<bool>,
    pub error_code: &'a str,
    pub info: &'a str,
    pub session: &'a str,
}

const METER_SAMPLED: u32 = 28;
const STATUS_CHANGED: u32 = 23;

/// Replaces the contents of `out` by an envelope with this body.
pub fn encode_meter_sampled(head: &Head<'_>, leftovers: &[Rest<'_>], body: &MeterSample<'_>, out: &mut Vec<u8>) {
    encode(head, leftovers, METER_SAMPLED, body, out);
}

/// Replaces the contents of `out` by an envelope with this body.
pub fn encode_status_changed(head: &Head<'_>, leftovers: &[Rest<'_>], body: &StatusChange<'_>, out: &mut Vec<u8>) {
    encode(head, leftovers, STATUS_CHANGED, body, out);
}

/// Replaces the contents of `out` by an envelope with any body; only the head is borrowed, for a body that exists anyway.
pub fn encode_body(head: &Head<'_>, leftovers: &[Leftover], body: &Body, out: &mut Vec<u8>) {
    out.clear();
    head.write(out);
    for leftover in leftovers {
        out.message(12, &(leftover.name.as_str(), &*leftover.value));
    }
    body.encode(out);
}

fn encode(head: &Head<'_>, leftovers: &[Rest<'_>], field: u32, body: &impl Fields, out: &mut Vec<u8>) {
    out.clear();
    head.write(out);
    for rest in leftovers {
        out.message(12, rest);
    }
    out.message(field, body);
}

impl Fields for Head<'_> {
    fn write<S: Sink + ?Sized>(&self, sink: &mut S) {
        sink.bytes(1, &self.event_id);
        sink.uint(2, self.tenant);
        sink.text(3, self.charger);
        sink.uint(4, self.connector.into());
        sink.int(5, i32::from(self.protocol).into());
        sink.uint(6, self.epoch);
        sink.uint(7, self.number);
        sink.int(8, self.occurred_at_ms);
        sink.int(9, self.received_at_ms);
        sink.text(10, self.node);
        sink.text(11, self.traceparent);
    }
}

impl Fields for Rest<'_> {
    fn write<S: Sink + ?Sized>(&self, sink: &mut S) {
        sink.text(1, self.0);
        sink.bytes(2, self.1);
    }
}

impl Fields for MeterSample<'_> {
    fn write<S: Sink + ?Sized>(&self, sink: &mut S) {
        sink.text(1, self.session);
        sink.optional(2, self.energy_e4);
        sink.optional(3, self.register_e4);
        sink.optional(4, self.voltage_dv.map(u64::from));
        sink.optional(5, self.current_da.map(|value| zigzag(value.into())));
        sink.optional(6, self.power_w.map(zigzag));
        sink.optional(7, self.soc_percent.map(u64::from));
        sink.optional(8, self.temperature_c.map(|value| zigzag(value.into())));
        sink.optional(9, self.charge_minutes.map(u64::from));
        sink.optional(10, self.remain_minutes.map(u64::from));
        sink.optional(11, self.amount_e4);
        sink.uint(12, self.billable.into());
        sink.int(13, i32::from(self.status).into());
        sink.optional(14, self.plugged.map(u64::from));
        sink.uint(15, self.fault_bits.into());
    }
}

impl Fields for StatusChange<'_> {
    fn write<S: Sink + ?Sized>(&self, sink: &mut S) {
        sink.int(1, i32::from(self.status).into());
        sink.optional(2, self.plugged.map(u64::from));
        sink.text(3, self.error_code);
        sink.text(4, self.info);
        sink.text(5, self.session);
    }
}

impl From<&MeterSample<'_>> for MeterSampled {
    fn from(sample: &MeterSample<'_>) -> Self {
        Self {
            session: sample.session.to_owned(),
            energy_e4: sample.energy_e4,
            register_e4: sample.register_e4,
            voltage_dv: sample.voltage_dv,
            current_da: sample.current_da,
            power_w: sample.power_w,
            soc_percent: sample.soc_percent,
            temperature_c: sample.temperature_c,
            charge_minutes: sample.charge_minutes,
            remain_minutes: sample.remain_minutes,
            amount_e4: sample.amount_e4,
            billable: sample.billable,
            status: sample.status.into(),
            plugged: sample.plugged,
            fault_bits: sample.fault_bits,
        }
    }
}

impl From<&StatusChange<'_>> for StatusChanged {
    fn from(change: &StatusChange<'_>) -> Self {
        Self {
            status: change.status.into(),
            plugged: change.plugged,
            error_code: change.error_code.to_owned(),
            info: change.info.to_owned(),
            session: change.session.to_owned(),
        }
    }
}

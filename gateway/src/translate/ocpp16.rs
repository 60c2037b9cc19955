//! OCPP 1.6 to events.

use codecs::ocpp::{
    MeterWh, Timestamp,
    v16::{
        Location, Measurand, MeterValue, SampledValue, Unit, boot_notification, start_transaction,
        status_notification::{self, ChargePointErrorCode, ChargePointStatus},
        stop_transaction::{self, Reason},
    },
};
use events::proto::{
    ChargerBooted, ConnectorStatus, Leftover, MeterSampled, Sample, SessionStarted, StatusChanged, TransactionRecorded,
};
use sha2::{Digest as _, Sha256};

/// The transaction id of a start: 31 bits of SHA-256 over (charger, connector, idTag, timestamp as sent, meterStart), never 0.
///
/// A retry has the same five, so every node gives it the same id and none needs to ask another.
#[must_use]
pub fn transaction_id(charger: &str, start: &start_transaction::Request<'_>) -> i32 {
    let mut hash = Sha256::new();
    let connector = start.connector_id.get().to_string();
    let meter = start.meter_start.energy_e4().to_string();
    for part in [charger, &connector, start.id_tag.as_str(), start.timestamp.text(), &meter] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    // The first four bytes that give an id; all-zero ones are skipped.
    digest.as_chunks::<4>().0.iter().map(|bytes| i32::from_be_bytes(*bytes) & i32::MAX).find(|id| *id != 0).unwrap_or(1)
}

/// A connector id as events have it; nonsense counts as "the whole charger".
#[must_use]
pub fn connector(id: codecs::ocpp::Int) -> u32 {
    u32::try_from(id.get()).unwrap_or(0)
}

/// The charger's time if it can be read, else when we got it.
#[must_use]
pub fn time_or(timestamp: &Timestamp<'_>, received_ms: i64) -> i64 {
    timestamp.utc_ms().unwrap_or(received_ms)
}

/// `BootNotification`.
#[must_use]
pub fn booted(boot: &boot_notification::Request<'_>) -> ChargerBooted {
    let text = |text: &Option<codecs::ocpp::Text<'_>>| text.as_ref().map(ToString::to_string);
    ChargerBooted {
        vendor: boot.charge_point_vendor.to_string(),
        model: boot.charge_point_model.to_string(),
        firmware: text(&boot.firmware_version).unwrap_or_default(),
        serial: text(&boot.charge_point_serial_number)
            .or_else(|| text(&boot.charge_box_serial_number))
            .unwrap_or_default(),
        iccid: text(&boot.iccid).unwrap_or_default(),
        connectors: 0,
        protocol_version: 16,
        accepted: true,
    }
}

/// A connector's state in the common language.
#[must_use]
pub const fn status_of(status: &ChargePointStatus<'_>) -> ConnectorStatus {
    match status {
        ChargePointStatus::Available => ConnectorStatus::Available,
        ChargePointStatus::Preparing => ConnectorStatus::Occupied,
        ChargePointStatus::Charging => ConnectorStatus::Charging,
        ChargePointStatus::SuspendedEVSE | ChargePointStatus::SuspendedEV => ConnectorStatus::Suspended,
        ChargePointStatus::Finishing => ConnectorStatus::Finishing,
        ChargePointStatus::Reserved => ConnectorStatus::Reserved,
        ChargePointStatus::Unavailable => ConnectorStatus::Unavailable,
        ChargePointStatus::Faulted => ConnectorStatus::Faulted,
        ChargePointStatus::Unknown(_) => ConnectorStatus::Unspecified,
    }
}

/// `StatusNotification`, and what it said besides.
#[must_use]
pub fn status_changed(status: &status_notification::Request<'_>) -> (StatusChanged, Vec<Leftover>) {
    let state = status_of(&status.status);
    let error_code = match &status.error_code {
        ChargePointErrorCode::NoError => String::new(),
        other => other.as_str().to_owned(),
    };
    let body = StatusChanged {
        status: state.into(),
        plugged: match state {
            ConnectorStatus::Available => Some(false),
            ConnectorStatus::Charging | ConnectorStatus::Suspended | ConnectorStatus::Finishing => Some(true),
            _ => None,
        },
        error_code,
        info: status.info.as_ref().map(ToString::to_string).unwrap_or_default(),
        session: String::new(),
    };
    let mut leftovers = Vec::new();
    for (name, text) in [("vendorId", &status.vendor_id), ("vendorErrorCode", &status.vendor_error_code)] {
        if let Some(text) = text {
            leftovers.push(json_leftover(name, text));
        }
    }
    if let ChargePointStatus::Unknown(word) = &status.status {
        leftovers.push(json_leftover("status", word));
    }
    (body, leftovers)
}

fn json_leftover(name: &str, text: &str) -> Leftover {
    Leftover { name: name.to_owned(), value: serde_json::Value::from(text).to_string().into_bytes().into() }
}

/// `StartTransaction`, with the id that it gets.
#[must_use]
pub fn session_started(
    start: &start_transaction::Request<'_>,
    transaction_id: i32,
    received_ms: i64,
) -> SessionStarted {
    let started_at_ms = time_or(&start.timestamp, received_ms);
    SessionStarted {
        session: transaction_id.to_string(),
        token: start.id_tag.to_string(),
        started_at_ms,
        meter_start_e4: register(start.meter_start),
        // Said minutes after it happened: the station was alone then.
        offline: received_ms - started_at_ms > 120_000,
        reservation: start.reservation_id.map(codecs::ocpp::Int::get),
    }
}

fn register(meter: MeterWh) -> Option<u64> {
    u64::try_from(meter.energy_e4()).ok()
}

/// One `meterValue` element: a sample, and the sampled values that no field of it holds.
#[must_use]
pub fn meter_sampled(value: &MeterValue<'_>, session: String, billable: bool) -> (MeterSampled, Vec<Leftover>) {
    let mut sample = MeterSampled { session, billable, ..MeterSampled::default() };
    let mut unread: Vec<&SampledValue<'_>> = Vec::new();
    for sampled in &value.sampled_value {
        if !(sampled.is_total() && at_meter(sampled) && !sampled.is_signed_data() && take(&mut sample, sampled)) {
            unread.push(sampled);
        }
    }
    let mut leftovers = Vec::new();
    if !unread.is_empty()
        && let Ok(json) = serde_json::to_vec(&unread)
    {
        leftovers.push(Leftover { name: "sampledValue".to_owned(), value: json.into() });
    }
    (sample, leftovers)
}

/// True for a reading of what the charger delivers: at its outlet, which is what no location means. Current, power and energy at the
/// inlet, in the cable or in the car are other figures; only state of charge and temperature are read wherever they are measured.
fn at_meter(sampled: &SampledValue<'_>) -> bool {
    matches!(sampled.measurand(), Measurand::StateOfCharge | Measurand::Temperature)
        || *sampled.location() == Location::Outlet
}

/// Takes a sampled value into its field; false if there is none for it, or one was taken already.
fn take(sample: &mut MeterSampled, sampled: &SampledValue<'_>) -> bool {
    fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
        if field.is_some() || value.is_none() {
            return false;
        }
        *field = value;
        true
    }
    let unsigned = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
    let signed = |value: Option<i64>| value.and_then(|value| i32::try_from(value).ok());
    match sampled.measurand() {
        Measurand::EnergyActiveImportRegister => {
            set(&mut sample.register_e4, sampled.energy_e4().and_then(|energy| u64::try_from(energy).ok()))
        }
        Measurand::Voltage => set(&mut sample.voltage_dv, unsigned(sampled.base_unit_scaled(1))),
        Measurand::CurrentImport => set(&mut sample.current_da, signed(sampled.base_unit_scaled(1))),
        Measurand::PowerActiveImport => set(&mut sample.power_w, sampled.base_unit_scaled(0)),
        Measurand::StateOfCharge => set(&mut sample.soc_percent, unsigned(sampled.scaled(0))),
        Measurand::Temperature if !matches!(sampled.unit, Some(Unit::K | Unit::Fahrenheit)) => {
            set(&mut sample.temperature_c, signed(sampled.scaled(0)))
        }
        _ => false,
    }
}

/// `StopTransaction`; `payload` is its JSON text.
///
/// The digest covers what a retry repeats (transaction, meter, time, reason), not the spelling of the message.
#[must_use]
pub fn recorded(stop: &stop_transaction::Request<'_>, payload: &str, received_ms: i64) -> TransactionRecorded {
    let transaction = stop.transaction_id.get().to_string();
    let reason_raw = stop.reason.as_ref().map(|reason| reason.as_str().to_owned()).unwrap_or_default();
    let mut hash = Sha256::new();
    let meter = stop.meter_stop.energy_e4().to_string();
    for part in [transaction.as_str(), &meter, stop.timestamp.text(), &reason_raw] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    // 0 and -1 are what stations send that never got an id: not one session, but each stop one of its own.
    let session = if stop.transaction_id.get() > 0 { transaction } else { hex::encode(digest) };
    let samples = stop
        .transaction_data
        .iter()
        .flatten()
        .filter_map(|value| {
            let total = value.total(&Measurand::EnergyActiveImportRegister).filter(|total| at_meter(total))?;
            let register_e4 = u64::try_from(total.energy_e4()?).ok()?;
            Some(Sample { at_ms: value.timestamp.utc_ms()?, register_e4 })
        })
        .collect();
    TransactionRecorded {
        digest: digest.to_vec().into(),
        started_at_ms: None,
        ended_at_ms: time_or(&stop.timestamp, received_ms),
        meter_start_e4: None,
        meter_end_e4: register(stop.meter_stop),
        energy_e4: None,
        energy_loss_e4: None,
        amount_e4: None,
        currency: "CNY".to_owned(),
        periods: Vec::new(),
        samples,
        vin: String::new(),
        card: String::new(),
        token: stop.id_tag.as_ref().map(ToString::to_string).unwrap_or_default(),
        start_mode: 0,
        start_flag_raw: 0,
        stop_reason: stop_reason(stop.reason.as_ref()).to_owned(),
        stop_reason_raw: reason_raw,
        raw: payload.as_bytes().to_vec().into(),
        session,
    }
}

/// The form common to all protocols.
#[must_use]
pub const fn stop_reason(reason: Option<&Reason<'_>>) -> &'static str {
    match reason {
        Some(Reason::Remote) => "remote_user",
        Some(Reason::Local) => "local_user",
        Some(Reason::DeAuthorized) => "balance",
        Some(Reason::EmergencyStop) => "emergency_stop",
        Some(Reason::EVDisconnected | Reason::UnlockCommand) => "unplugged",
        Some(Reason::PowerLoss | Reason::Reboot | Reason::HardReset | Reason::SoftReset) => "power_loss",
        Some(Reason::Other | Reason::Unknown(_)) | None => "unknown",
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"timestamp": "2025-11-11T02:00:00Z", "sampledValue": [
        {"value": "90000", "location": "EV"},
        {"value": "70000", "location": "Inlet"},
        {"value": "12", "measurand": "Power.Active.Import", "unit": "kW", "location": "Cable"},
        {"value": "61", "measurand": "SoC", "location": "EV"},
        {"value": "1500"},
        {"value": "11", "measurand": "Power.Active.Import", "unit": "kW", "location": "Outlet"}]}"#;

    #[test]
    fn the_meter_is_at_the_outlet() {
        let value: MeterValue<'_> = serde_json::from_str(TEXT).expect("a meter value");
        let (sample, leftovers) = meter_sampled(&value, "5".to_owned(), true);
        assert_eq!((sample.register_e4, sample.power_w, sample.soc_percent), (Some(15_000), Some(11_000), Some(61)));
        let kept = std::str::from_utf8(&leftovers[0].value).expect("text");
        assert!(["90000", "70000", "Cable"].iter().all(|said| kept.contains(said)), "{kept}");
    }

    #[test]
    fn what_only_the_car_counted_is_no_reading_of_the_meter() {
        let car = r#"{"timestamp": "2025-11-11T02:00:00Z", "sampledValue": [{"value": "90000", "location": "EV"}]}"#;
        let value: MeterValue<'_> = serde_json::from_str(car).expect("a meter value");
        let (sample, leftovers) = meter_sampled(&value, "5".to_owned(), true);
        assert_eq!((sample.register_e4, leftovers.len()), (None, 1));
        let text = format!(
            r#"{{"transactionId": 5, "meterStop": 2000, "timestamp": "2025-11-11T03:00:00Z", "transactionData": [{car}, {TEXT}]}}"#
        );
        let stop: stop_transaction::Request<'_> = serde_json::from_str(&text).expect("a stop");
        let samples = recorded(&stop, &text, 0).samples;
        assert_eq!(samples.iter().map(|sample| sample.register_e4).collect::<Vec<_>>(), [15_000]);
    }
}

//! Any text as a message: read or refused, never a panic; a request without deviation can be written and read again.
#![no_main]

use codecs::ocpp::{
    Envelope, Payload, Timestamp, scale_decimal, scan_envelope,
    v16::{CsmsCall, StationCall, heartbeat, meter_values, stop_transaction},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = (Timestamp::from_text(text.into()).utc_ms(), scale_decimal(text, 4));
    let Ok(envelope) = scan_envelope(text) else { return };
    if envelope.check().is_ok() {
        let whole: serde_json::Value = serde_json::from_str(text).expect("a checked message is JSON");
        assert!(whole.is_array());
    }
    let _ = stop_transaction::Response::parse(envelope.payload());
    let _ = meter_values::Request::parse(envelope.payload());
    let Envelope::Call { id, action, payload } = &envelope else { return };
    let mut out = Vec::new();
    if let Ok(call) = StationCall::parse(action, payload) {
        if let StationCall::MeterValues(values) = &call {
            let _ = values.meter_value.iter().filter_map(|value| value.energy_import_register_e4()).max();
        }
        if call.write(&mut out, id.as_str()).is_ok() {
            assert!(call.deviations().is_empty());
            let again = std::str::from_utf8(&out).expect("we write UTF-8");
            let Ok(Envelope::Call { payload, .. }) = scan_envelope(again) else { panic!("{again}") };
            let mut twice = Vec::new();
            StationCall::parse(action, payload).expect("what we write").write(&mut twice, id.as_str()).expect("again");
            assert_eq!(out, twice);
        } else {
            assert!(out.is_empty() && !call.deviations().is_empty());
        }
    }
    if let Ok(call) = CsmsCall::parse(action, payload) {
        let _ = call.write(&mut out, id.as_str());
    }
    let _ = heartbeat::Response::parse(payload);
});

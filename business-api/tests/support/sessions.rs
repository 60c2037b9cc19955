//! Sessions as the gateway tells of them.

use std::ops::Range;

use events::proto::{self, envelope::Body};

use super::{App, YKC, record, started};

pub fn session(counter: u64) -> String {
    format!("{YKC}01{counter:016}")
}

pub fn authorized(session: &str, token: &str) -> Body {
    Body::SessionAuthorized(proto::SessionAuthorized {
        session: session.to_owned(),
        token: token.to_owned(),
        start_mode: proto::StartMode::Card.into(),
        tariff: "S01/1".to_owned(),
    })
}

pub fn sample(session: &str, energy_e4: u64) -> proto::MeterSampled {
    proto::MeterSampled {
        session: session.to_owned(),
        energy_e4: Some(energy_e4),
        power_w: Some(60_000),
        status: proto::ConnectorStatus::Charging.into(),
        ..proto::MeterSampled::default()
    }
}

/// Whole sessions of 20 kWh, 2147 fen each.
pub fn sessions(app: &App, numbers: Range<u64>) {
    let t = app.now();
    for n in numbers {
        let session = session(n);
        app.say(YKC, 1, t, authorized(&session, "00000000d1000001"));
        app.say(YKC, 1, t, started(&session, "", t, None));
        app.say(YKC, 1, t, Body::TransactionRecorded(record(&session, t - 60_000 * 50, t, 200_000)));
    }
}

/// As many orders are COMPLETED.
pub async fn settled(app: &App, orders: u64) -> serde_json::Value {
    app.until("/v1/summary", |body| body["orders"]["COMPLETED"].as_u64() == Some(orders)).await
}

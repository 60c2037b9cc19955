//! Live state of chargers and connectors. Only the newest connection speaks for a charger: what an older epoch still says about
//! live state is dropped, what it says about money never is.

use std::cmp::Ordering;

use events::proto::{ConnectorStatus, Envelope, envelope::Body};

use super::alarms;
use crate::{
    store::live::{Connector, Live},
    work::Work,
};

/// Which of a charger's connections an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// One that was replaced, or a charger that nobody knows.
    Older,
    /// The newest known.
    Newest,
    /// A newer one than all known: the newest from now on.
    New,
}

/// Which connection the event comes from; a newer one than all known becomes the newest.
pub(super) fn connection(work: &mut Work, event: &Envelope) -> Connection {
    let epoch = i64::try_from(event.epoch).unwrap_or(i64::MAX);
    let Some(charger) = work.chargers.get_mut(&event.charger) else { return Connection::Older };
    match epoch.cmp(&charger.live.epoch) {
        Ordering::Less => Connection::Older,
        Ordering::Equal => Connection::Newest,
        Ordering::Greater => {
            charger.live.epoch = epoch;
            work.live_changed.insert(event.charger.clone());
            Connection::New
        }
    }
}

/// Takes over what the event says about now.
pub(super) fn note(work: &mut Work, event: &Envelope, from: Connection) {
    let at_ms = event.received_at_ms;
    match &event.body {
        Some(Body::Connected(it)) => {
            // Of a connection that the charger's row has heard of since (the log is read again) it is no news.
            let known_ms = work.chargers.get(&event.charger).map_or(0, |view| view.live.changed_at_ms);
            let again = from == Connection::Newest && at_ms <= known_ms;
            charger(work, event, |live| {
                live.online = true;
                live.node.clone_from(&event.node);
                live.remote_address.clone_from(&it.remote_address);
                live.changed_at_ms = at_ms;
            });
            if !again {
                alarms::connected(work, event);
            }
        }
        Some(Body::AlarmRaised(it)) => alarms::note(work, event, it),
        Some(Body::Disconnected(_)) => {
            charger(work, event, |live| {
                // Said again, or for a gateway that died: it is offline since the first time.
                if std::mem::replace(&mut live.online, false) {
                    live.changed_at_ms = at_ms;
                }
            });
            let all = work.chargers.get(&event.charger).map_or(0, |view| view.connectors);
            for number in 1..=all {
                connector(work, event, number, |row| {
                    "offline".clone_into(&mut row.status);
                    row.power_w = None;
                    row.current_da = None;
                });
            }
        }
        Some(Body::ChargerBooted(it)) => charger(work, event, |live| {
            live.vendor.clone_from(&it.vendor);
            live.model.clone_from(&it.model);
            live.firmware.clone_from(&it.firmware);
        }),
        Some(Body::ClockReported(it)) => {
            let mut before_ms = 0;
            charger(work, event, |live| before_ms = std::mem::replace(&mut live.skew_ms, it.skew_ms));
            alarms::clock(work, event, before_ms, it.skew_ms);
        }
        Some(Body::TariffChecked(it)) if it.delivered => {
            charger(work, event, |live| live.tariff_hash.clone_from(&it.tariff_hash));
        }
        Some(Body::StatusChanged(it)) => connector(work, event, event.connector, |row| {
            status(row, it.status(), it.plugged);
            row.error_code = clean(&it.error_code);
            if !it.session.is_empty() {
                row.session = clean(&it.session);
            }
        }),
        Some(Body::SessionStarted(it)) => {
            connector(work, event, event.connector, |row| row.session = clean(&it.session))
        }
        Some(Body::SessionEnded(it)) => connector(work, event, event.connector, |row| {
            if row.session == it.session {
                over(row);
            }
        }),
        Some(Body::MeterSampled(it)) => connector(work, event, event.connector, |row| {
            if row.updated_at_ms > at_ms {
                return; // live data comes on a topic of its own and may be older than what is known
            }
            status(row, it.status(), it.plugged);
            if !it.session.is_empty() {
                row.session = clean(&it.session);
            }
            row.power_w = it.power_w.or(row.power_w);
            row.voltage_dv = it.voltage_dv.map(i64::from).or(row.voltage_dv);
            row.current_da = it.current_da.map(i64::from).or(row.current_da);
            row.soc_percent = it.soc_percent.map(i64::from).or(row.soc_percent);
            row.energy_e4 = it.energy_e4.and_then(|energy| i64::try_from(energy).ok()).or(row.energy_e4);
        }),
        _ => {}
    }
}

fn charger(work: &mut Work, event: &Envelope, change: impl FnOnce(&mut Live)) {
    if let Some(view) = work.chargers.get_mut(&event.charger) {
        change(&mut view.live);
        for text in [
            &mut view.live.node,
            &mut view.live.remote_address,
            &mut view.live.vendor,
            &mut view.live.model,
            &mut view.live.firmware,
            &mut view.live.tariff_hash,
        ] {
            if text.contains('\0') {
                *text = clean(text);
            }
        }
        // What is said for a gateway that died, nobody saw.
        if event.number != 0 || !matches!(event.body, Some(Body::Disconnected(_))) {
            view.live.seen_at_ms = view.live.seen_at_ms.max(event.received_at_ms);
        }
        work.live_changed.insert(event.charger.clone());
    }
}

fn connector(work: &mut Work, event: &Envelope, number: u32, change: impl FnOnce(&mut Connector)) {
    // 0 is the whole charger; a number beyond the registry's is a charger that is registered wrongly: not kept.
    if let Some(row) = work.connectors.get_mut(&(event.charger.clone(), number)) {
        change(row);
        row.epoch = i64::try_from(event.epoch).unwrap_or(i64::MAX);
        row.updated_at_ms = row.updated_at_ms.max(event.received_at_ms);
        work.connectors_changed.insert((event.charger.clone(), number));
    }
}

fn status(row: &mut Connector, status: ConnectorStatus, plugged: Option<bool>) {
    if status != ConnectorStatus::Unspecified {
        name(status).clone_into(&mut row.status);
    }
    row.plugged = plugged.or(row.plugged);
    match status {
        ConnectorStatus::Available => over(row),
        ConnectorStatus::Finishing | ConnectorStatus::Occupied | ConnectorStatus::Faulted => {
            row.power_w = None;
            row.current_da = None;
        }
        _ => {}
    }
}

fn over(row: &mut Connector) {
    row.session.clear();
    row.power_w = None;
    row.voltage_dv = None;
    row.current_da = None;
    row.soc_percent = None;
    row.energy_e4 = None;
}

const fn name(status: ConnectorStatus) -> &'static str {
    match status {
        ConnectorStatus::Unspecified => "unknown",
        ConnectorStatus::Offline => "offline",
        ConnectorStatus::Available => "available",
        ConnectorStatus::Occupied => "occupied",
        ConnectorStatus::Charging => "charging",
        ConnectorStatus::Suspended => "suspended",
        ConnectorStatus::Finishing => "finishing",
        ConnectorStatus::Reserved => "reserved",
        ConnectorStatus::Unavailable => "unavailable",
        ConnectorStatus::Faulted => "faulted",
    }
}

/// PostgreSQL takes no U+0000 in a text; a charger that sends one means nothing by it.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', "")
}

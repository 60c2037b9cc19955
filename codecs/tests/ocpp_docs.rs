//! The documents name every label of the code, with its answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use codecs::{
    ocpp::{Deviation, EnvelopeErrorKind, PayloadErrorKind, v16::Action},
    ws::WsErrorKind,
};

const OCPP: &str = include_str!("../../docs/protocol/ocpp.md");
const WEBSOCKET: &str = include_str!("../../docs/protocol/websocket.md");

fn row<'d>(document: &'d str, label: &str) -> &'d str {
    let start = format!("| `{label}` |");
    document.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{label} has no row"))
}

#[test]
fn every_label_has_its_row() {
    for deviation in Deviation::ALL {
        row(OCPP, deviation.label());
    }
    for kind in PayloadErrorKind::ALL {
        let row = row(OCPP, kind.label());
        assert!(row.ends_with(&format!("| {} |", kind.error_code().as_v16())), "{row}");
    }
    for kind in EnvelopeErrorKind::ALL {
        let row = row(OCPP, kind.label());
        let answered = row.ends_with(&format!("| {} |", kind.error_code().as_v16()));
        let silent = row.ends_with("| – |") || row.contains("| none");
        assert!(answered || silent, "{row}");
    }
    for kind in WsErrorKind::ALL {
        let row = row(WEBSOCKET, kind.label());
        assert!(row.ends_with(&format!("| {} |", kind.close_code().get())), "{row}");
    }
}

#[test]
fn the_table_of_actions_is_what_the_code_does() {
    use codecs::ocpp::v16::{CallRefusal, CsmsCall, StationCall};
    let rows: Vec<Vec<&str>> = OCPP
        .lines()
        .skip_while(|line| !line.starts_with("| action |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let seen = |refusal: Option<CallRefusal>, action: Action| match refusal {
        Some(CallRefusal::UnknownAction) => "unknown: NotImplemented",
        Some(CallRefusal::NotSupported(_)) if action.empty_response().is_some() => "known",
        Some(CallRefusal::NotSupported(_)) => "NotSupported",
        Some(CallRefusal::BadPayload(..)) | None => "typed",
    };
    for action in Action::ALL {
        let named = rows.iter().find(|row| row[1].split(", ").any(|name| name == action.name()));
        let station = seen(StationCall::parse(action.name(), "{}").err(), *action);
        let csms = seen(CsmsCall::parse(action.name(), "{}").err(), *action);
        match named {
            Some(row) => assert!(row[2].starts_with(station) && row[3].starts_with(csms), "{row:?}"),
            // "any other of its direction"
            None => assert!(matches!((station, csms), ("NotSupported", _) | (_, "NotSupported")), "{action}"),
        }
    }
}

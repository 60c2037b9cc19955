//! What an event means to orders, applied to the unit of work.

use events::{
    card,
    prost::Message as _,
    proto::{CommandAnswered, CommandOutcome, Envelope, envelope::Body},
};

use super::live::clean;
use crate::{
    order::{AnswerTo, Incoming, Input, Opening, Order, Record, SaidStart, StartMode, Target, answered, incoming},
    store::tokens::Token,
    work::Work,
};

/// Applies an event of the newest connection.
///
/// # Errors
/// Why it cannot mean anything: it goes to the dead letters.
pub(super) fn apply(work: &mut Work, event: &Envelope) -> Result<(), String> {
    for heard in incoming(event) {
        apply_one(work, event, heard)?;
    }
    Ok(())
}

/// Applies what counts also from a connection that has been replaced: money, and answers to commands.
///
/// # Errors
/// As [`apply`].
pub(super) fn apply_stale(work: &mut Work, event: &Envelope) -> Result<(), String> {
    for heard in incoming(event) {
        if outlasts_connection(&heard) {
            apply_one(work, event, heard)?;
        }
    }
    Ok(())
}

/// Whether anything of the event is more than a word about now: money, or the answer to a command.
pub(super) fn matters_later(event: &Envelope) -> bool {
    incoming(event).iter().any(outlasts_connection)
}

const fn outlasts_connection(heard: &Incoming) -> bool {
    match heard {
        Incoming::Input { target, .. } => matches!(target, Target::Session(_)),
        Incoming::Clock { .. } => false,
        _ => true,
    }
}

/// The tag of an order in what a charger says, in whatever case: "R" and 19 more.
pub(super) fn order_tag(said: &str) -> Option<String> {
    let tag = said.to_ascii_uppercase();
    (tag.len() == 20 && tag.starts_with('R') && tag.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(tag)
}

fn apply_one(work: &mut Work, event: &Envelope, heard: Incoming) -> Result<(), String> {
    let at_ms = event.received_at_ms;
    let charger = event.charger.as_str();
    match heard {
        Incoming::Input { target, input } => {
            let orders = match target {
                Target::Session(session) => {
                    work.by_session(charger, &session, event.occurred_at_ms).into_iter().collect()
                }
                Target::Connector(connector) => work.live_orders(charger, Some(connector)),
                Target::Charger => work.live_orders(charger, None),
            };
            for order_no in orders {
                give(work, &order_no, at_ms, input.clone());
            }
        }
        Incoming::Authorized { session, token, start_mode, tariff } => {
            check(&session)?;
            if let Some(order_no) = work.by_session(charger, &session, event.occurred_at_ms) {
                claim_orphan(work, event, &order_no, &token);
            } else {
                let payer = payer_named(work, &token);
                let placed = work.place(charger, event.connector, at_ms, payer, &clean(&tariff));
                let order_no = work.open(placed, at_ms, &Opening::Authorized { session, start_mode }, "event");
                take_connector(work, event, &order_no, None);
            }
        }
        Incoming::Started { session, token, input, offline } => {
            check(&session)?;
            started(work, event, session, &token, input, offline);
        }
        Incoming::Recorded(record) => {
            check(&record.session)?;
            recorded(work, event, *record);
        }
        Incoming::Sampled(reading) => {
            let order_no = work.by_session(charger, &reading.session, reading.at_ms);
            match order_no.as_deref().and_then(|order_no| work.order(order_no)).map(|row| &row.facts.order) {
                None if check(&reading.session).is_ok() => work.wait(charger, reading),
                None => {}
                Some(order) => match reading.relative(order.meter_start) {
                    Some(sample) => work.keep_sample(&order_no.unwrap_or_default(), sample),
                    None if order.meter_start.is_none() && order.settled.is_none() => work.wait(charger, reading),
                    None => {} // less than at the start
                },
            }
        }
        Incoming::Answered { .. } => {
            if let Some(Body::CommandAnswered(answer)) = &event.body {
                command_answered(work, at_ms, answer);
            }
        }
        Incoming::Clock { .. } => {} // kept with the live state
        Incoming::Unreadable(why) => return Err(why.to_string()),
    }
    Ok(())
}

/// A session names rows: what no row can hold cannot be applied.
fn check(session: &str) -> Result<(), String> {
    let fits = (1..=64).contains(&session.len()) && session.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(()).ok_or_else(|| "the session is not 1 to 64 printable characters".to_owned())
}

fn give(work: &mut Work, order_no: &str, at_ms: i64, input: Input) {
    // An impossible pair of state and input is counted where it is found; it never blocks a partition.
    let _ = work.step(order_no, at_ms, input);
}

/// A session begins on the connector: of those known there only the last can be running. That is another than this one when this
/// event was held up on its way: it was received before the other began to charge, or (`queued_from_ms`) the charger was offline then
/// and its own clock says so.
fn take_connector(work: &mut Work, event: &Envelope, order_no: &str, queued_from_ms: Option<i64>) {
    let at_ms = event.received_at_ms;
    let earliest_ms = work.rules.limits.earliest_ms;
    let from_ms = queued_from_ms.filter(|from_ms| *from_ms >= earliest_ms);
    let mut overtaken = false;
    for other in work.live_orders(&event.charger, Some(event.connector)) {
        let Some(order) = work.order(&other).map(|row| &row.facts.order).filter(|_| other != order_no) else {
            continue;
        };
        let heard_later = order.charging_at_ms.is_some_and(|charging_at_ms| at_ms < charging_at_ms);
        let began_later = order.started_at_ms.zip(from_ms).is_some_and(|(other_ms, from_ms)| from_ms < other_ms);
        if heard_later || began_later {
            overtaken = true;
        } else {
            give(work, &other, at_ms, Input::ConnectorTaken);
        }
    }
    if overtaken {
        give(work, order_no, at_ms, Input::ConnectorTaken);
    }
}

fn started(work: &mut Work, event: &Envelope, session: String, token: &str, input: Input, offline: bool) {
    let (charger, at_ms) = (event.charger.as_str(), event.received_at_ms);
    let Input::SessionStarted { started_at_ms, meter_start, .. } = input else { return };
    let queued_from_ms = offline.then_some(started_at_ms);
    let said = SaidStart { token: &clean(token), started_at_ms, meter_start };
    let of_tag = || order_tag(token).and_then(|tag| work.by_tag(charger, &tag));
    let found = work.by_start(charger, &session, said).or_else(of_tag);
    if let Some(order_no) = found {
        // Said again (a repeat, a reconnect) it is no news, and whoever charges there now keeps the connector.
        let first = work.order(&order_no).is_some_and(|row| row.facts.order.has_no_start_yet());
        give(work, &order_no, at_ms, input);
        claim_orphan(work, event, &order_no, token);
        if first {
            take_connector(work, event, &order_no, queued_from_ms);
        }
        return;
    }
    let another = work.of_another(charger, &session);
    let payer = payer_named(work, token).filter(|_| another.is_none());
    let tariff = bound_tariff(work, charger);
    let placed = work.place(charger, event.connector, at_ms, payer, &tariff);
    let id_tag = Some(clean(token)).filter(|tag| !tag.is_empty());
    let opening = Opening::Started { session, id_tag, started_at_ms, meter_start, offline };
    let order_no = work.open(placed, at_ms, &opening, "event");
    if let Some(another) = another {
        tell_apart(work, at_ms, &order_no, &another);
    }
    take_connector(work, event, &order_no, queued_from_ms);
}

fn recorded(work: &mut Work, event: &Envelope, mut record: Record) {
    let (charger, at_ms) = (event.charger.as_str(), event.received_at_ms);
    let Some(Body::TransactionRecorded(body)) = &event.body else { return };
    for text in
        [&mut record.vin, &mut record.card, &mut record.token, &mut record.stop_reason, &mut record.stop_reason_raw]
    {
        *text = clean(text);
    }
    let found = work.by_record(charger, &record);
    if found.as_ref().is_some_and(|order_no| work.knows_record(order_no, &record.digest.to_string())) {
        work.metrics.duplicates.increment(1); // T28
        return;
    }
    let body = body.encode_to_vec();
    work.with_record(body, |work| match found {
        Some(order_no) => {
            let left = |order: &Order| order.charger != charger && order.record.is_none();
            if work.order(&order_no).is_some_and(|row| left(&row.facts.order)) {
                work.remark(&order_no, at_ms, "record_by_another", format!("charger {charger} delivers its record"));
            }
            give(work, &order_no, at_ms, Input::Recorded(Box::new(record)));
        }
        None => {
            let another = work.of_another(charger, &record.session);
            let payer = payer_of(work, &record).filter(|_| another.is_none());
            let tariff = bound_tariff(work, charger);
            let placed = work.place(charger, event.connector, at_ms, payer, &tariff);
            let order_no = work.open(placed, at_ms, &Opening::Recorded(Box::new(record)), "event");
            if let Some(another) = another {
                tell_apart(work, at_ms, &order_no, &another);
            }
        }
    });
}

/// Two orders of two chargers have one trade number: each says so on its timeline, for whoever looks at one of them.
fn tell_apart(work: &mut Work, at_ms: i64, order_no: &str, another: &str) {
    for (one, other) in [(order_no, another), (another, order_no)] {
        let Some(charger) = work.order(other).map(|row| row.facts.order.charger.clone()) else { continue };
        let detail = format!("order {other} of charger {charger} has this trade number");
        work.remark(one, at_ms, "number_of_another", detail);
    }
}

/// The start of a session whose record came first says who pays for it: a token's account, or the payer of the order it names.
fn claim_orphan(work: &mut Work, event: &Envelope, order_no: &str, token: &str) {
    let orphan = work.order(order_no).map(|row| &row.facts.order).filter(|order| order.is_orphan());
    let Some(session) = orphan.and_then(|order| order.session.as_deref()) else { return };
    if work.of_another(&event.charger, session).is_some() {
        return;
    }
    let of_order = || {
        let named = work.by_tag(&event.charger, &order_tag(token)?)?;
        work.order(&named)?.facts.order.payer.clone()
    };
    if let Some(payer) = payer_named(work, token).or_else(of_order) {
        give(work, order_no, event.received_at_ms, Input::PayerKnown { payer });
    }
}

/// Who pays for a record that no order belongs to: whose card, idTag or car it names.
fn payer_of(work: &Work, record: &Record) -> Option<String> {
    match record.start_mode {
        StartMode::Vin => payer_named(work, &record.vin),
        _ if record.token.is_empty() => payer_of_card(work, &record.card),
        _ => payer_named(work, &record.token),
    }
}

/// Who pays for a physical card ([`card::find`]).
fn payer_of_card(work: &Work, said: &str) -> Option<String> {
    card::find(said, |uid| token_named(work, uid), |token| token.kind == "card").map(|token| token.account.clone())
}

/// Who pays for a card, a car or an idTag, in whatever case it is said (an idTag has none: OCPP 1.6 CiString20).
fn payer_named(work: &Work, said: &str) -> Option<String> {
    token_named(work, said).map(|token| token.account.clone())
}

fn token_named<'a>(work: &'a Work, said: &str) -> Option<&'a Token> {
    work.tokens.get(&said.to_ascii_lowercase())
}

fn bound_tariff(work: &Work, charger: &str) -> String {
    work.chargers.get(charger).map(|view| view.tariff.clone()).unwrap_or_default()
}

fn command_answered(work: &mut Work, at_ms: i64, answer: &CommandAnswered) {
    let Some(mut row) = work.commands.get(&answer.command_id).cloned() else { return };
    if row.answered_at_ms.is_some() && row.state != "connection_lost" {
        // Not plugged in time, then plugged: a second, good answer to a start is possible and moves the order.
        if !(row.kind == "start_charging" && answer.outcome() == CommandOutcome::Accepted) {
            return;
        }
    }
    state_of(answer.outcome()).clone_into(&mut row.state);
    row.code = clean(&answer.code);
    row.answered_at_ms = Some(at_ms);
    let to = match row.kind.as_str() {
        "start_charging" => Some(AnswerTo::Start),
        "stop_charging" => Some(AnswerTo::Stop),
        _ => None,
    };
    let order_no = row.order_no.clone();
    work.put_command(row);
    if let (Some(to), Some(order_no)) = (to, order_no) {
        give(work, &order_no, at_ms, answered(to, answer));
    }
}

const fn state_of(outcome: CommandOutcome) -> &'static str {
    match outcome {
        CommandOutcome::Accepted => "accepted",
        CommandOutcome::Rejected => "rejected",
        CommandOutcome::NoAnswer | CommandOutcome::Unspecified => "no_answer",
        CommandOutcome::ConnectionLost => "connection_lost",
        CommandOutcome::Unsupported => "unsupported",
        CommandOutcome::Expired => "expired",
        CommandOutcome::QueueFull => "queue_full",
    }
}

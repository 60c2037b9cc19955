//! Courses of orders that depend on time or on several inputs: what the transition table cannot show line by line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod order_support;

use business_api::order::{
    Alarm, CloseReason, Effect, ExceptionCode, Hold, Input, Opening, Order, Placed, Protocol, Record, RecordStatus,
    StartMode, State, StopBy, StopGroup, TimerKind, open, order_number, order_tag, step, stop_group, trade_number,
};
use events::units::{EnergyE4, Fen};
use order_support::{
    MINUTE, SESSION, T0, asked, due, effect_names, estimate, placed, policy, record, recorded, situations, started,
};

fn go(order: &Order, at_ms: i64, input: &Input) -> (Order, Vec<String>) {
    let step = step(order, at_ms, input, &policy()).unwrap();
    (step.order, effect_names(&step.effects))
}

#[test]
fn t1_starts_at_once_or_waits_for_the_payment() {
    let held = asked(None, Some(5_000));
    assert_eq!(held.order.state, State::Starting);
    assert_eq!(effect_names(&held.effects), ["freeze_balance 5000", "send_start", "timer start_timeout"]);
    assert_eq!(held.order.hold, Hold::Frozen(Fen(5_000)));
    let prepaid = asked(Some(5_000), None);
    assert_eq!(prepaid.order.state, State::PendingPayment);
    assert_eq!(effect_names(&prepaid.effects), ["timer payment_due"]);
    let postpaid = asked(None, None);
    assert_eq!(effect_names(&postpaid.effects), ["send_start", "timer start_timeout"]);
    let Some(Effect::AppendTimeline(line)) = postpaid.effects.last() else { panic!() };
    assert_eq!((line.transition.as_str(), line.from, line.to, line.at_ms), ("T1", None, State::Starting, T0));
}

#[test]
fn an_approved_card_waits_for_current_without_a_command() {
    let opening = Opening::Authorized { session: SESSION.to_owned(), start_mode: StartMode::Card };
    let step = open(placed(Some("card-1")), T0, &opening, &policy());
    assert_eq!((step.order.state, step.order.start_mode), (State::Starting, StartMode::Card));
    assert_eq!(effect_names(&step.effects), ["timer start_timeout"]);
}

#[test]
fn t6_not_plugged_is_not_final_for_sixty_seconds() {
    let order = asked(None, None).order;
    let refused = Input::StartRefused { code: "05".to_owned(), not_plugged: true };
    let (early, effects) = go(&order, T0 + 59_999, &refused);
    assert_eq!((early.state, effects.len()), (State::Starting, 0));
    let (charging, _) = go(&early, T0 + 70_000, &started());
    assert_eq!(charging.state, State::Charging, "plugged in meanwhile");
    let (late, _) = go(&order, T0 + 60_000, &refused);
    assert_eq!((late.state, late.close_reason), (State::StartFailed, Some(CloseReason::Refused("05".to_owned()))));
}

#[test]
fn t8_fires_at_ninety_seconds_and_not_before() {
    let order = asked(None, None).order;
    let timeout = Input::Timer(TimerKind::StartTimeout);
    assert_eq!(go(&order, T0 + 89_999, &timeout).0, order);
    let (failed, effects) = go(&order, T0 + 90_000, &timeout);
    assert_eq!((failed.state, effects), (State::StartFailed, vec!["send_stop 1".to_owned()]));
    let ocpp = Opening::Asked { session: None, id_tag: Some("R1".to_owned()), prepay: None, hold: None };
    let ocpp = open(Placed { protocol: Protocol::Ocpp, ..placed(Some("user-1")) }, T0, &ocpp, &policy()).order;
    let (failed, effects) = go(&ocpp, T0 + 90_000, &timeout);
    assert_eq!(effects.len(), 0, "no transaction to stop yet");
    let late = Input::SessionStarted {
        session: "77".to_owned(),
        started_at_ms: T0,
        meter_start: Some(EnergyE4(10)),
        connector: 2,
    };
    let (late, effects) = go(&failed, T0 + 95_000, &late);
    assert_eq!((late.state, late.session.as_deref()), (State::StartFailed, Some("77")));
    assert_eq!(late.connector, 2, "where it began, whatever was asked for");
    assert_eq!(effects, ["alarm late_start", "send_stop 1", "timer stop_answer"]);
}

/// T8's own stop went unanswered, then the session begins: it is stopped as often as any, and again when the charger was away and
/// says it once more.
#[test]
fn a_late_start_is_stopped_until_the_charger_says_that_it_is_over() {
    let failed = go(&asked(None, None).order, T0 + 90_000, &Input::Timer(TimerKind::StartTimeout)).0;
    let (accepted, effects) = go(&failed, T0 + 94_000, &Input::StartAccepted);
    assert_eq!((accepted.state, effects), (State::StartFailed, vec!["send_stop 2".to_owned()]));
    let (mut late, effects) = go(&accepted, T0 + 95_000, &started());
    assert_eq!(effects, ["alarm late_start", "send_stop 1", "timer stop_answer"]);
    for attempt in 1..=3 {
        let fired = Input::Timer(TimerKind::StopAnswer { attempt });
        let (next, effects) = go(&late, T0 + 95_000 + i64::from(attempt) * 30_000, &fired);
        assert_eq!(effects, [format!("send_stop {}", attempt + 1), "timer stop_answer".to_owned()]);
        late = next;
    }
    let last = Input::Timer(TimerKind::StopAnswer { attempt: 4 });
    assert_eq!(go(&late, T0 + 4 * MINUTE, &last).1, ["alarm stop_no_answer"]);
    assert_eq!(go(&late, T0 + 4 * MINUTE, &started()).1, ["send_stop 1", "timer stop_answer"], "no second alarm");
    let over = Input::StopRefused { not_charging: true, code: "02".to_owned() };
    for answer in [Input::StopAccepted, over, recorded(1, 300_000)] {
        let quiet = go(&late, T0 + 4 * MINUTE, &answer).0;
        assert_eq!(go(&quiet, T0 + 5 * MINUTE, &last).1.len(), 0, "{answer:?}");
    }
}

fn charging() -> Order {
    go(&asked(None, None).order, T0 + 30_000, &started()).0
}

#[test]
fn t13_needs_two_idle_frames_in_a_row_and_the_same_frame_counts_once() {
    let idle = |order: &Order, after_s: i64| go(order, T0 + after_s * 1_000, &Input::IdleFrame).0;
    let one = idle(&charging(), 60);
    assert_eq!(one.state, State::Charging);
    assert_eq!(idle(&one, 60).state, State::Charging, "told twice, on two topics");
    assert_eq!(idle(&one, 75).state, State::AwaitingRecord);
    let back = go(&one, T0 + 70_000, &Input::StillCharging { energy: None }).0;
    assert_eq!(idle(&back, 75).state, State::Charging, "not in a row");
    let stale = idle(&idle(&charging(), 10), 20);
    assert_eq!(stale.state, State::Charging, "frames from before the start are not about this session");
}

#[test]
fn t15_sends_a_stop_four_times_and_then_alarms_once() {
    let (mut order, first) =
        go(&charging(), T0 + MINUTE, &Input::StopAsked { by: StopBy::User, client: String::new() });
    assert_eq!(first, ["send_stop 1", "timer stop_answer", "timer stop_timeout"]);
    for attempt in 1..=3 {
        let fired = Input::Timer(TimerKind::StopAnswer { attempt });
        let (next, effects) = go(&order, T0 + MINUTE + i64::from(attempt) * 30_000, &fired);
        assert_eq!(effects, [format!("send_stop {}", attempt + 1), "timer stop_answer".to_owned()]);
        assert_eq!(go(&next, T0 + 3 * MINUTE, &fired).1.len(), 0, "an old timer");
        order = next;
    }
    let last = Input::Timer(TimerKind::StopAnswer { attempt: 4 });
    let (alarmed, effects) = go(&order, T0 + 4 * MINUTE, &last);
    assert_eq!((alarmed.state, effects), (State::Stopping, vec!["alarm stop_no_answer".to_owned()]));
    assert_eq!(go(&alarmed, T0 + 5 * MINUTE, &last).1.len(), 0);
    let again = Input::StopAsked { by: StopBy::Operator, client: String::new() };
    assert_eq!(go(&alarmed, T0 + 5 * MINUTE, &again).1, ["send_stop 1", "timer stop_answer"], "somebody tries again");
    assert_eq!(go(&order, T0 + 5 * MINUTE, &again).1.len(), 0, "it is still being sent");
    let (accepted, _) = go(&order, T0 + 4 * MINUTE, &Input::StopAccepted);
    assert_eq!(go(&accepted, T0 + 5 * MINUTE, &last).1.len(), 0, "accepted: nothing to repeat");
}

fn stopping() -> Order {
    go(&charging(), T0 + MINUTE, &Input::StopAsked { by: StopBy::User, client: String::new() }).0
}

#[test]
fn t32_a_stop_that_was_accepted_and_has_no_effect_is_sent_again_and_told_once() {
    let fired = Input::Timer(TimerKind::StopEffect);
    assert_eq!(go(&stopping(), T0 + 4 * MINUTE, &fired).1.len(), 0, "T15 is about what was not answered");
    let mut order = stopping();
    for times in 1..=3 {
        let (accepted, effects) = go(&order, T0 + times * 2 * MINUTE, &Input::StopAccepted);
        assert_eq!(effects, ["timer stop_effect"]);
        assert_eq!(go(&accepted, T0 + times * 2 * MINUTE, &Input::StopAccepted).1.len(), 0, "said twice");
        let still = go(&accepted, T0 + times * 2 * MINUTE + 1, &Input::StillCharging { energy: None }).0;
        let (next, effects) = go(&still, T0 + (times + 1) * 2 * MINUTE, &fired);
        let sent = ["send_stop 1", "timer stop_answer"];
        assert_eq!(effects, if times == 1 { vec!["alarm stop_ignored", sent[0], sent[1]] } else { sent.to_vec() });
        order = next;
    }
    let accepted = go(&order, T0 + 8 * MINUTE, &Input::StopAccepted).0;
    assert_eq!(go(&accepted, T0 + 10 * MINUTE, &fired).1.len(), 0, "three times, then a person has to");
    let asked = Input::StopAsked { by: StopBy::Operator, client: String::new() };
    assert_eq!(go(&accepted, T0 + 20 * MINUTE, &asked).1, ["send_stop 1", "timer stop_answer"]);
    let away = go(&accepted, T0 + 9 * MINUTE, &Input::ChargerOffline).0;
    assert_eq!(go(&away, T0 + 10 * MINUTE, &fired).0, away, "nobody knows");
    let over = go(&accepted, T0 + 9 * MINUTE, &Input::SessionEnded).0;
    assert_eq!(go(&over, T0 + 10 * MINUTE, &fired).0, over);
}

#[test]
fn t33_holds_a_stop_without_an_end_after_a_day_and_a_record_or_an_estimate_settles_it() {
    let timeout = Input::Timer(TimerKind::StopTimeout);
    let day = 24 * 60 * MINUTE;
    let accepted = go(&stopping(), T0 + 2 * MINUTE, &Input::StopAccepted).0;
    for order in [stopping(), accepted] {
        assert_eq!(go(&order, T0 + MINUTE + day - 1, &timeout).0, order);
        let (held, effects) = go(&order, T0 + MINUTE + day, &timeout);
        assert_eq!((held.state, held.exception), (State::Exception, Some(ExceptionCode::StopTimeout)));
        assert_eq!(effects, ["work_item stop_timeout"]);
        assert_eq!(go(&held, T0 + 2 * day, &recorded(1, 300_000)).0.state, State::Settling);
        let estimated = Input::EstimateApproved { estimate: estimate(), payer: None };
        assert_eq!(go(&held, T0 + 2 * day, &estimated).0.state, State::Settling);
    }
}

#[test]
fn a_charger_that_comes_back_and_charges_on_is_stopped_again() {
    let accepted = go(&stopping(), T0 + 2 * MINUTE, &Input::StopAccepted).0;
    let away = go(&accepted, T0 + 3 * MINUTE, &Input::ChargerOffline).0;
    for said in [Input::StillCharging { energy: None }, started()] {
        let (back, effects) = go(&away, T0 + 30 * MINUTE, &said);
        assert_eq!((back.state, back.stop_accepted), (State::Stopping, false));
        assert_eq!(effects, ["send_stop 1", "timer stop_answer"]);
    }
    let charging = go(&charging(), T0 + 3 * MINUTE, &Input::ChargerOffline).0;
    assert_eq!(go(&charging, T0 + 30 * MINUTE, &started()).1.len(), 0, "nobody asked for a stop");
}

#[test]
fn t16_to_t19_offline_and_back() {
    let (offline, effects) = go(&charging(), T0 + MINUTE, &Input::ChargerOffline);
    assert!(offline.charger_offline);
    assert_eq!(effects, ["timer offline_timeout"]);
    let online = go(&offline, T0 + 2 * MINUTE, &Input::ChargerOnline).0;
    assert!(online.charger_offline, "only its data says whether it still charges");
    let older = go(&online, T0 + MINUTE - 1, &Input::StillCharging { energy: None }).0;
    assert!(older.charger_offline, "said before it went");
    let back = go(&online, T0 + 3 * MINUTE, &Input::StillCharging { energy: Some(EnergyE4(7)) }).0;
    assert_eq!((back.state, back.charger_offline, back.energy_seen), (State::Charging, false, Some(EnergyE4(7))));
    let timeout = Input::Timer(TimerKind::OfflineTimeout);
    assert_eq!(go(&back, T0 + 25 * 60 * MINUTE, &timeout).0, back, "the timer of an absence that is over");
    let again = go(&back, T0 + 20 * 60 * MINUTE, &Input::ChargerOffline).0;
    assert_eq!(go(&again, T0 + 25 * 60 * MINUTE, &timeout).0, again, "not 24 h since this one");
    let held = go(&again, T0 + 44 * 60 * MINUTE, &timeout).0;
    assert_eq!((held.state, held.exception), (State::Exception, Some(ExceptionCode::OfflineTimeout)));
    let settling = go(&held, T0 + 72 * 60 * MINUTE, &recorded(1, 300_000)).0;
    assert_eq!((settling.state, settling.exception), (State::Settling, None), "days later is not too late");
}

#[test]
fn t20_t21_wait_for_the_record() {
    let ended = go(&charging(), T0 + MINUTE, &Input::SessionEnded).0;
    let timer = |order: &Order, after_ms, kind| go(order, T0 + MINUTE + after_ms, &Input::Timer(kind));
    assert_eq!(timer(&ended, 29_999, TimerKind::RecordLate).0, ended);
    let (late, effects) = timer(&ended, 30_000, TimerKind::RecordLate);
    assert_eq!((late.record_late, effects), (true, vec!["alarm record_late".to_owned()]));
    assert_eq!(timer(&late, 31_000, TimerKind::RecordLate).1.len(), 0);
    assert_eq!(timer(&late, 599_999, TimerKind::RecordMissing).0, late);
    let (missing, effects) = timer(&late, 600_000, TimerKind::RecordMissing);
    assert_eq!(missing.exception, Some(ExceptionCode::RecordMissing));
    assert_eq!(effects, ["work_item record_missing", "read_live_data"]);
}

#[test]
fn t30_t31_a_record_that_no_order_belongs_to_makes_one() {
    let from = |payer, start_mode| {
        let record = Record { start_mode, ..record(1, 300_000) };
        open(placed(payer), T0, &Opening::Recorded(Box::new(record)), &policy())
    };
    let offline_card = from(Some("card-1"), StartMode::OfflineCard);
    assert_eq!(offline_card.order.state, State::Settling);
    assert_eq!(effect_names(&offline_card.effects), ["store_record 1", "bill"]);
    for orphan in
        [from(None, StartMode::OfflineCard), from(Some("user-1"), StartMode::Remote), from(None, StartMode::Unknown)]
    {
        assert_eq!(orphan.order.exception, Some(ExceptionCode::OrphanRecord));
        assert_eq!(orphan.order.payer, None);
        assert_eq!(effect_names(&orphan.effects), ["store_record 1", "work_item orphan_record"]);
    }
}

#[test]
fn a_session_of_nobody_known_is_held_when_its_record_comes() {
    let opening = Opening::Started {
        session: SESSION.to_owned(),
        id_tag: Some("stranger".to_owned()),
        started_at_ms: T0,
        meter_start: Some(EnergyE4(5)),
        offline: true,
    };
    let order = open(placed(None), T0, &opening, &policy()).order;
    assert_eq!((order.state, order.start_mode), (State::Charging, StartMode::OfflineCard));
    let held = go(&order, T0 + MINUTE, &recorded(1, 300_000)).0;
    assert_eq!(held.exception, Some(ExceptionCode::OrphanRecord));
}

#[test]
fn records_under_one_session_never_overwrite_each_other() {
    let settling = go(&charging(), T0 + MINUTE, &recorded(1, 300_000)).0;
    let (same, effects) = go(&settling, T0 + 2 * MINUTE, &recorded(1, 300_000));
    assert_eq!((same.record_status, effects), (RecordStatus::Duplicate, vec!["count_duplicate".to_owned()]));
    let (other, effects) = go(&same, T0 + 3 * MINUTE, &recorded(2, 290_000));
    assert_eq!(effects, ["store_record 2", "work_item record_conflict"]);
    let (third, effects) = go(&other, T0 + 4 * MINUTE, &recorded(3, 280_000));
    assert_eq!(effects[0], "store_record 3");
    assert_eq!(go(&third, T0 + 5 * MINUTE, &recorded(2, 290_000)).1, ["count_duplicate"]);
    assert_eq!(third.record.as_ref().unwrap().energy, Some(EnergyE4(300_000)), "the first counts");
    assert_eq!((third.record_status, third.other_digests.len()), (RecordStatus::Conflict, 2));
}

#[test]
fn the_money_of_a_prepaid_order_adds_up() {
    let prepaid = go(&asked(Some(5_000), None).order, T0, &Input::PaymentSucceeded { amount: Fen(5_000) }).0;
    let settling = go(&go(&prepaid, T0 + 1, &started()).0, T0 + 2, &recorded(1, 300_000)).0;
    let (collecting, effects) = go(&settling, T0 + 3, &due());
    assert_eq!(effects, ["collect 3867"]);
    let (done, effects) = go(&collecting, T0 + 4, &Input::Collected);
    assert_eq!(
        (done.state, effects),
        (State::Completed, vec!["refund 1133".to_owned(), "announce_completed".to_owned()])
    );
    assert_eq!((done.paid, done.refunded, done.collected), (Fen(5_000), Fen(1_133), Fen(3_867)));
}

#[test]
fn t9_after_the_money_went_back_the_rest_is_owed() {
    let prepaid = go(&asked(Some(5_000), None).order, T0, &Input::PaymentSucceeded { amount: Fen(5_000) }).0;
    let (failed, effects) = go(&prepaid, T0 + 90_000, &Input::Timer(TimerKind::StartTimeout));
    assert_eq!(effects, ["refund 5000", "send_stop 1"]);
    let (settling, effects) = go(&failed, T0 + 60 * MINUTE, &recorded(1, 300_000));
    assert_eq!(effects, [format!("alarm {}", Alarm::LateStart.code()), "store_record 1".to_owned(), "bill".to_owned()]);
    assert_eq!(settling.closed_at_ms, None);
    let collecting = go(&settling, T0 + 61 * MINUTE, &due()).0;
    let (unpaid, effects) = go(&collecting, T0 + 61 * MINUTE, &Input::CollectFailed { collected: Fen(0) });
    assert_eq!((unpaid.state, effects), (State::Unpaid, vec!["block_payer".to_owned()]));
    let (done, effects) = go(&unpaid, T0 + 62 * MINUTE, &Input::ArrearsPaid);
    assert_eq!((done.state, done.refunded), (State::Completed, Fen(5_000)), "refunded once");
    assert_eq!(effects, ["announce_completed", "unblock_payer"]);
}

#[test]
fn a_payment_that_comes_too_late_goes_back() {
    let failed = go(&asked(Some(5_000), None).order, T0 + 15 * MINUTE, &Input::Timer(TimerKind::PaymentDue)).0;
    assert_eq!((failed.state, failed.close_reason.clone()), (State::Cancelled, Some(CloseReason::PaymentTimeout)));
    let (paid, effects) = go(&failed, T0 + 16 * MINUTE, &Input::PaymentSucceeded { amount: Fen(5_000) });
    assert_eq!((paid.state, effects), (State::Cancelled, vec!["refund 5000".to_owned()]));
    assert_eq!(go(&paid, T0 + 17 * MINUTE, &Input::PaymentSucceeded { amount: Fen(5_000) }).1.len(), 0);
}

#[test]
fn an_abnormal_stop_settles_and_alarms() {
    let broken = Record { stop_reason: "charger_fault.overheat".to_owned(), ..record(1, 300_000) };
    let (order, effects) = go(&charging(), T0 + MINUTE, &Input::Recorded(Box::new(broken)));
    assert_eq!((order.state, effects[1].as_str()), (State::Settling, "alarm abnormal_stop"));
    let ocpp = Placed { protocol: Protocol::Ocpp, ..placed(Some("user-1")) };
    let starts = Opening::Started {
        session: SESSION.to_owned(),
        id_tag: None,
        started_at_ms: T0,
        meter_start: None,
        offline: false,
    };
    let unnamed = Record { stop_reason: "unknown".to_owned(), ..record(1, 300_000) };
    let order = open(ocpp, T0, &starts, &policy()).order;
    assert_eq!(
        go(&order, T0, &Input::Recorded(Box::new(unnamed))).1,
        ["store_record 1", "bill"],
        "OCPP's Other says nothing"
    );
    for (reason, group) in [
        ("full", StopGroup::Finished),
        ("remote_user", StopGroup::Finished),
        ("unplugged", StopGroup::Finished),
        ("balance", StopGroup::Finished),
        ("start_failed.bms_timeout", StopGroup::StartFailed),
        ("emergency_stop", StopGroup::Aborted),
        ("bms.insulation", StopGroup::Aborted),
        ("unknown", StopGroup::Aborted),
        ("", StopGroup::Aborted),
    ] {
        assert_eq!(stop_group(reason), group, "{reason}");
    }
}

#[test]
fn an_order_reads_back_as_it_was_written() {
    for (name, order) in situations() {
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order, "{name}");
    }
}

#[test]
fn who_asked_for_a_stop_is_in_the_timeline_every_time() {
    let ask = |by, client: &str| Input::StopAsked { by, client: client.to_owned() };
    let detail = |order: &Order, input: &Input| {
        let step = step(order, T0 + MINUTE, input, &policy()).unwrap();
        let line = step.effects.into_iter().find_map(|effect| match effect {
            Effect::AppendTimeline(line) => Some(line.detail),
            _ => None,
        });
        (step.order, line.unwrap_or_default())
    };
    let (stopping, said) = detail(&charging(), &ask(StopBy::Operator, "console"));
    assert_eq!((stopping.state, said.as_str()), (State::Stopping, "operator, through console"));
    let (still, said) = detail(&stopping, &ask(StopBy::User, "app"));
    assert_eq!((&still, said.as_str()), (&stopping, "asked again: user, through app"));
    assert_eq!(detail(&charging(), &ask(StopBy::Limit, "")).1, "limit");
}

#[test]
fn numbers_are_made_by_the_rule() {
    // 2025-11-11T09:00:00.999+08:00
    assert_eq!(trade_number("10010001000001", 1, T0 + 999, 42).unwrap(), "10010001000001012511110900000042");
    assert_eq!(trade_number("1001000100000A", 12, T0, 9_999).unwrap(), "1001000100000a122511110900009999");
    for (charger, gun, counter) in [
        ("1001", 1, 0),
        ("1001000100000g", 1, 0),
        ("10010001000001", 0, 0),
        ("10010001000001", 100, 0),
        ("10010001000001", 1, 10_000),
    ] {
        assert!(trade_number(charger, gun, T0, counter).is_err(), "{charger} {gun} {counter}");
    }
    let number = order_number(T0, 7, [0, 1, 9, 10, 35, 36, 71, 255]);
    assert_eq!(number, "251111090000000701".to_owned() + "9AZ0Z3");
    let tag = order_tag([35; 19]);
    assert_eq!((tag.len(), tag.as_str()), (20, "RZZZZZZZZZZZZZZZZZZZ"));
}

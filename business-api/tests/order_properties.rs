//! What holds for every course of an order, however wrong the inputs come.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod billing_support;
mod order_support;

use billing_support::b1;
use business_api::bill::Options;
use business_api::order::{Effect, Facts, Input, Limits, Opening, Order, Record, State, Step, open, settle, step};
use events::units::{AmountE4, EnergyE4, Fen};
use order_support::{DUE, T0, asked, inputs, placed, policy, record, recorded};
use proptest::prelude::*;

fn openings() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(asked(None, None)),
        Just(asked(None, Some(5_000))),
        Just(asked(Some(5_000), None)),
        Just(open(placed(Some("card")), T0, &Opening::Recorded(Box::new(record(1, 300_000))), &policy())),
        Just(open(placed(None), T0, &Opening::Recorded(Box::new(record(1, 300_000))), &policy())),
    ]
}

/// Inputs at times that mostly move on, among them every timer at its time and long after.
fn course() -> impl Strategy<Value = Vec<(i64, Input)>> {
    let input = prop::sample::select(
        inputs().into_iter().map(|(_, input)| input).chain([recorded(5, 310_000)]).collect::<Vec<_>>(),
    );
    let wait = prop_oneof![
        Just(0_i64),
        0..20_000_i64,
        30_000..100_000_i64,
        600_000..1_000_000_i64,
        Just(90_000_000),
        Just(-5_000)
    ];
    // Orders are driven along now and then, so that courses get past their first states.
    let likely = prop::sample::select(vec![
        Input::PaymentSucceeded { amount: Fen(5_000) },
        order_support::started(),
        Input::SessionEnded,
        recorded(1, 300_000),
        order_support::due(),
        Input::Collected,
    ]);
    prop::collection::vec((wait, prop_oneof![3 => input, 2 => likely]), 0..40)
}

/// Records of every kind, also such as contradict themselves: total, meter, periods and amount each say what they like.
fn said() -> impl Strategy<Value = Record> {
    let energy = || prop_oneof![3 => Just(0_i64), 2 => 1..=200_i64, 1 => Just(10_000), 2 => 10_000..500_000_i64];
    let meter = prop_oneof![Just(None), energy().prop_map(Some)];
    let amount = prop_oneof![Just(None), Just(Some(0_i64)), (50..900_000_i64).prop_map(Some)];
    (energy(), meter, energy(), amount).prop_map(|(total, meter, periods, amount)| Record {
        energy: Some(EnergyE4(total)),
        meter_end: Some(EnergyE4(meter.map_or(0, |moved| 1_000_000 + moved))),
        meter_start: Some(EnergyE4(meter.map_or(0, |_| 1_000_000))),
        amount: amount.map(AmountE4),
        periods: record(77, periods).periods,
        ..record(77, total)
    })
}

/// More than the tolerances: 0.0100 kWh, and 2 fen beside a total, nothing without one.
fn claims(record: &Record) -> bool {
    let total = record.energy.unwrap().0;
    let moved = record.meter_end.unwrap().0 - record.meter_start.unwrap().0;
    let periods: i64 = record.periods.iter().map(|period| period.energy.0).sum();
    let least = if total == 0 { 50 } else { 250 };
    [total, moved, periods].iter().any(|energy| *energy > 100) || record.amount.is_some_and(|it| it.0 >= least)
}

fn money(effects: &[Effect]) -> Vec<&Effect> {
    effects.iter().filter(|effect| effect.is_money()).collect()
}

fn total(effects: &[Effect], of: fn(&Effect) -> Option<Fen>) -> i64 {
    effects.iter().filter_map(of).map(|fen| fen.0).sum()
}

fn check(before: &Order, after: &Order, effects: &[Effect]) -> Result<(), TestCaseError> {
    let moved = before.state != after.state;
    if before.state.terminal() && moved {
        prop_assert!(
            before.state == State::StartFailed && after.state == State::Settling,
            "only T9 leaves a terminal state"
        );
    }
    prop_assert_eq!(after.exception.is_some(), after.state == State::Exception);
    prop_assert_eq!(after.closed_at_ms.is_some(), after.state.terminal());
    if let Some(settled) = before.settled {
        prop_assert_eq!(after.settled, Some(settled), "a settlement is never changed");
        prop_assert!(!effects.contains(&Effect::Bill), "and never made twice");
    }
    if let Some(record) = &before.record {
        prop_assert_eq!(after.record.as_ref(), Some(record), "nor is a record overwritten");
    }
    prop_assert!(before.other_records <= after.other_records);
    let line = effects.iter().any(|effect| matches!(effect, Effect::AppendTimeline(_)));
    prop_assert!(!moved || line, "a change of state is in the timeline");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn no_course_breaks_an_order(opening in openings(), course in course()) {
        let (mut order, mut done, mut at_ms) = (opening.order, opening.effects, T0);
        let mut refused = 0;
        for (wait, input) in &course {
            at_ms += wait;
            match step(&order, at_ms, input, &policy()) {
                Err(illegal) => {
                    prop_assert_eq!(illegal.state, order.state);
                    refused += 1;
                }
                Ok(next) => {
                    check(&order, &next.order, &next.effects)?;
                    // The same input again, at the same time, moves no money and changes nothing but counts.
                    let again = step(&next.order, at_ms, input, &policy());
                    if let Ok(again) = again {
                        prop_assert_eq!(money(&again.effects), Vec::<&Effect>::new(), "{:?} twice", input);
                        prop_assert_eq!(again.order.state, next.order.state, "{:?} twice", input);
                    }
                    order = next.order;
                    done.extend(next.effects);
                }
            }
        }
        prop_assert!(refused <= course.len());
        let count = |is: fn(&Effect) -> bool| done.iter().filter(|effect| is(effect)).count();
        prop_assert!(count(|effect| matches!(effect, Effect::Collect { .. })) <= 1, "collected twice");
        prop_assert!(count(|effect| matches!(effect, Effect::ReleaseHold)) <= 1);
        prop_assert!(count(|effect| matches!(effect, Effect::FreezeBalance { .. })) <= 1, "frozen twice");
        prop_assert!(count(|effect| matches!(effect, Effect::BlockPayer)) <= 1);
        prop_assert!(count(|effect| matches!(effect, Effect::AnnounceCompleted)) <= 1);
        let refunded = total(&done, |effect| if let Effect::Refund { amount } = effect { Some(*amount) } else { None });
        prop_assert!(refunded <= order.paid.0, "{refunded} of {}", order.paid);
        prop_assert_eq!(refunded, order.refunded.0);
        if order.state == State::Completed && order.record.is_some() && order.paid == Fen(5_000) {
            prop_assert!(refunded == 5_000 - DUE.0 || refunded == 5_000);
        }
        // Every record that came under the session is stored, once each.
        let stored = count(|effect| matches!(effect, Effect::StoreRecord { .. }));
        prop_assert_eq!(stored, usize::from(order.record.is_some()) + order.other_records as usize);
    }

    #[test]
    fn a_record_is_never_refused_and_never_lost(opening in openings(), course in course(), said in said()) {
        let (mut order, mut at_ms) = (opening.order, T0);
        for (wait, input) in &course {
            at_ms += wait;
            if let Ok(next) = step(&order, at_ms, input, &policy()) {
                order = next.order;
            }
        }
        let came = step(&order, at_ms, &Input::Recorded(Box::new(said.clone())), &policy()).unwrap();
        let stored = came.effects.iter().filter(|effect| matches!(effect, Effect::StoreRecord { .. })).count();
        prop_assert_eq!(stored, 1);
        if came.order.state == State::StartFailed && came.order.record.as_ref() == Some(&said) {
            prop_assert!(!claims(&said), "{:?}", said);
        }
        let person = |effects: &[Effect]| effects.iter().any(|effect| matches!(effect, Effect::OpenWorkItem(_)));
        if claims(&said) {
            // Energy or money that nobody billed yet goes to settlement, or to a person.
            let live = matches!(order.state, State::PendingPayment | State::Starting | State::Charging | State::Stopping
                | State::AwaitingRecord | State::StartFailed) && order.record.is_none();
            prop_assert!(!live || order.payer.is_none() || came.order.state == State::Settling, "{:?}", came.order.state);
            prop_assert!(person(&came.effects) || came.order.state == State::Settling);
        }
        let by_it = came.order.record.as_ref() == Some(&said) && came.order.estimate.is_none();
        if came.order.state != State::Settling || !by_it {
            return Ok(());
        }
        // And settlement closes no order for nothing while its record claims any.
        let (options, limits, tariff) = (Options::default(), Limits::default(), b1());
        let facts = Facts { tariff: &tariff, samples: &[], clock_skew_ms: 0, rated_power_w: 0, options: &options,
            limits: &limits };
        let outcome = settle(&came.order, &facts).outcome;
        let done = step(&came.order, at_ms, &Input::Billed(outcome), &policy()).unwrap();
        if claims(&said) {
            let collects = done.effects.iter().any(|effect| matches!(effect, Effect::Collect { .. }));
            prop_assert!(collects || person(&done.effects), "{:?} of {said:?}", done.order.state);
        } else if said.energy == Some(EnergyE4(0)) {
            prop_assert_eq!(done.order.state, State::ClosedZero, "nothing is claimed: {:?}", said);
        }
    }
}

//! Every situation of an order against every input: `vectors/order-transitions.csv` says what happens, line by line.
//!
//! The file was written by this test (`EVGATE_WRITE_TABLE=1`) and reviewed by reading. A line that changes is a change of what the
//! product does to somebody's order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod order_support;

use std::collections::BTreeSet;
use std::path::Path;

use business_api::order::{Effect, State, step};
use order_support::{LATER, effect_names, inputs, policy, situations};

const TABLE: &str = include_str!("vectors/order-transitions.csv");

fn rows() -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    for (situation, order) in situations() {
        for (name, input) in inputs() {
            let row = match step(&order, LATER + 1, &input, &policy()) {
                Err(illegal) => {
                    assert_eq!((illegal.state, illegal.input), (order.state, input.kind()));
                    ["illegal".to_owned(), String::new(), String::new()]
                }
                Ok(step) => {
                    let transition = step.effects.iter().find_map(|effect| match effect {
                        Effect::AppendTimeline(entry) => Some(entry.transition.clone()),
                        _ => None,
                    });
                    let mut to = step.order.state.name().to_owned();
                    if step.order == order {
                        "unchanged".clone_into(&mut to);
                    } else if let Some(code) = step.order.exception {
                        to = format!("{to} {}", code.name());
                    }
                    [to, transition.unwrap_or_default(), effect_names(&step.effects).join(" + ")]
                }
            };
            let [to, transition, effects] = row;
            rows.push([situation.to_owned(), name.to_owned(), to, transition, effects]);
        }
    }
    rows
}

#[test]
fn every_pair_does_what_the_table_says() {
    if std::env::var_os("EVGATE_WRITE_TABLE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/order-transitions.csv");
        let mut file = csv::Writer::from_path(path).unwrap();
        file.write_record(["situation", "input", "to", "transition", "effects"]).unwrap();
        rows().iter().for_each(|row| file.write_record(row).unwrap());
        file.flush().unwrap();
        return;
    }
    let mut table = csv::Reader::from_reader(TABLE.as_bytes());
    let stated: Vec<[String; 5]> = table.deserialize().map(Result::unwrap).collect();
    let rows = rows();
    assert_eq!(stated.len(), rows.len(), "every situation and every input has its line");
    for (stated, row) in stated.iter().zip(&rows) {
        assert_eq!(stated, row);
    }
}

#[test]
fn the_table_covers_every_state_and_every_input() {
    let states: BTreeSet<State> = situations().iter().map(|(_, order)| order.state).collect();
    assert_eq!(states, State::ALL.into_iter().collect());
    for (name, order) in situations() {
        assert!(name.starts_with(order.state.name()), "{name} is {}", order.state.name());
        assert_eq!(order.exception.is_some(), order.state == State::Exception, "{name}");
    }
    let kinds: BTreeSet<&str> = inputs().iter().map(|(_, input)| input.kind().0).collect();
    assert_eq!(kinds.len(), 33, "{kinds:?}");
}

/// The numbered transitions, as docs/orders.md has them, that some line of the table takes.
#[test]
fn the_table_takes_every_transition() {
    let taken: BTreeSet<String> = rows().into_iter().map(|[_, _, _, transition, _]| transition).collect();
    // T1, T30 and T31 open an order; T6, T13 by idle frames and T15 depend on time and have tests of their own.
    let by_other_tests = ["T1", "T6", "T30", "T31"];
    for number in 1..=33 {
        let name = format!("T{number}");
        let silent = ["T28"].contains(&name.as_str()); // A duplicate leaves no line in the timeline.
        assert!(silent || by_other_tests.contains(&name.as_str()) || taken.contains(&name), "{name} is never taken");
    }
    assert!(taken.contains("T3a"));
}

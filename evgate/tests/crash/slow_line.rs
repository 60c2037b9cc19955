//! A line that is slow while chargers log in: their answers to time sync come late, which is no reason to take their clocks for
//! slow and to bill a session that crosses a change of prices as if it had been later.

use crate::{
    plan::{Between, Deed, Fault, Form, Plan, When},
    trial,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_to_time_sync_moves_no_session_to_another_price() {
    let slow = Deed::Slow { between: Between::Chargers, each_ms: 150, ms: 1_500 };
    let faults = vec![Fault { when: When::At(0), deed: slow }];
    // Sessions around 07:00, when a price changes.
    let plan = Plan { ykc: 4, ocpp: 0, sessions: 3, faults, ..Plan::quiet(1, Form::Embedded) };
    let report = trial::run(&plan).await;
    assert!(report.verdict.is_right() && report.verdict.sessions == 12, "{report}");
}

//! The charger's record in every state (T9, T10, T12, T28, T29) and the estimate that stands in for it (T22). No record is ever
//! dropped, and none overwrites another.

use events::units::EnergyE4;

use super::effect::{Alarm, Effect, WorkItem};
use super::record::{Protocol, Record};
use super::state::{CloseReason, Estimate, ExceptionCode, Order, RecordStatus, State};
use super::step::Work;
use super::stop_reason::{StopGroup, stop_group};

pub(super) fn recorded(work: &mut Work, record: &Record) -> bool {
    if work.order.session.as_deref().is_some_and(|known| known != record.session) {
        return false;
    }
    let order = &work.order;
    if order.record.as_ref().is_some_and(|known| known.digest == record.digest)
        || order.other_digests.contains(&record.digest)
    {
        duplicate(work);
        return true;
    }
    if order.record.is_some() {
        conflict(work, record);
        return true;
    }
    // One whose figures contradict each other goes to billing, which holds it for a person.
    let empty = record.is_empty(order.meter_start);
    match work.state() {
        State::Starting if empty => {
            keep(work, record);
            work.close_unstarted("T7", State::StartFailed, CloseReason::RecordWithoutEnergy);
            work.detail(record.stop_reason.clone());
        }
        State::StartFailed if empty => {
            keep(work, record);
            work.stay("T10");
        }
        State::StartFailed => {
            work.alarm(Alarm::LateStart);
            accept(work, record, "T9");
        }
        State::PendingPayment
        | State::Starting
        | State::Charging
        | State::Stopping
        | State::AwaitingRecord
        | State::Exception => accept(work, record, "T12"),
        State::Settling | State::Unpaid | State::Completed | State::ClosedZero | State::Cancelled => {
            beside_estimate(work, record);
        }
    }
    true
}

/// T28.
fn duplicate(work: &mut Work) {
    if work.order.record_status == RecordStatus::Received {
        work.order.record_status = RecordStatus::Duplicate;
    }
    work.effect(Effect::CountDuplicate);
}

/// T29. Beyond [`VERSIONS_KEPT`] it is counted, and its bytes are kept elsewhere: the order does not grow by it.
///
/// [`VERSIONS_KEPT`]: super::state::VERSIONS_KEPT
fn conflict(work: &mut Work, record: &Record) {
    let known = u32::try_from(work.order.other_digests.len()).unwrap_or(u32::MAX);
    let others = work.order.other_records.max(known).saturating_add(1);
    work.order.other_records = others;
    work.order.record_status = RecordStatus::Conflict;
    let (version, digest) = (others.saturating_add(1), record.digest);
    if work.order.is_full_of_records() {
        work.effect(Effect::SetRecordAside { version, digest });
        return;
    }
    work.stay("T29");
    work.order.other_digests.push(digest);
    work.effect(Effect::StoreRecord { version, digest });
    work.effect(Effect::OpenWorkItem(WorkItem::RecordConflict));
}

/// Makes it the record that counts.
pub(super) fn keep(work: &mut Work, record: &Record) {
    let order = &mut work.order;
    order.session.get_or_insert_with(|| record.session.clone());
    order.record_status = RecordStatus::Received;
    order.started_at_ms = order.started_at_ms.or(record.started_at_ms);
    order.ended_at_ms.get_or_insert(work.at_ms);
    order.recorded_at_ms = Some(work.at_ms);
    order.record = Some(record.clone());
    work.effect(Effect::StoreRecord { version: 1, digest: record.digest });
}

/// T9, T12, T30: keep it and bill it; without a payer it is held.
pub(super) fn accept(work: &mut Work, record: &Record, transition: &'static str) {
    keep(work, record);
    // One that billing held has settled nothing: the record counts, not the estimate.
    work.order.estimate = None;
    // OCPP has one word, Other, for a limit that was reached and for a fault nobody names: no alarm for that.
    let unnamed = work.order.protocol == Protocol::Ocpp && record.stop_reason == "unknown";
    if stop_group(&record.stop_reason) == StopGroup::Aborted && !unnamed {
        work.alarm(Alarm::AbnormalStop);
    }
    work.detail(record.stop_reason.clone());
    if work.order.payer.is_some() {
        settle(work, transition);
    } else {
        work.hold(transition, ExceptionCode::OrphanRecord);
    }
}

fn settle(work: &mut Work, transition: &'static str) {
    work.go(transition, State::Settling);
    work.order.closed_at_ms = None;
    work.order.charger_offline = false;
    work.order.offline_since_ms = None;
    work.effect(Effect::Bill);
}

/// A first record after the order was settled by an estimate, or closed without one: it changes nothing by itself (T22).
fn beside_estimate(work: &mut Work, record: &Record) {
    let agrees = work.order.estimate.as_ref().is_some_and(|estimate| {
        let meter_start = work.order.meter_start;
        let energy = record.total_energy(meter_start);
        let energy = energy.filter(|energy| *energy != EnergyE4::ZERO || record.is_empty(meter_start));
        let apart = energy.and_then(|energy| energy.checked_sub(estimate.energy));
        apart.is_some_and(|apart| apart.0.unsigned_abs() <= work.policy.estimate_tolerance.0.unsigned_abs())
    });
    keep(work, record);
    if agrees {
        work.detail("the record agrees with the estimate");
        return;
    }
    work.stay("T29");
    work.order.record_status = RecordStatus::Conflict;
    work.effect(Effect::OpenWorkItem(WorkItem::RecordConflict));
}

/// T22.
pub(super) fn estimate(work: &mut Work, estimate: &Estimate, payer: Option<&str>) -> bool {
    if work.state() != State::Exception && work.order.estimate.as_ref() == Some(estimate) {
        return true; // Said again. One that billing held has settled nothing: it is billed anew.
    }
    if work.state() != State::Exception || !approved(estimate) || !somebody_pays(&work.order, payer) {
        return false;
    }
    if work.order.payer.is_none() {
        work.order.payer = payer.map(ToOwned::to_owned);
    }
    let Estimate { energy, requested_by, approved_by, reason, .. } = estimate;
    work.detail(format!("{energy} kWh, asked by {requested_by}, approved by {approved_by}: {reason}"));
    work.order.estimate = Some(estimate.clone());
    work.order.ended_at_ms.get_or_insert(work.at_ms);
    settle(work, "T22");
    true
}

/// T30 for an order of T31: its record was in the log before the start of its session, which says who pays. That happens when a
/// charger moves to another gateway while the first one still has the start in its spool.
pub(super) fn payer_known(work: &mut Work, payer: &str) -> bool {
    if !work.order.is_orphan() || payer.is_empty() {
        return false;
    }
    work.order.payer = Some(payer.to_owned());
    work.detail("the start came after the record");
    settle(work, "T30");
    true
}

/// Two people, a reason, and figures that can be billed.
fn approved(estimate: &Estimate) -> bool {
    let names = !estimate.requested_by.is_empty() && !estimate.approved_by.is_empty() && !estimate.reason.is_empty();
    names
        && estimate.requested_by != estimate.approved_by
        && !estimate.energy.is_negative()
        && estimate.started_at_ms <= estimate.ended_at_ms
}

fn somebody_pays(order: &Order, payer: Option<&str>) -> bool {
    order.payer.is_some() || payer.is_some_and(|payer| !payer.is_empty())
}

//! Which order a session is (docs/adr/0009): by its number, the charger, and where a number came twice, by when.

use super::Work;
use crate::{
    order::{ExceptionCode, Order, Protocol, Record, SaidStart},
    store::orders::OrderRow,
};

/// Characters of a trade number, and of the charger's number that it begins with.
const TRADE_NUMBER: usize = 32;
const CHARGER_NUMBER: usize = 14;

impl Work {
    /// The charger's order of a session of which something is said that happened at this time, on the charger's clock.
    pub fn by_session(&self, charger: &str, session: &str, at_ms: i64) -> Option<String> {
        let of = self.of_charger(charger, session);
        let began = |order: &&&Order| order.started_at_ms.is_some_and(|started_at_ms| started_at_ms <= at_ms);
        of.iter().rev().find(began).or(of.first()).map(|order| order.order_no.clone())
    }

    /// The order that a record belongs to. One that is known stays where it is. Only a record finds another charger's order, and only
    /// one that has had this very record, or that its own charger has left.
    pub fn by_record(&self, charger: &str, record: &Record) -> Option<String> {
        let knows = |order: &&&Order| {
            let first = order.record.as_ref().is_some_and(|known| known.digest == record.digest);
            first || order.other_digests.contains(&record.digest)
        };
        let of = self.of_charger(charger, &record.session);
        if let Some(known) = of.iter().find(knows) {
            return Some(known.order_no.clone());
        }
        self.by_session(charger, &record.session, record.ended_at_ms).or_else(|| {
            let digest = record.digest.to_string();
            let others = self.of_others(charger, &record.session);
            let known = others.iter().find(|order| knows(order) || self.knows_record(&order.order_no, &digest));
            known.or_else(|| others.iter().find(|order| self.is_left(order))).map(|order| order.order_no.clone())
        })
    }

    /// The charger's order that began with this start, or may have.
    pub fn by_start(&self, charger: &str, session: &str, said: SaidStart<'_>) -> Option<String> {
        let of = self.of_charger(charger, session);
        let may = |order: &&&Order| order.protocol == Protocol::Ykc || !order.began_otherwise(said);
        of.iter().rev().find(may).map(|order| order.order_no.clone())
    }

    /// Another charger's order whose number this is already: what this charger says under it is not billed before a person has looked.
    pub fn of_another(&self, charger: &str, session: &str) -> Option<String> {
        self.of_others(charger, session).first().map(|order| order.order_no.clone())
    }

    /// How many sessions of the charger had this number, which is the next one's `session_use`.
    pub(super) fn uses(&self, charger: &str, session: &str) -> u32 {
        u32::try_from(self.of_charger(charger, session).len()).unwrap_or(u32::MAX)
    }

    /// The charger's orders with this number, in the order in which it came.
    fn of_charger(&self, charger: &str, session: &str) -> Vec<&Order> {
        let mut rows: Vec<_> = self.of_session(session).filter(|row| row.facts.order.charger == charger).collect();
        rows.sort_by_key(|row| row.facts.session_use);
        rows.into_iter().map(|row| &row.facts.order).collect()
    }

    /// Other chargers' orders with this trade number, if the number is made of the number of one of the two: then it is one session
    /// of the tenant. A number made of neither's (a charger that was never given its own) says nothing.
    fn of_others(&self, charger: &str, session: &str) -> Vec<&Order> {
        let Some(named) = session.get(..CHARGER_NUMBER).filter(|_| session.len() == TRADE_NUMBER) else {
            return Vec::new();
        };
        let is_named = |charger: &str| charger.eq_ignore_ascii_case(named);
        let another = |order: &&Order| {
            let other = order.protocol == Protocol::Ykc && order.charger != charger;
            other && (is_named(&order.charger) || is_named(charger))
        };
        self.of_session(session).map(|row| &row.facts.order).filter(another).collect()
    }

    /// The platform has waited in vain for the order's record, and the order's own charger is not here to send it.
    fn is_left(&self, order: &Order) -> bool {
        let waited = matches!(order.exception, Some(ExceptionCode::RecordMissing | ExceptionCode::OfflineTimeout));
        let is_here = self.chargers.get(&order.charger).is_some_and(|charger| charger.live.online);
        waited && order.record.is_none() && !is_here
    }

    fn of_session(&self, session: &str) -> impl Iterator<Item = &OrderRow> {
        let numbers = self.by_session.get(session).into_iter().flatten();
        numbers.filter_map(|order_no| self.orders.get(order_no))
    }
}

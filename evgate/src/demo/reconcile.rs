//! The demo's last question: do the chargers' ledger, the event log and the orders say the same, to 0.0001 kWh and fen?
//!
//! Three parties that share no code on the way: the simulator reckons by its own rating, the log is read back record by record,
//! the orders come over REST.

use std::collections::BTreeMap;

/// A session's name: (charger, trade number or transaction id).
pub type Name = (String, String);

/// What one party says about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// 0.0001 kWh.
    pub energy_e4: i64,
    /// Fen; `None`: this party does not reckon money, or cannot for this session.
    pub fen: Option<i64>,
}

/// What all three say.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// The chargers.
    pub ledger: BTreeMap<Name, Said>,
    /// The records in the event log; energy only.
    pub log: BTreeMap<Name, Said>,
    /// The settled orders.
    pub orders: BTreeMap<Name, Said>,
}

/// Sums and differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Sessions of the ledger.
    pub sessions: usize,
    /// Sessions whose money was reckoned by both ledger and order.
    pub rated: usize,
    /// Every difference, for people.
    pub differences: Vec<String>,
}

impl Books {
    /// (sessions, energy, fen) of a party.
    #[must_use]
    pub fn sum(party: &BTreeMap<Name, Said>) -> (usize, i64, i64) {
        let energy = party.values().map(|said| said.energy_e4).sum();
        (party.len(), energy, party.values().filter_map(|said| said.fen).sum())
    }

    /// Compares session by session, never sums only: two errors could cancel out.
    #[must_use]
    pub fn compare(&self) -> Verdict {
        let mut verdict = Verdict { sessions: self.ledger.len(), ..Verdict::default() };
        for (name, told) in &self.ledger {
            for (party, book) in [("log", &self.log), ("orders", &self.orders)] {
                match book.get(name) {
                    None => verdict.differences.push(format!("{}: not in the {party}", show(name))),
                    Some(said) if said.energy_e4 != told.energy_e4 => verdict.differences.push(format!(
                        "{}: ledger {} kWh, {party} {} kWh",
                        show(name),
                        kwh(told.energy_e4),
                        kwh(said.energy_e4)
                    )),
                    Some(_) => {}
                }
            }
            let Some(order) = self.orders.get(name) else { continue };
            match (told.fen, order.fen) {
                (Some(told), Some(billed)) => {
                    verdict.rated += 1;
                    if told != billed {
                        verdict.differences.push(format!("{}: ledger {told} fen, order {billed} fen", show(name)));
                    }
                }
                (None, _) => verdict.differences.push(format!("{}: the ledger has no reckoning", show(name))),
                (_, None) => verdict.differences.push(format!("{}: the order has no money", show(name))),
            }
        }
        for (party, book) in [("log", &self.log), ("orders", &self.orders)] {
            let unknown = book.keys().filter(|name| !self.ledger.contains_key(*name));
            verdict
                .differences
                .extend(unknown.map(|name| format!("{}: in the {party}, not in the ledger", show(name))));
        }
        verdict
    }
}

fn show((charger, session): &Name) -> String {
    format!("{charger} session {session}")
}

/// 0.0001 kWh as kWh with four decimals.
#[must_use]
pub fn kwh(energy_e4: i64) -> String {
    let sign = if energy_e4 < 0 { "-" } else { "" };
    format!("{sign}{}.{:04}", energy_e4.unsigned_abs() / 10_000, energy_e4.unsigned_abs() % 10_000)
}

/// Fen as yuan with two decimals.
#[must_use]
pub fn yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", fen.unsigned_abs() / 100, fen.unsigned_abs() % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(session: &str) -> Name {
        ("C".to_owned(), session.to_owned())
    }

    fn books() -> Books {
        let said = Said { energy_e4: 123_456, fen: Some(987) };
        let party = BTreeMap::from([(name("1"), said)]);
        Books { ledger: party.clone(), log: BTreeMap::from([(name("1"), Said { fen: None, ..said })]), orders: party }
    }

    #[test]
    fn three_that_agree() {
        let verdict = books().compare();
        assert_eq!(verdict, Verdict { sessions: 1, rated: 1, differences: Vec::new() });
    }

    #[test]
    fn every_kind_of_difference_is_seen() {
        let alter = |change: &dyn Fn(&mut Books)| {
            let mut books = books();
            change(&mut books);
            books.compare().differences.join("|")
        };
        assert!(alter(&|b| b.log.clear()).contains("not in the log"));
        assert!(alter(&|b| b.orders.clear()).contains("not in the orders"));
        assert!(alter(&|b| b.ledger.clear()).contains("in the orders, not in the ledger"));
        assert!(alter(&|b| b.log.values_mut().for_each(|s| s.energy_e4 += 1)).contains("log 12.3457 kWh"));
        assert!(alter(&|b| b.orders.values_mut().for_each(|s| s.energy_e4 -= 1)).contains("orders 12.3455 kWh"));
        assert!(alter(&|b| b.orders.values_mut().for_each(|s| s.fen = Some(988))).contains("order 988 fen"));
        assert!(alter(&|b| b.ledger.values_mut().for_each(|s| s.fen = None)).contains("no reckoning"));
        assert!(alter(&|b| b.orders.values_mut().for_each(|s| s.fen = None)).contains("no money"));
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!((kwh(5).as_str(), kwh(-12_345).as_str()), ("0.0005", "-1.2345"));
        assert_eq!((yuan(5).as_str(), yuan(-1_234).as_str()), ("0.05", "-12.34"));
    }
}

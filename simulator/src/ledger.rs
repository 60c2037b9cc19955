//! What the chargers believe: one line for each finished session, to be held against the platform's log and orders.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::config::Protocol;
use crate::rating::{Expected, Sample};

/// One finished session as the charger knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEntry {
    /// Charger id as in the config.
    pub charger: String,
    /// Connector, from 1.
    pub connector: u32,
    /// Its protocol.
    pub protocol: Protocol,
    /// YKC: trade number, 32 digits. OCPP: transaction id as decimal text; empty until the platform has told it.
    pub session: String,
    /// Card number, VIN or idTag that started it; empty for a YKC remote start.
    pub token: String,
    /// Start, UTC ms on the charger's clock.
    pub start_ms: i64,
    /// End, UTC ms on the charger's clock.
    pub end_ms: i64,
    /// Meter at the start, 0.0001 kWh.
    pub meter_start_e4: u64,
    /// Meter at the end, 0.0001 kWh.
    pub meter_stop_e4: u64,
    /// Energy, 0.0001 kWh: always the difference of the two.
    pub energy_e4: u64,
    /// YKC: energy at sharp, peak, flat and valley rate; adds up to `energy_e4`. OCPP: zeros.
    pub rates_e4: [u64; 4],
    /// YKC: amount on the charger's screen, 0.0001 yuan. OCPP: 0.
    pub charger_amount_yuan4: u64,
    /// YKC: the code of the record in hex. OCPP: the reason's name.
    pub stop_reason: String,
    /// OCPP: meter values with this transaction that the platform confirmed, oldest first. YKC: none.
    pub samples: Vec<Sample>,
    /// OCPP: meter values of this transaction given up after the last attempt; the platform may or may not have them.
    pub samples_lost: u32,
    /// The platform has confirmed the record (YKC 0x40 with 00, OCPP StopTransaction.conf).
    pub acknowledged: bool,
    /// The charger gave the record up (OCPP: attempts used up; YKC: the platform called it illegal).
    pub lost: bool,
    /// How often the record was sent.
    pub transmissions: u32,
    /// What it should cost, when that can be said exactly.
    pub expected: Option<Expected>,
}

/// All finished sessions of a fleet, and their sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// In the order in which the sessions ended.
    pub sessions: Vec<SessionEntry>,
}

impl Ledger {
    /// Energy of all sessions, 0.0001 kWh.
    #[must_use]
    pub fn energy_e4(&self) -> u64 {
        self.sessions.iter().map(|s| s.energy_e4).sum()
    }

    /// Expected (electricity, service) of all sessions that have an expectation, fen.
    #[must_use]
    pub fn expected_fen(&self) -> (i64, i64) {
        let costs = self.sessions.iter().filter_map(|s| s.expected);
        costs.fold((0, 0), |(elec, service), cost| (elec + cost.electricity_fen, service + cost.service_fen))
    }

    /// Sessions whose record nobody has confirmed or given up yet.
    #[must_use]
    pub fn open(&self) -> usize {
        self.sessions.iter().filter(|s| !s.acknowledged && !s.lost).count()
    }

    /// The session of that name at that charger.
    #[must_use]
    pub fn find(&self, charger: &str, session: &str) -> Option<&SessionEntry> {
        self.sessions.iter().find(|s| s.charger == charger && s.session == session)
    }
}

/// The ledger as the charger tasks share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedLedger(Arc<Mutex<Ledger>>);

/// Where an entry lies: entries are never removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryId(usize);

impl SharedLedger {
    pub(crate) fn push(&self, entry: SessionEntry) -> EntryId {
        let mut ledger = self.lock();
        ledger.sessions.push(entry);
        EntryId(ledger.sessions.len() - 1)
    }

    pub(crate) fn update(&self, id: EntryId, change: impl FnOnce(&mut SessionEntry)) {
        if let Some(entry) = self.lock().sessions.get_mut(id.0) {
            change(entry);
        }
    }

    pub(crate) fn snapshot(&self) -> Ledger {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        // A panicking task leaves at worst one entry unchanged: the ledger stays readable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

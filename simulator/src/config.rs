//! What a fleet is: chargers, where they call, what their drivers do, and how badly they behave.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::{Floors, SimClock};
use crate::fault::FaultPlan;
use crate::tariff::TariffBook;

/// A fleet of simulated chargers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetConfig {
    /// Everything random follows from this number: cars, gaps, faults, retry habits.
    pub seed: u64,
    /// The chargers' clock; the same numbers as the platform's.
    pub clock: SimClock,
    /// Shortest real times of protocol timers.
    pub floors: Floors,
    /// First connects are spread over this real time, ms.
    pub connect_spread_ms: u64,
    /// What drivers do, unless a charger says otherwise.
    pub plan: SessionPlan,
    /// How the chargers misbehave, unless a charger says otherwise.
    pub faults: FaultPlan,
    /// How often a YKC charger sends a record on one connection before it gives it up for good, 30 s after the last time: 1 to 5.
    /// 0 = it keeps it until the next login. A new login begins the count again.
    pub records_sent_most: u32,
    /// Tariffs by name, to compute what sessions should cost; without one a session has no expected cost.
    pub tariffs: BTreeMap<String, TariffBook>,
    /// The chargers.
    pub chargers: Vec<ChargerConfig>,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            seed: 1001,
            clock: SimClock::default(),
            floors: Floors::default(),
            connect_spread_ms: 1000,
            plan: SessionPlan::default(),
            faults: FaultPlan::default(),
            records_sent_most: 0,
            tariffs: BTreeMap::new(),
            chargers: Vec::new(),
        }
    }
}

/// One charger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargerConfig {
    /// YKC: 14 hex digits, lower case. OCPP: the identity.
    pub id: String,
    /// Which language it speaks.
    pub protocol: Protocol,
    /// `host:port` of the gateway's listener.
    pub address: String,
    /// Path before the identity in an OCPP URL.
    #[serde(default = "default_path")]
    pub path: String,
    /// OCPP Basic password, if any.
    #[serde(default)]
    pub password: Option<String>,
    /// Number of connectors, 1..=16.
    #[serde(default = "default_connectors")]
    pub connectors: u8,
    /// Rated power of one connector, W. Up to 22 kW counts as AC.
    #[serde(default = "default_power")]
    pub rated_power_w: u32,
    /// Name of its tariff in [`FleetConfig::tariffs`].
    #[serde(default)]
    pub tariff: Option<String>,
    /// Own session plan.
    #[serde(default)]
    pub plan: Option<SessionPlan>,
    /// Own faults.
    #[serde(default)]
    pub faults: Option<FaultPlan>,
}

impl ChargerConfig {
    /// A YKC charger with one connector of 120 kW.
    #[must_use]
    pub fn ykc(id: impl Into<String>, address: impl Into<String>) -> Self {
        Self::new(id.into(), Protocol::Ykc, address.into())
    }

    /// An OCPP 1.6 charger with one connector of 120 kW.
    #[must_use]
    pub fn ocpp16(id: impl Into<String>, address: impl Into<String>) -> Self {
        Self::new(id.into(), Protocol::Ocpp16, address.into())
    }

    fn new(id: String, protocol: Protocol, address: String) -> Self {
        Self {
            id,
            protocol,
            address,
            path: default_path(),
            password: None,
            connectors: default_connectors(),
            rated_power_w: default_power(),
            tariff: None,
            plan: None,
            faults: None,
        }
    }
}

fn default_path() -> String {
    "/ocpp/".to_owned()
}

fn default_connectors() -> u8 {
    1
}

fn default_power() -> u32 {
    120_000
}

/// Charger protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// YKC V1.6 (binary over TCP).
    #[serde(rename = "ykc")]
    Ykc,
    /// OCPP 1.6-J (JSON over WebSocket).
    #[serde(rename = "ocpp1.6")]
    Ocpp16,
}

/// What drivers do at one charger. All times are charger time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionPlan {
    /// Sessions the charger starts by itself, over all its connectors; 0 = only the platform starts.
    pub sessions: u32,
    /// Ways to start, taken in turn.
    pub starts: Vec<StartBy>,
    /// Wait before the first session of a connector, [least, most] ms.
    pub first_gap_ms: [u64; 2],
    /// Wait between two sessions of a connector, [least, most] ms.
    pub gap_ms: [u64; 2],
    /// Energy the driver wants, [least, most] 0.0001 kWh. A battery may be full before.
    pub energy_e4: [u64; 2],
    /// Of 1000 remote starts, how many find no plug in the car yet.
    pub plug_late_per_mille: u16,
    /// A start that the platform refuses or leaves unanswered is tried again this often before the driver leaves.
    pub start_attempts: u32,
}

impl Default for SessionPlan {
    fn default() -> Self {
        Self {
            sessions: 0,
            starts: Vec::new(),
            first_gap_ms: [5_000, 60_000],
            gap_ms: [60_000, 300_000],
            energy_e4: [50_000, 400_000],
            plug_late_per_mille: 0,
            start_attempts: 5,
        }
    }
}

/// How a driver starts a session at the charger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartBy {
    /// YKC card: physical card number, 16 hex digits.
    Card(String),
    /// YKC VIN, 17 characters.
    Vin(String),
    /// OCPP idTag, at most 20 characters.
    IdTag(String),
}

/// Why a fleet cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Two chargers have one id.
    #[error("charger {0} is listed twice")]
    Twice(String),
    /// Not 14 hex digits.
    #[error("charger {0}: a YKC id is 14 hex digits")]
    PileId(String),
    /// Empty or over 48 characters.
    #[error("charger {0}: an OCPP identity has 1 to 48 characters")]
    Identity(String),
    /// A charger needs 1 to 16 connectors.
    #[error("charger {0}: connectors must be 1 to 16")]
    Connectors(String),
    /// The named tariff is not there.
    #[error("charger {charger}: no tariff named {tariff}")]
    NoTariff {
        /// Whose.
        charger: String,
        /// The missing name.
        tariff: String,
    },
    /// A tariff version without 96 slots.
    #[error("tariff {tariff}: {slots} slots instead of 96")]
    Slots {
        /// Name of the tariff.
        tariff: String,
        /// How many slots it has.
        slots: usize,
    },
    /// A plan whose starts the protocol cannot make.
    #[error("charger {0}: a plan with sessions needs starts: card or vin for YKC, id_tag for OCPP")]
    Starts(String),
    /// A card number, VIN or idTag that does not fit its frame.
    #[error("charger {charger}: {token:?} is no 16 digit card, 17 character VIN or idTag of 1 to 20 characters")]
    Token {
        /// Whose.
        charger: String,
        /// The token.
        token: String,
    },
    /// A range whose least is over its most.
    #[error("charger {0}: a range has its least above its most")]
    Range(String),
    /// More than 1000 of 1000.
    #[error("charger {charger}: {key} must be 0 to 1000")]
    PerMille {
        /// Whose.
        charger: String,
        /// Which.
        key: &'static str,
    },
}

impl FleetConfig {
    /// Checks everything a charger will rely on.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (name, book) in &self.tariffs {
            book.check().map_err(|slots| ConfigError::Slots { tariff: name.clone(), slots })?;
        }
        let mut seen = std::collections::HashSet::new();
        self.chargers.iter().try_for_each(|charger| {
            if !seen.insert(charger.id.as_str()) {
                return Err(ConfigError::Twice(charger.id.clone()));
            }
            self.validate_charger(charger)
        })
    }

    fn validate_charger(&self, charger: &ChargerConfig) -> Result<(), ConfigError> {
        let id = || charger.id.clone();
        let is_pile = charger.id.len() == 14 && hex::decode(&charger.id).is_ok();
        match charger.protocol {
            Protocol::Ykc if !is_pile => return Err(ConfigError::PileId(id())),
            Protocol::Ocpp16 if !(1..=48).contains(&charger.id.len()) => return Err(ConfigError::Identity(id())),
            _ => {}
        }
        if !(1..=16).contains(&charger.connectors) {
            return Err(ConfigError::Connectors(id()));
        }
        if let Some(tariff) = charger.tariff.as_ref().filter(|name| !self.tariffs.contains_key(*name)) {
            return Err(ConfigError::NoTariff { charger: id(), tariff: tariff.clone() });
        }
        let plan = charger.plan.as_ref().unwrap_or(&self.plan);
        let ranges = [plan.first_gap_ms, plan.gap_ms, plan.energy_e4];
        if ranges.iter().any(|[least, most]| least > most) {
            return Err(ConfigError::Range(id()));
        }
        let faults = charger.faults.as_ref().unwrap_or(&self.faults);
        let per_mille = [
            ("plug_late_per_mille", plan.plug_late_per_mille),
            ("drop_mid_message_per_mille", faults.drop_mid_message_per_mille),
            ("split_write_per_mille", faults.split_write_per_mille),
            ("broken_copy_per_mille", faults.broken_copy_per_mille),
            ("duplicate_record_per_mille", faults.duplicate_record_per_mille),
            ("garbage_per_mille", faults.garbage_per_mille),
        ];
        if let Some((key, _)) = per_mille.into_iter().find(|(_, value)| *value > 1000) {
            return Err(ConfigError::PerMille { charger: id(), key });
        }
        let fits = |start: &&StartBy| matches!(start, StartBy::IdTag(_)) == (charger.protocol == Protocol::Ocpp16);
        if plan.sessions > 0 && !plan.starts.iter().any(|start| fits(&start)) {
            return Err(ConfigError::Starts(id()));
        }
        let bad = plan.starts.iter().filter(fits).find_map(|start| match start {
            StartBy::Card(card) => (card.len() != 16 || hex::decode(card).is_err()).then_some(card),
            StartBy::Vin(vin) => (vin.len() != 17 || !vin.is_ascii()).then_some(vin),
            StartBy::IdTag(tag) => (tag.is_empty() || tag.chars().count() > 20).then_some(tag),
        });
        bad.map_or(Ok(()), |token| Err(ConfigError::Token { charger: id(), token: token.clone() }))
    }

    /// The plan of a charger, only with starts its protocol can make.
    pub(crate) fn plan_of(&self, charger: &ChargerConfig) -> SessionPlan {
        let mut plan = charger.plan.as_ref().unwrap_or(&self.plan).clone();
        plan.starts.retain(|start| matches!(start, StartBy::IdTag(_)) == (charger.protocol == Protocol::Ocpp16));
        plan
    }
}

//! What a run is: how many connections of what kind, what they say, how fast and for how long.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What each connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mix {
    /// 60 bytes and the same 60 bytes back: the reference.
    Echo,
    /// YKC heartbeats (17 bytes), each answered.
    YkcHeartbeat,
    /// YKC real-time data (68 bytes), never answered: open loop only.
    YkcRealTime,
    /// YKC: four real-time frames, each a write of its own, then a heartbeat whose answer is waited for.
    YkcOneToFour,
    /// YKC transaction records (0x3B), a new session each: answered when the log has it.
    YkcRecord,
    /// OCPP 1.6 Heartbeat.
    OcppHeartbeat,
    /// OCPP 1.6 StatusNotification.
    OcppStatus,
    /// OCPP 1.6 MeterValues of 650 bytes without a transaction: answered at once.
    OcppMeterValues,
    /// OCPP 1.6 MeterValues of 650 bytes with a transactionId: answered when the log has it.
    OcppBillableMeterValues,
}

impl Mix {
    /// The mix of a name on the command line: `echo`, `ykc:hb`, `ykc:rt`, `ykc:1:4`, `ykc:record`, `ocpp:hb`, `ocpp:sn`,
    /// `ocpp:mv650`, `ocpp:mv650tx`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mix| mix.name() == name)
    }

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::YkcHeartbeat => "ykc:hb",
            Self::YkcRealTime => "ykc:rt",
            Self::YkcOneToFour => "ykc:1:4",
            Self::YkcRecord => "ykc:record",
            Self::OcppHeartbeat => "ocpp:hb",
            Self::OcppStatus => "ocpp:sn",
            Self::OcppMeterValues => "ocpp:mv650",
            Self::OcppBillableMeterValues => "ocpp:mv650tx",
        }
    }

    /// All mixes.
    pub const ALL: [Self; 9] = [
        Self::Echo,
        Self::YkcHeartbeat,
        Self::YkcRealTime,
        Self::YkcOneToFour,
        Self::YkcRecord,
        Self::OcppHeartbeat,
        Self::OcppStatus,
        Self::OcppMeterValues,
        Self::OcppBillableMeterValues,
    ];

    /// Messages of one cycle: everything a connection sends between two answers it waits for.
    #[must_use]
    pub const fn messages_per_cycle(self) -> u64 {
        match self {
            Self::YkcOneToFour => 5,
            _ => 1,
        }
    }

    /// Answers of one cycle.
    #[must_use]
    pub const fn answers_per_cycle(self) -> u64 {
        match self {
            Self::YkcRealTime => 0,
            _ => 1,
        }
    }

    /// True for the YKC mixes.
    #[must_use]
    pub const fn is_ykc(self) -> bool {
        matches!(self, Self::YkcHeartbeat | Self::YkcRealTime | Self::YkcOneToFour | Self::YkcRecord)
    }

    /// True for the OCPP mixes.
    #[must_use]
    pub const fn is_ocpp(self) -> bool {
        !self.is_ykc() && !matches!(self, Self::Echo)
    }
}

/// How fast messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// Each connection sends its next cycle when the last one is answered: saturates the server.
    Closed,
    /// So many messages a second over all connections, whatever the answers do. Latency counts from the moment a message was
    /// due, not from when it was sent, so that a stalled server cannot hide the stall.
    Open {
        /// Messages per second.
        per_second: u64,
    },
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub target: SocketAddr,
    /// What is said.
    pub mix: Mix,
    /// How fast.
    pub pace: Pace,
    /// Connections, 1..=50,000.
    pub connections: usize,
    /// First charger id: YKC 14 digits, OCPP a prefix that gets a number of 6 digits.
    pub first_id: String,
    /// OCPP Basic password of every charger.
    pub password: Option<String>,
    /// Path of an OCPP URL before the identity.
    pub path: String,
    /// Logins per second.
    pub logins_per_second: u32,
    /// Traffic before the measurement.
    pub warm_up: Duration,
    /// The measurement.
    pub duration: Duration,
    /// Client threads.
    pub threads: usize,
    /// Process whose CPU and memory are measured.
    pub pid: Option<u32>,
    /// Idle time after the traffic, before memory is read.
    pub settle: Duration,
    /// An answer later than this counts as missing.
    pub answer_timeout: Duration,
}

/// First YKC id of a load run.
pub const FIRST_YKC: &str = "32010600000001";
/// Prefix of the OCPP identities of a load run.
pub const OCPP_PREFIX: &str = "LOAD-";

impl Plan {
    /// A short closed-loop run of `connections` connections; the fields are public to be changed.
    #[must_use]
    pub fn new(target: SocketAddr, mix: Mix, connections: usize) -> Self {
        Self {
            target,
            mix,
            pace: Pace::Closed,
            connections,
            first_id: if mix.is_ocpp() { OCPP_PREFIX } else { FIRST_YKC }.to_owned(),
            password: None,
            path: "/ocpp/".to_owned(),
            logins_per_second: 5_000,
            warm_up: Duration::from_secs(2),
            duration: Duration::from_secs(6),
            threads: 1,
            pid: None,
            settle: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(30),
        }
    }

    /// Checks the plan.
    ///
    /// # Errors
    /// What cannot be done.
    pub fn validate(&self) -> Result<(), PlanError> {
        if !(1..=50_000).contains(&self.connections) {
            return Err(PlanError::Connections(self.connections));
        }
        if self.duration.is_zero() || self.duration > Duration::from_secs(24 * 3600) {
            return Err(PlanError::Duration);
        }
        if self.warm_up > Duration::from_secs(24 * 3600) {
            return Err(PlanError::WarmUp);
        }
        if !(1..=64).contains(&self.threads) || self.threads > self.connections {
            return Err(PlanError::Threads);
        }
        if !(1..=1_000_000).contains(&self.logins_per_second) {
            return Err(PlanError::Logins);
        }
        match self.pace {
            Pace::Closed if self.mix.answers_per_cycle() == 0 => return Err(PlanError::NeedsRate(self.mix.name())),
            Pace::Open { per_second } if !(1..=5_000_000).contains(&per_second) => return Err(PlanError::Rate),
            _ => {}
        }
        if self.mix.is_ykc() && crate::ids::ykc_ids(&self.first_id, self.connections).is_none() {
            return Err(PlanError::FirstId(self.first_id.clone()));
        }
        Ok(())
    }
}

/// Why a plan cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Out of range.
    #[error("{0} connections: 1 to 50000 are possible from one process")]
    Connections(usize),
    /// Zero or over a day.
    #[error("the duration must be over 0 s and at most a day")]
    Duration,
    /// Over a day.
    #[error("the warm-up must be at most a day")]
    WarmUp,
    /// Out of range.
    #[error("threads must be 1 to 64 and not more than connections")]
    Threads,
    /// Zero or too large.
    #[error("logins per second must be 1 to 1000000")]
    Logins,
    /// Zero or too large.
    #[error("the rate must be 1 to 5000000 messages per second")]
    Rate,
    /// A mix without answers in a closed loop would only fill the sockets.
    #[error("{0} has no answers to wait for: give a rate")]
    NeedsRate(&'static str),
    /// Not 14 digits with room for all connections.
    #[error("{0:?}: the first YKC id must be 14 digits with room for all connections")]
    FirstId(String),
}

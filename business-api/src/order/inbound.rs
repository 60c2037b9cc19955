//! Events of the log as the order room hears them. Pure: which order it is about, the consumer finds out.

use events::proto::{self, CommandOutcome, ConnectorStatus, envelope::Body};
use events::units::EnergyE4;

use super::input::Input;
use super::record::{Record, RecordError, StartMode};
use crate::bill::Sample;

/// Which orders of the charger an input is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one with this session.
    Session(String),
    /// The one that is open on the connector.
    Connector(u32),
    /// All that are open on the charger.
    Charger,
}

/// What an event means to orders. Times are the gateway's (`received_at_ms`) unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Give this input to those orders; none is no error.
    Input {
        /// Which.
        target: Target,
        /// What.
        input: Input,
    },
    /// Open an order unless the session has one; a live order on the connector gets `ConnectorTaken` first.
    Authorized {
        /// Trade number.
        session: String,
        /// Who pays: uid of the registry's token.
        token: String,
        /// How.
        start_mode: StartMode,
        /// Tariff group bound at that moment.
        tariff: String,
    },
    /// Find the order by session, else by `id_tag` among those of the charger that have no session, and give it `input`;
    /// open one where there is none.
    Started {
        /// Trade number or transaction id.
        session: String,
        /// idTag, empty for YKC.
        token: String,
        /// `SessionStarted`.
        input: Input,
        /// Queued while the charger was offline.
        offline: bool,
    },
    /// Find the order by session and give it `Recorded`; open one where there is none.
    Recorded(Box<Record>),
    /// A point of the energy curve of a session; comes with an `Input` of its own.
    Sampled(Reading),
    /// Find the command; see [`answered`].
    Answered {
        /// Which.
        command_id: String,
    },
    /// Remember the charger's clock.
    Clock {
        /// Charger's minus the platform's, ms.
        skew_ms: i64,
    },
    /// A record that cannot be read: to the dead-letter topic.
    Unreadable(RecordError),
}

/// A meter reading on its way to a point of the curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The session.
    pub session: String,
    /// When, UTC ms: OCPP on the charger's clock, YKC on the platform's.
    pub at_ms: i64,
    /// Energy since the start, where the charger says that.
    pub energy: Option<EnergyE4>,
    /// Meter reading, where it says that.
    pub register: Option<EnergyE4>,
}

impl Reading {
    /// The point, given the meter reading at the start.
    #[must_use]
    pub fn relative(&self, meter_start: Option<EnergyE4>) -> Option<Sample> {
        let from_register = || self.register?.checked_sub(meter_start?).filter(|energy| !energy.is_negative());
        let energy = self.energy.or_else(from_register)?;
        Some(Sample { at_ms: self.at_ms, energy })
    }
}

/// What a command was, to read its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerTo {
    /// A start.
    Start,
    /// A stop.
    Stop,
}

/// The answer to a start or stop as an input to its order.
#[must_use]
pub fn answered(to: AnswerTo, answer: &proto::CommandAnswered) -> Input {
    // Where the charger gave no word of its own, the outcome is the word.
    let outcome = answer.outcome().as_str_name().trim_start_matches("COMMAND_OUTCOME_");
    let code = || if answer.code.is_empty() { outcome.to_ascii_lowercase() } else { answer.code.clone() };
    match (to, answer.outcome()) {
        (AnswerTo::Start, CommandOutcome::Accepted) => Input::StartAccepted,
        (AnswerTo::Start, CommandOutcome::Rejected) => {
            Input::StartRefused { code: code(), not_plugged: answer.code == "05" }
        }
        (AnswerTo::Start, CommandOutcome::Unsupported | CommandOutcome::Expired | CommandOutcome::QueueFull) => {
            Input::StartUndelivered { code: code() }
        }
        (AnswerTo::Start, _) => Input::StartUnanswered,
        (AnswerTo::Stop, CommandOutcome::Accepted) => Input::StopAccepted,
        (AnswerTo::Stop, CommandOutcome::Rejected) => {
            Input::StopRefused { not_charging: answer.code == "02", code: code() }
        }
        (AnswerTo::Stop, _) => Input::StopUnanswered,
    }
}

/// What an event means to orders, in the order in which it is to be applied.
#[must_use]
pub fn incoming(event: &proto::Envelope) -> Vec<Incoming> {
    let connector = Target::Connector(event.connector);
    let one = |target, input| vec![Incoming::Input { target, input }];
    match &event.body {
        Some(Body::Connected(_)) => one(Target::Charger, Input::ChargerOnline),
        Some(Body::Disconnected(_)) => one(Target::Charger, Input::ChargerOffline),
        Some(Body::StatusChanged(status)) => {
            status_changed(connector, status, event.protocol() == proto::Protocol::Ykc)
        }
        Some(Body::SessionAuthorized(it)) => vec![Incoming::Authorized {
            session: it.session.clone(),
            token: it.token.clone(),
            start_mode: StartMode::from_event(it.start_mode()),
            tariff: it.tariff.clone(),
        }],
        Some(Body::SessionStarted(it)) => vec![Incoming::Started {
            session: it.session.clone(),
            token: it.token.clone(),
            input: Input::SessionStarted {
                session: it.session.clone(),
                started_at_ms: it.started_at_ms,
                meter_start: it.meter_start_e4.and_then(|value| EnergyE4::try_from(value).ok()),
                connector: event.connector,
            },
            offline: it.offline,
        }],
        Some(Body::SessionEnded(it)) => one(Target::Session(it.session.clone()), Input::SessionEnded),
        Some(Body::TransactionRecorded(it)) => vec![match Record::from_event(it) {
            Ok(record) => Incoming::Recorded(Box::new(record)),
            Err(error) => Incoming::Unreadable(error),
        }],
        Some(Body::MeterSampled(sample)) => sampled(connector, sample, event.occurred_at_ms),
        Some(Body::CommandAnswered(it)) => vec![Incoming::Answered { command_id: it.command_id.clone() }],
        Some(Body::ClockReported(it)) => vec![Incoming::Clock { skew_ms: it.skew_ms }],
        _ => Vec::new(),
    }
}

/// A YKC charger that is idle says so in every frame; an OCPP charger once, when it means it.
fn status_changed(connector: Target, status: &proto::StatusChanged, ykc: bool) -> Vec<Incoming> {
    let unplugged = status.plugged == Some(false);
    let input = match status.status() {
        _ if unplugged => Input::Unplugged,
        status if ykc && idle(status) => Input::IdleFrame,
        ConnectorStatus::Available => Input::Unplugged,
        ConnectorStatus::Finishing => Input::SessionEnded,
        _ => return Vec::new(),
    };
    vec![Incoming::Input { target: connector, input }]
}

/// No current, plugged or not.
const fn idle(status: ConnectorStatus) -> bool {
    matches!(status, ConnectorStatus::Available | ConnectorStatus::Occupied | ConnectorStatus::Finishing)
}

fn sampled(connector: Target, sample: &proto::MeterSampled, at_ms: i64) -> Vec<Incoming> {
    let figure = |value: Option<u64>| value.and_then(|value| EnergyE4::try_from(value).ok());
    let (energy, register) = (figure(sample.energy_e4), figure(sample.register_e4));
    let mut heard = Vec::new();
    let status = sample.status();
    if !sample.session.is_empty() {
        if energy.is_some() || register.is_some() {
            let session = sample.session.clone();
            heard.push(Incoming::Sampled(Reading { session, at_ms, energy, register }));
        }
        // OCPP meter values carry no status: that they come is the sign.
        if matches!(status, ConnectorStatus::Charging | ConnectorStatus::Suspended | ConnectorStatus::Unspecified) {
            let target = Target::Session(sample.session.clone());
            heard.push(Incoming::Input { target, input: Input::StillCharging { energy } });
        }
    }
    if sample.plugged == Some(false) {
        heard.push(Incoming::Input { target: connector, input: Input::Unplugged });
    } else if idle(status) {
        heard.push(Incoming::Input { target: connector, input: Input::IdleFrame });
    }
    heard
}

//! What a trial does, drawn from its seed.

use std::fmt;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use simulator::FaultPlan;

use crate::{
    charger_line::{Point, Touch},
    line::Way,
    spoken::Money,
};

/// The two ways to run the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `evgate serve`: SQLite only.
    Embedded,
    /// `evgate gateway` twice, `evgate api`, a real Kafka, a real PostgreSQL.
    Cluster,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Embedded { "embedded" } else { "cluster" })
    }
}

/// What can be killed or frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The gateway that the chargers talk to; in the embedded form the whole platform.
    Gateway,
    Api,
    Broker,
    Database,
}

/// What the network can do something to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// All chargers and the gateway.
    Chargers,
    /// Broker and gateways (and API, in half of the trials).
    Broker,
    /// API and database.
    Database,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Only what the line did to the chosen message.
    Nothing,
    /// SIGKILL after `after_ms`; started again `down_ms` later.
    Kill { who: Who, after_ms: u64, down_ms: u64 },
    /// SIGSTOP, and SIGCONT after so long.
    Freeze { who: Who, ms: u64 },
    /// All connections are cut, and the chargers get to the other gateway.
    Move,
    /// The gateway is frozen, the chargers move to the other one, and the frozen one wakes up.
    FreezeAndMove { ms: u64 },
    /// All connections are cut.
    Cut(Between),
    /// Nothing passes in either direction for so long.
    Hold { between: Between, ms: u64 },
    /// Every piece is late by `each_ms`, for so long.
    Slow { between: Between, each_ms: u64, ms: u64 },
}

/// When it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So many ms after the first charger called.
    At(u64),
    /// When the chosen message passes, to which the line does something as well.
    Message(Point, Touch),
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub when: When,
    pub deed: Deed,
}

/// A trial.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub form: Form,
    pub ykc: usize,
    pub ocpp: usize,
    /// Sessions of each charger.
    pub sessions: u32,
    pub faults: Vec<Fault>,
    /// What the chargers' own writes suffer.
    pub noise: FaultPlan,
    /// The API reaches the broker over the line with the faults, too.
    pub api_over_line: bool,
    /// The gateways of the cluster form have a spool.
    pub spool: bool,
}

impl Plan {
    /// The trial of a seed.
    pub fn draw(seed: u64, form: Form) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let noise = FaultPlan {
            most: 6,
            drop_mid_message_per_mille: 15,
            split_write_per_mille: 40,
            broken_copy_per_mille: 15,
            duplicate_record_per_mille: 150,
            garbage_per_mille: 15,
        };
        let mut plan = Self {
            seed,
            form,
            ykc: rng.random_range(2..=4),
            ocpp: rng.random_range(2..=4),
            sessions: rng.random_range(1..=3),
            faults: Vec::new(),
            noise,
            api_over_line: rng.random(),
            spool: rng.random_ratio(3, 4),
        };
        let mut bearable = BEARABLE_MS;
        plan.faults = (0..rng.random_range(1..=4)).map(|_| fault(&mut rng, &plan, &mut bearable)).collect();
        plan
    }

    /// A trial of a form without any fault, for tests that bring their own.
    pub fn quiet(seed: u64, form: Form) -> Self {
        Self {
            seed,
            form,
            ykc: 2,
            ocpp: 2,
            sessions: 1,
            faults: Vec::new(),
            noise: FaultPlan::default(),
            api_over_line: true,
            spool: false,
        }
    }
}

/// So long, in all, connections of chargers that live on may say nothing, ms: a third attempt of an OCPP station always finds
/// somebody at home.
const BEARABLE_MS: u64 = 4_000;

fn fault(rng: &mut StdRng, plan: &Plan, bearable: &mut u64) -> Fault {
    let mut deed = |rng: &mut StdRng| {
        let deed = deed(rng, plan.form);
        let lasts = match deed {
            Deed::Freeze { who: Who::Gateway, ms } | Deed::Hold { between: Between::Chargers, ms } => ms,
            _ => 0,
        };
        if lasts > *bearable {
            return Deed::Cut(Between::Chargers);
        }
        *bearable -= lasts;
        deed
    };
    if rng.random_ratio(1, 3) {
        // While there is something going on.
        let last_ms = 600 + 1_000 * u64::from(plan.sessions);
        return Fault { when: When::At(rng.random_range(200..last_ms)), deed: deed(rng) };
    }
    let kind = *[Money::Record, Money::Record, Money::Record, Money::Start, Money::Stop, Money::Stop, Money::Meter]
        .choose(rng)
        .expect("not empty");
    let way = if rng.random() { Way::Up } else { Way::Down };
    // One that will come: each session has one of each, at least.
    let chargers = if kind == Money::Record { plan.ykc } else { plan.ocpp };
    let sessions = u32::try_from(chargers).expect("a few") * plan.sessions;
    let point = Point { kind, way, nth: rng.random_range(1..=sessions.min(6)) };
    let touch = match rng.random_range(0..10) {
        0..4 => Touch::Nothing,
        4..6 => Touch::Swallow,
        6 => Touch::Inside,
        7 => Touch::HalfOpen,
        _ => Touch::Late(rng.random_range(20..1_200)),
    };
    let deed = if touch == Touch::Nothing || rng.random_ratio(1, 3) { deed(rng) } else { Deed::Nothing };
    Fault { when: When::Message(point, touch), deed }
}

fn deed(rng: &mut StdRng, form: Form) -> Deed {
    // What lasts on a live connection stays far below what a charger bears (see docs/crash-matrix.md).
    let ms = rng.random_range(200..2_000);
    let (each_ms, after_ms) = (rng.random_range(5..80), *[0, 0, 1, 3, 10, 40].choose(rng).expect("not empty"));
    let kill = |who, down_ms| Deed::Kill { who, after_ms, down_ms };
    let short = rng.random_range(0..1_500);
    let between = Between::Chargers;
    match (form, rng.random_range(0..20)) {
        (Form::Embedded, 0..11) => kill(Who::Gateway, short),
        (Form::Embedded, 11..14) => Deed::Freeze { who: Who::Gateway, ms },
        (_, 14 | 15) | (Form::Cluster, 13) => Deed::Cut(between),
        (Form::Embedded, 16 | 17) | (Form::Cluster, 16) => Deed::Hold { between, ms },
        (Form::Embedded, _) => Deed::Slow { between, each_ms, ms },
        (Form::Cluster, 0..3) => kill(Who::Gateway, short),
        (Form::Cluster, 3) => kill(Who::Broker, short),
        // Long enough that chargers without an answer would have given up three times.
        (Form::Cluster, 4) => kill(Who::Broker, rng.random_range(4_000..8_000)),
        (Form::Cluster, 5 | 6) => kill(Who::Api, short),
        (Form::Cluster, 7) => kill(Who::Database, short),
        (Form::Cluster, 8) => Deed::Freeze { who: Who::Broker, ms },
        (Form::Cluster, 9) => Deed::Freeze { who: if rng.random() { Who::Gateway } else { Who::Api }, ms },
        (Form::Cluster, 10) => Deed::Move,
        (Form::Cluster, 11 | 12) => Deed::FreezeAndMove { ms },
        (Form::Cluster, _) => {
            let between = if rng.random() { Between::Broker } else { Between::Database };
            match rng.random_range(0..3) {
                0 => Deed::Cut(between),
                1 => Deed::Hold { between, ms },
                _ => Deed::Slow { between, each_ms, ms },
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.form == Form::Cluster {
            f.write_str(if self.spool { "spool; " } else { "no spool; " })?;
        }
        for (at, fault) in self.faults.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.when {
            When::At(ms) => write!(f, "at {ms} ms: {}", self.deed),
            When::Message(Point { kind, way, nth }, touch) => {
                write!(f, "{kind:?} {nth} {}: {touch:?}", if way == Way::Up { "up" } else { "answer" })?;
                if self.deed == Deed::Nothing { Ok(()) } else { write!(f, ", {}", self.deed) }
            }
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Kill { who, after_ms: 0, down_ms } => write!(f, "kill {who:?} for {down_ms} ms"),
            Self::Kill { who, after_ms, down_ms } => write!(f, "kill {who:?} {after_ms} ms later, for {down_ms} ms"),
            Self::Freeze { who, ms } => write!(f, "freeze {who:?} for {ms} ms"),
            Self::Move => f.write_str("move to the other gateway"),
            Self::FreezeAndMove { ms } => write!(f, "freeze Gateway for {ms} ms and move"),
            Self::Cut(between) => write!(f, "cut {between:?}"),
            Self::Hold { between, ms } => write!(f, "hold {between:?} for {ms} ms"),
            Self::Slow { between, each_ms, ms } => write!(f, "slow {between:?} by {each_ms} ms for {ms} ms"),
        }
    }
}

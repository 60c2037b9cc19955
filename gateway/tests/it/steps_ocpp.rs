//! The steps of an OCPP 1.6 session, `(now, message) → effects`, one table a rule: no socket, no log, no waiting.

use events::commands::{StartCharging, command::Action};
use gateway::session::{Effects, ocpp16::Ocpp16Session};
use serde_json::{Value, json};

use crate::common::{
    ocpp,
    registry::{STATION, TENANT},
    steps::{Case, Wanted, World, check, command},
};

/// What happens to the session. Every CALL has an id.
#[derive(Clone, Copy, Debug)]
enum Do {
    Heartbeat(&'static str),
    Start(&'static str),
    /// At another connector.
    StartAt(&'static str, i64),
    /// With the tag of a remote start, at this meter reading.
    TagStart(&'static str, u32),
    /// The gateway reads that remote start from the log.
    Tagged,
    /// MeterValues of a transaction, with so many moments.
    Meter(&'static str, usize),
    /// MeterValues without transaction.
    FreeMeter(&'static str),
    Stop(&'static str),
    /// A StopTransaction without meterStop.
    BadStop(&'static str),
    NoJson,
    /// The log confirms the n-th event of the case that somebody waits for.
    Durable(usize),
    /// The log gives it up.
    Failed(usize),
    /// Time passes, and the deadlines are looked at.
    Wait(u64),
    /// The station logs in on another connection.
    Rival,
    /// This connection is told.
    Fenced,
    /// The registry has the station no more.
    Removed,
    /// The same is told of a seat that the station had before.
    OldSeatRemoved,
    /// The business side wants a remote start.
    Command(&'static str),
    /// The station's answer to the last CALL of ours.
    Answer(&'static str),
}
use Do::*;

struct Rig {
    world: World,
    session: Ocpp16Session,
    epoch: u64,
    tickets: Vec<u32>,
    last_call: Value,
}

impl Rig {
    fn new() -> Self {
        let (world, mut fx) = (World::new(), Effects::default());
        let session = Ocpp16Session::begin(&world.cx(0), STATION, TENANT, &mut fx);
        let wanted = Wanted::from(fx);
        assert_eq!(wanted.line(&wanted.ocpp()), "- | Connected | -");
        let epoch = world.live.find(STATION).unwrap().epoch;
        Self { world, session, epoch, tickets: Vec::new(), last_call: Value::Null }
    }

    fn step(&mut self, step: Do) -> Wanted {
        if let Wait(ms) = step {
            self.world.mono_ms += ms;
        }
        let (mut fx, cx) = (Effects::default(), self.world.cx(0));
        let call = |id: &str, action: &str, payload: Value| json!([2, id, action, payload]).to_string();
        let text = match step {
            Heartbeat(id) => Some(call(id, "Heartbeat", json!({}))),
            Start(id) => Some(call(id, "StartTransaction", ocpp::start(1, 1_000))),
            StartAt(id, connector) => {
                let mut start = ocpp::start(1, 1_000);
                start["connectorId"] = connector.into();
                Some(call(id, "StartTransaction", start))
            }
            TagStart(id, meter) => {
                let mut start = ocpp::start(1, meter);
                start["idTag"] = ORDER_TAG.into();
                Some(call(id, "StartTransaction", start))
            }
            Meter(id, moments) => {
                let mut values = ocpp::meter_values(5, 1_200);
                values["meterValue"] = vec![values["meterValue"][0].clone(); moments].into();
                Some(call(id, "MeterValues", values))
            }
            FreeMeter(id) => {
                let mut values = ocpp::meter_values(5, 1_200);
                values.as_object_mut().unwrap().remove("transactionId");
                Some(call(id, "MeterValues", values))
            }
            Stop(id) => Some(call(id, "StopTransaction", ocpp::stop(5, 2_000))),
            BadStop(id) => Some(call(id, "StopTransaction", json!({"transactionId": 5}))),
            NoJson => Some("nonsense".to_owned()),
            Answer(status) => Some(json!([3, self.last_call, {"status": status}]).to_string()),
            _ => None,
        };
        match step {
            Tagged => self.world.tags.remember(STATION, ORDER_TAG, cx.now.wall_ms, cx.now.wall_ms),
            Durable(nth) => self.session.on_ack(&cx, self.tickets[nth], true, &mut fx),
            Failed(nth) => self.session.on_ack(&cx, self.tickets[nth], false, &mut fx),
            Wait(_) => self.session.on_tick(&cx, &mut fx),
            Rival => {
                Ocpp16Session::begin(&self.world.cx(1), STATION, TENANT, &mut fx);
                assert_eq!(fx.fenced.len(), 1);
            }
            Fenced => {
                let now = self.world.live.find(STATION).unwrap();
                let lost = gateway::registry::Seat::detached(STATION, TENANT, now.protocol, self.epoch);
                self.session.on_fenced(&lost, &mut fx);
            }
            Removed => self.session.on_removed(&self.world.live.find(STATION).unwrap(), &mut fx),
            OldSeatRemoved => {
                let now = self.world.live.find(STATION).unwrap();
                let old = gateway::registry::Seat::detached(STATION, TENANT, now.protocol, self.epoch - 1);
                self.session.on_removed(&old, &mut fx);
            }
            Command(id) => {
                let action = Action::StartCharging(StartCharging { id_tag: "R1".into(), ..Default::default() });
                assert!(self.session.on_command(&cx, &command(id, STATION, action), &mut fx));
            }
            _ => self.session.on_text(&cx, &text.unwrap(), &mut fx),
        }
        let wanted = Wanted::from(fx);
        self.tickets.extend(wanted.tickets());
        if let Some(call) = wanted.messages().into_iter().flatten().find(|message| message[0] == 2) {
            self.last_call = call[1].clone();
        }
        wanted
    }
}

const ORDER_TAG: &str = "RABCDEFGHIJKLMNOPQRS";
const NOTHING: &str = "- | - | -";
const STARTS: &str = "- | SessionStarted! | -";
const GIVEN_UP: &str = "close:1013 | - | log_unavailable";

const CASES: &[Case<Do>] = &[
    (
        "liveness is answered from memory while money waits",
        &[
            (Start("a"), "- | SessionStarted! | -"),
            (Heartbeat("b"), "3:b | - | -"),
            (Durable(0), "3:a:Accepted | - | -"),
            (Durable(0), NOTHING),
        ],
    ),
    (
        "a start at a connector that the station does not have is told, for it may be money, and is not accepted",
        &[
            (StartAt("a", 3), STARTS),
            (Durable(0), "3:a:Invalid | - | -"),
            (StartAt("b", 0), STARTS),
            (Durable(1), "3:b:Invalid | - | -"),
            (StartAt("c", -1), STARTS),
            (Durable(2), "3:c:Invalid | - | -"),
            (StartAt("d", 2), STARTS),
            (Durable(3), "3:d:Accepted | - | -"),
        ],
    ),
    (
        "the tag of an order is good for one session, said as often as may be; another is told and not accepted",
        &[
            (Tagged, NOTHING),
            (TagStart("a", 100), STARTS),
            (Durable(0), "3:a:Accepted | - | -"),
            (TagStart("b", 100), STARTS),
            (Durable(1), "3:b:Accepted | - | -"),
            (Tagged, NOTHING),
            (TagStart("c", 900), STARTS),
            (Durable(2), "3:c:ConcurrentTx | - | -"),
        ],
    ),
    (
        "a message sent again with another id is told again, and each id is answered",
        &[
            (Stop("a"), "- | TransactionRecorded! | -"),
            (Stop("b"), "- | TransactionRecorded! | -"),
            (Durable(1), "3:b | - | -"),
            (Durable(0), "3:a | - | -"),
        ],
    ),
    (
        "meter values of a transaction are answered when the log has all of them",
        &[(Meter("a", 2), "- | MeterSampled! MeterSampled! | -"), (Durable(1), NOTHING), (Durable(0), "3:a | - | -")],
    ),
    ("meter values of no transaction are answered at once", &[(FreeMeter("a"), "3:a | MeterSampled | -")]),
    (
        "money that the log gives up is not answered: no error either",
        &[(Stop("a"), "- | TransactionRecorded! | -"), (Failed(0), GIVEN_UP)],
    ),
    (
        "money that the log has not confirmed in time is not answered",
        &[(Stop("a"), "- | TransactionRecorded! | -"), (Wait(19_999), NOTHING), (Wait(1), GIVEN_UP)],
    ),
    (
        "money that cannot be read is kept before it is refused",
        &[
            (BadStop("a"), "- | dead:ocpp_stop_unreadable! | -"),
            (Durable(0), "4:a:OccurenceConstraintViolation | - | -"),
        ],
    ),
    (
        "who lost its seat does not speak for the charger",
        &[
            (Stop("a"), "- | TransactionRecorded! | -"),
            (Rival, "- | Connected | -"),
            (Durable(0), NOTHING),
            (Heartbeat("b"), NOTHING),
            (Stop("c"), NOTHING),
            (Fenced, "close:1008 | - | superseded"),
        ],
    ),
    (
        "who is in the registry no more hears the answers to what it told, and says nothing else",
        &[
            (OldSeatRemoved, NOTHING),
            (Start("a"), "- | SessionStarted! | -"),
            (Stop("b"), "- | TransactionRecorded! | -"),
            (Command("1"), "2:RemoteStartTransaction | - | -"),
            (Command("2"), NOTHING),
            (Removed, NOTHING),
            (Command("3"), "- | answered:3:REJECTED | -"),
            (Stop("c"), NOTHING),
            (Heartbeat("d"), NOTHING),
            (Wait(19_999), NOTHING),
            (Durable(1), "3:b | - | -"),
            (Durable(0), "3:a:Accepted close:1008 | - | removed"),
        ],
    ),
    (
        "a station that is in the registry no more goes at once when nothing waits",
        &[(Removed, "close:1008 | - | removed")],
    ),
    (
        "a stream without JSON is not trusted, and one good message begins the count anew",
        &[
            (NoJson, NOTHING),
            (NoJson, NOTHING),
            (Heartbeat("a"), "3:a | - | -"),
            (NoJson, NOTHING),
            (NoJson, NOTHING),
            (NoJson, "close:1008 | - | too_many_bad"),
        ],
    ),
    (
        "one CALL of ours at a time; the next goes after the answer, and what has no room is told",
        &[
            (Command("1"), "2:RemoteStartTransaction | - | -"),
            (Command("2"), NOTHING),
            (Command("3"), NOTHING),
            (Command("4"), "- | answered:4:QUEUE_FULL | -"),
            (Answer("Accepted"), "2:RemoteStartTransaction | answered:1:ACCEPTED | -"),
            (Answer("Rejected"), "2:RemoteStartTransaction | answered:2:REJECTED | -"),
        ],
    ),
    (
        "a CALL that is not answered in time makes room for the next",
        &[
            (Command("1"), "2:RemoteStartTransaction | - | -"),
            (Command("2"), NOTHING),
            (Wait(29_999), NOTHING),
            (Wait(1), "2:RemoteStartTransaction | answered:1:NO_ANSWER | -"),
        ],
    ),
];

#[test]
fn every_step_wants_what_its_rule_says() {
    check(CASES, Rig::new, |rig, step| {
        let wanted = rig.step(step);
        wanted.line(&wanted.ocpp())
    });
}

/// The id of a transaction follows from its start, so that a retry gets the same one from any node at any time.
#[test]
fn a_start_sent_again_gets_the_same_transaction() {
    let id = |rig: &mut Rig, message: &'static str, nth: usize| {
        rig.step(Start(message));
        let answer = rig.step(Durable(nth)).messages().remove(0).unwrap();
        assert_eq!(answer[1], message);
        answer[2]["transactionId"].as_i64().unwrap()
    };
    let (mut here, mut elsewhere) = (Rig::new(), Rig::new());
    let first = id(&mut here, "a", 0);
    assert!(first > 0);
    assert_eq!(id(&mut here, "b", 1), first);
    here.step(Wait(10_000));
    assert_eq!(id(&mut here, "c", 2), first);
    assert_eq!(id(&mut elsewhere, "d", 0), first);
}

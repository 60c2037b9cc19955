//! The steps of a YKC session, `(now, message) → effects`, one table a rule: no socket, no log, no waiting.

use codecs::error::FrameError;
use codecs::ykc::{self as codec, Flag, Gun, GunState, Scan, ScanOptions, StartMode, TradeNo, Vin};
use events::{
    commands::{ReadLiveData, StopCharging, command::Action},
    prost::Message as _,
    proto::envelope::Body,
    registry::RegistryEntry,
};
use gateway::session::{CloseReason, Effects, What, ykc::YkcSession};

use proptest::prelude::*;

use crate::common::{
    command::start,
    registry::{self, CARD, PILE, PILE_B, PILE_OFF},
    steps::{Case, Wanted, World, check, command},
    ykc,
};

/// What happens to the session.
#[derive(Clone, Copy, Debug)]
enum Do {
    Login(&'static str),
    /// It says that it has no guns.
    Gunless,
    Beat,
    /// A card is swiped.
    Card,
    /// 0x13 of a session that charges.
    Charging(u16),
    /// 0x13 of an idle gun without plug.
    Unplugged,
    /// 0x3B.
    Record(u16),
    /// 0x3B that ends in the middle.
    CutRecord,
    Garbage,
    /// The log confirms the n-th event of the case that somebody waits for.
    Durable(usize),
    /// The log gives it up.
    Failed(usize),
    /// Time passes, and the deadlines are looked at.
    Wait(u64),
    /// Time passes.
    Pass(u64),
    /// The time for a login is over.
    LoginOver,
    /// The pile logs in on another connection.
    Rival,
    /// This connection is told.
    Fenced,
    /// The registry has the pile no more.
    Removed,
    /// The same is told of a seat that the pile had before.
    OldSeatRemoved,
    /// 0x13 of a gun that does nothing.
    Idle(u8),
    /// Prices change, and the pile's session hears that they may have.
    Reprice(u32),
    /// It hears that, and they have not.
    Told,
    /// 0x57 yes and no.
    Took,
    Refused,
    /// 0x09.
    Ask,
    /// The connection is lost; the next step is on a new one.
    Reconnect,
    /// A card is swiped at another gun.
    CardAt(u8),
    /// The business side wants a session started, stopped, live data.
    Start(&'static str, u16),
    Stop(&'static str, u16),
    Live(&'static str),
    /// 0x35 yes.
    Stopping,
    /// 0x33 no.
    Faulty(u16),
    /// 0x13 of a gun that charges and does not say for whom.
    Nameless,
    /// 0x3B of a start that failed.
    Failure(u16),
}
use Do::*;

struct Rig {
    world: World,
    session: YkcSession,
    seq: u16,
    tickets: Vec<u32>,
}

impl Rig {
    fn new() -> Self {
        Self { world: World::new(), session: YkcSession::new(), seq: 0, tickets: Vec::new() }
    }

    fn hear(&mut self, body: &impl codec::Body) -> Wanted {
        let mut bytes = Vec::new();
        codec::encode(self.seq.to_le_bytes(), body, &mut bytes);
        self.hear_bytes(&bytes)
    }

    fn hear_bytes(&mut self, bytes: &[u8]) -> Wanted {
        let (mut fx, cx) = (Effects::default(), self.world.cx(0));
        self.seq += 1;
        match codec::scan(bytes, ScanOptions::default()) {
            Scan::Frame { frame, .. } => self.session.on_frame(&cx, &frame, &mut fx),
            other => panic!("{other:?}"),
        }
        fx.into()
    }

    fn step(&mut self, step: Do) -> Wanted {
        let no_trade = TradeNo::ZERO;
        let wanted = match step {
            Login(id) => self.hear(&ykc::login(id)),
            Gunless => self.hear(&codec::Login { gun_count: 0, ..ykc::login(PILE) }),
            Beat => self.hear(&ykc::heartbeat(PILE)),
            Card => self.hear(&swipe()),
            CardAt(gun) => self.hear(&codec::StartRequest { gun: Gun(gun), ..swipe() }),
            Nameless => self.hear(&ykc::real_time(PILE, GunState::Charging, true, no_trade)),
            Stopping => self.hear(&codec::RemoteStopReply {
                pile: ykc::pile(PILE),
                gun: Gun(1),
                result: codec::Outcome::Ok,
                failure: codec::StopFailure::None,
            }),
            Faulty(n) => self.hear(&codec::RemoteStartReply {
                trade_no: ykc::trade(PILE, n),
                pile: ykc::pile(PILE),
                gun: Gun(1),
                result: codec::Outcome::Failed,
                failure: codec::StartFailure::Fault,
            }),
            Failure(n) => self.hear(&codec::Record {
                total_energy: codec::Energy(0),
                stop_reason: codec::StopReason(0x4b),
                ..ykc::record(PILE, ykc::trade(PILE, n))
            }),
            Start(id, n) => self.command(id, start(ykc::trade(PILE, n))),
            Stop(id, n) => {
                let session = ykc::trade(PILE, n).to_string();
                self.command(id, Action::StopCharging(StopCharging { session }))
            }
            Live(id) => self.command(id, Action::ReadLiveData(ReadLiveData {})),
            Charging(n) => self.hear(&ykc::real_time(PILE, GunState::Charging, true, ykc::trade(PILE, n))),
            Unplugged => self.hear(&ykc::real_time(PILE, GunState::Idle, false, no_trade)),
            Idle(gun) => self.hear(&ykc::idle(PILE, gun)),
            Took => self.hear(&codec::ModelSetReply { pile: ykc::pile(PILE), result: codec::Outcome::Ok }),
            Refused => self.hear(&codec::ModelSetReply { pile: ykc::pile(PILE), result: codec::Outcome::Failed }),
            Ask => self.hear(&codec::ModelRequest { pile: ykc::pile(PILE) }),
            Record(n) => self.hear(&ykc::record(PILE, ykc::trade(PILE, n))),
            CutRecord => {
                let body = &body_of(&ykc::record(PILE, ykc::trade(PILE, 1)))[..60];
                let bytes = frame(self.seq, 0x3b, body);
                self.hear_bytes(&bytes)
            }
            Reconnect => {
                let (mut fx, cx) = (Effects::default(), self.world.cx(0));
                std::mem::replace(&mut self.session, YkcSession::new()).finish(&cx, CloseReason::PeerLeft, &mut fx);
                fx.into()
            }
            Rival => {
                let (mut fx, cx, mut rival) = (Effects::default(), self.world.cx(1), YkcSession::new());
                let mut bytes = Vec::new();
                codec::encode([0, 0], &ykc::login(PILE), &mut bytes);
                let Scan::Frame { frame, .. } = codec::scan(&bytes, ScanOptions::default()) else { panic!() };
                rival.on_frame(&cx, &frame, &mut fx);
                assert_eq!(fx.fenced.len(), 1);
                fx.into()
            }
            Pass(ms) => {
                self.world.mono_ms += ms;
                Effects::default().into()
            }
            step => self.other(step),
        };
        self.tickets.extend(wanted.tickets());
        wanted
    }

    fn command(&mut self, id: &str, action: Action) -> Wanted {
        let (mut fx, cx) = (Effects::default(), self.world.cx(0));
        assert!(self.session.on_command(&cx, &command(id, PILE, action), &mut fx));
        fx.into()
    }

    fn other(&mut self, step: Do) -> Wanted {
        if let Wait(ms) = step {
            self.world.mono_ms += ms;
        }
        if let Reprice(model_no) = step {
            let tariff = RegistryEntry { value: Some(registry::priced(model_no)) }.encode_to_vec();
            self.world.replica.apply(registry::tariff_key().as_bytes(), Some(&tariff)).unwrap();
        }
        let (mut fx, cx) = (Effects::default(), self.world.cx(0));
        match step {
            Reprice(_) | Told => self.session.on_tariff(&cx, &self.world.live.find(PILE).unwrap(), &mut fx),
            Durable(nth) => self.session.on_ack(&cx, self.tickets[nth], true, &mut fx),
            Failed(nth) => self.session.on_ack(&cx, self.tickets[nth], false, &mut fx),
            Wait(_) => self.session.on_tick(&cx, false, &mut fx),
            LoginOver => self.session.on_tick(&cx, true, &mut fx),
            Garbage => self.session.on_frame_error(&cx, &FrameError::NoStart { skipped: 1 }, &mut fx),
            Fenced => {
                let mut claim = self.world.live.find(PILE).unwrap();
                // The seat that lost is the one before the rival's.
                claim = gateway::registry::Seat::detached(PILE, claim.tenant, claim.protocol, claim.epoch - 1);
                self.session.on_fenced(&cx, &claim, &mut fx);
            }
            Removed => self.session.on_removed(&cx, &self.world.live.find(PILE).unwrap(), &mut fx),
            OldSeatRemoved => {
                let seat = self.world.live.find(PILE).unwrap();
                let old = gateway::registry::Seat::detached(PILE, seat.tenant, seat.protocol, seat.epoch - 1);
                self.session.on_removed(&cx, &old, &mut fx);
            }
            step => panic!("{step:?}"),
        }
        fx.into()
    }
}

fn swipe() -> codec::StartRequest {
    codec::StartRequest {
        pile: ykc::pile(PILE),
        gun: Gun(1),
        start_mode: StartMode::Card,
        password_needed: Flag::No,
        physical_card: CARD.parse::<codec::Card>().unwrap(),
        password: [0; 16],
        vin: Vin::NONE,
    }
}

fn body_of(body: &impl codec::Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode([0, 0], body, &mut bytes);
    bytes[6..bytes.len() - 2].to_vec()
}

fn frame(seq: u16, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x68, u8::try_from(body.len() + 4).unwrap()];
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(&[0, kind]);
    bytes.extend_from_slice(body);
    let crc = codec::crc16(&bytes[2..]);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// The rule, and what follows from each step: `answers | events | close`. An answer shows its yes or no and the sequence it
const IN: (Do, &str) = (Login(PILE), "0x02:00#0 | Connected ChargerBooted | -");
const NOTHING: &str = "- | - | -";
const BEGINS: &str = "- | SessionStarted StatusChanged MeterSampled | -";
const GRANTED: &str = "- | SessionAuthorized! | -";

const CASES: &[Case<Do>] = &[
    ("a pile that says its login again keeps its seat", &[IN, (Login(PILE), "0x02:00#1 | ChargerBooted | -")]),
    ("an unknown pile is refused", &[(Login("32010600019999"), "0x02:01#0 | - | refused")]),
    ("a pile that is switched off is refused", &[(Login(PILE_OFF), "0x02:01#0 | - | refused")]),
    (
        "one pile too many is refused, and the others go on",
        &[
            IN,
            (Login(PILE_B), "0x02:00#1 | Connected ChargerBooted | -"),
            (Login(PILE_OFF), "0x02:01#2 | - | -"),
            (Beat, "0x04#3 | - | -"),
        ],
    ),
    ("who has not logged in is not answered", &[(Beat, NOTHING), (Record(1), NOTHING), (Card, NOTHING)]),
    ("the time for a login ends", &[(Wait(1), NOTHING), (LoginOver, "- | - | login_timeout")]),
    (
        "a record is answered when the log has it, once",
        &[
            IN,
            (Record(1), "- | TransactionRecorded! | -"),
            (Beat, "0x04#2 | - | -"),
            (Durable(0), "0x40:00#1 | - | -"),
            (Durable(0), NOTHING),
        ],
    ),
    (
        "a record that the log gives up is not answered",
        &[IN, (Record(1), "- | TransactionRecorded! | -"), (Failed(0), "- | - | log_unavailable")],
    ),
    (
        "a record that the log has not confirmed in time is not answered",
        &[
            IN,
            (Record(1), "- | TransactionRecorded! | -"),
            (Wait(19_999), NOTHING),
            (Wait(1), "- | - | log_unavailable"),
        ],
    ),
    (
        "a record sent again is told again, and each is answered by its own sequence",
        &[
            IN,
            (Record(1), "- | TransactionRecorded! | -"),
            (Record(1), "- | TransactionRecorded! | -"),
            (Durable(1), "0x40:00#2 | - | -"),
            (Durable(0), "0x40:00#1 | - | -"),
        ],
    ),
    (
        "a record that cannot be read is kept before it is called illegal",
        &[IN, (CutRecord, "- | dead:ykc_record_unparsable! | -"), (Durable(0), "0x40:01#1 | - | -")],
    ),
    (
        "who lost its seat does not speak for the charger, and does not say that it left",
        &[
            IN,
            (Record(1), "- | TransactionRecorded! | -"),
            (Rival, "0x02:00#0 | Connected ChargerBooted | -"),
            (Durable(0), NOTHING),
            (Record(2), NOTHING),
            (Card, NOTHING),
            (Beat, NOTHING),
            (Fenced, "- | - | superseded"),
        ],
    ),
    (
        "who is in the registry no more hears the answers to what it told, and says nothing else",
        &[
            IN,
            (OldSeatRemoved, NOTHING),
            (Record(1), "- | TransactionRecorded! | -"),
            (Card, "- | SessionAuthorized! | -"),
            (Record(2), "- | TransactionRecorded! | -"),
            (Removed, NOTHING),
            (Record(3), NOTHING),
            (Beat, NOTHING),
            (Durable(1), NOTHING),
            (Durable(0), "0x40:00#1 | - | -"),
            (Durable(2), "0x40:00#3 | Disconnected | removed"),
        ],
    ),
    (
        "one pile of several goes alone",
        &[
            IN,
            (Login(PILE_B), "0x02:00#1 | Connected ChargerBooted | -"),
            (Removed, "- | Disconnected | -"),
            (Beat, NOTHING),
            (Record(1), NOTHING),
            (Login(PILE_B), "0x02:00#4 | ChargerBooted | -"),
        ],
    ),
    (
        "who is in the registry no more and cannot be answered is closed like everybody",
        &[
            IN,
            (Record(1), "- | TransactionRecorded! | -"),
            (Removed, NOTHING),
            (Wait(20_000), "- | - | log_unavailable"),
        ],
    ),
    (
        "a start is granted when the log has it, and the same question meanwhile is the same question",
        &[
            IN,
            (Card, "- | SessionAuthorized! | -"),
            (Card, NOTHING),
            (Durable(0), "0x32:01/00#2 | - | -"),
            (Durable(0), NOTHING),
        ],
    ),
    (
        "a start that the log has not confirmed in time is refused, whatever it says later",
        &[
            IN,
            (Card, "- | SessionAuthorized! | -"),
            (Wait(2_999), NOTHING),
            (Wait(1), "0x32:00/05#1 | - | -"),
            (Durable(0), NOTHING),
        ],
    ),
    (
        "a start that the log gives up is refused, and the connection stays",
        &[IN, (Card, "- | SessionAuthorized! | -"), (Failed(0), "0x32:00/05#1 | - | -"), (Beat, "0x04#2 | - | -")],
    ),
    (
        "a gun that charges starts nothing else",
        &[IN, (Charging(1), "- | SessionStarted StatusChanged MeterSampled | -"), (Card, "0x32:00/0a#2 | - | -")],
    ),
    (
        "a gun whose record is missing starts nothing until the log has it, and that is told once",
        &[
            IN,
            (Charging(1), "- | SessionStarted StatusChanged MeterSampled | -"),
            (Unplugged, "- | SessionEnded StatusChanged MeterSampled | -"),
            (Card, "0x32:00/0a#3 | alarm:record_missing:true | -"),
            (Card, "0x32:00/0a#4 | - | -"),
            (Record(1), "- | TransactionRecorded! | -"),
            (Card, "0x32:00/0a#6 | - | -"),
            (Durable(0), "0x40:00#5 | alarm:record_missing:false | -"),
            (Card, "- | SessionAuthorized! | -"),
        ],
    ),
    (
        "a record that never comes does not block a gun for ever",
        &[
            IN,
            (Charging(1), "- | SessionStarted StatusChanged MeterSampled | -"),
            (Unplugged, "- | SessionEnded StatusChanged MeterSampled | -"),
            (Pass(599_999), NOTHING),
            (Card, "0x32:00/0a#3 | alarm:record_missing:true | -"),
            (Pass(1), NOTHING),
            (Card, "- | SessionAuthorized! | -"),
        ],
    ),
    (
        "a reconnect forgets that a record is missing, and the record is taken whenever it comes",
        &[
            IN,
            (Charging(1), "- | SessionStarted StatusChanged MeterSampled | -"),
            (Unplugged, "- | SessionEnded StatusChanged MeterSampled | -"),
            (Reconnect, "- | Disconnected | -"),
            (Login(PILE), "0x02:00#3 | Connected ChargerBooted | -"),
            (Card, "- | SessionAuthorized! | -"),
            (Durable(0), "0x32:01/00#4 | - | -"),
            (Charging(2), "- | SessionStarted StatusChanged MeterSampled | -"),
            (Record(1), "- | TransactionRecorded! | -"),
            (Durable(1), "0x40:00#6 | - | -"),
            (Record(2), "- | TransactionRecorded! | -"),
            (Durable(2), "0x40:00#7 | - | -"),
        ],
    ),
    (
        "new prices are sent once every gun has been heard of and is idle, and once only",
        &[
            IN,
            (Reprice(2), NOTHING),
            (Idle(1), "- | StatusChanged MeterSampled | -"),
            (Wait(1), NOTHING),
            (Idle(2), "- | StatusChanged MeterSampled | -"),
            (Wait(1), "0x58#0 | - | -"),
            (Told, NOTHING),
            (Took, "- | TariffChecked | -"),
            (Wait(1), NOTHING),
            (Told, NOTHING),
            (Reprice(3), "0x58#1 | - | -"),
        ],
    ),
    (
        "a gun that says nothing for a minute does not charge",
        &[IN, (Reprice(2), NOTHING), (Wait(59_999), NOTHING), (Wait(1), "0x58#0 | - | -")],
    ),
    (
        "of a pile that names no guns it is not known for a minute whether one charges",
        &[
            (Gunless, "0x02:00#0 | Connected ChargerBooted | -"),
            (Reprice(2), NOTHING),
            (Idle(1), "- | StatusChanged MeterSampled | -"),
            (Wait(59_999), NOTHING),
            (Wait(1), "0x58#0 | - | -"),
        ],
    ),
    (
        "a late answer to other prices is not taken for one to the newer",
        &[
            IN,
            (Wait(60_000), NOTHING),
            (Beat, "0x04#1 | - | -"),
            (Reprice(2), "0x58#0 | - | -"),
            (Wait(30_000), NOTHING),
            (Beat, "0x04#2 | - | -"),
            (Reprice(3), "0x58#1 | - | -"),
            (Took, NOTHING),
            (Wait(30_000), NOTHING),
            (Beat, "0x04#4 | - | -"),
            (Wait(60_000), "0x58#2 | - | -"),
            (Took, "- | TariffChecked | -"),
            (Wait(1), NOTHING),
        ],
    ),
    (
        "two answers to two models are one to each, and one that comes before the next is sent leaves no doubt",
        &[
            IN,
            (Wait(60_000), NOTHING),
            (Beat, "0x04#1 | - | -"),
            (Reprice(2), "0x58#0 | - | -"),
            (Wait(30_000), NOTHING),
            (Beat, "0x04#2 | - | -"),
            (Reprice(3), "0x58#1 | - | -"),
            (Refused, NOTHING),
            (Took, "- | TariffChecked | -"),
            (Reprice(4), "0x58#2 | - | -"),
            (Wait(30_000), NOTHING),
            (Took, NOTHING),
            (Beat, "0x04#6 | - | -"),
            (Reprice(5), "0x58#3 | - | -"),
            (Took, "- | TariffChecked | -"),
        ],
    ),
    (
        "a pile that charges is told when its last gun is idle, and then what holds then",
        &[
            IN,
            (Idle(2), "- | StatusChanged MeterSampled | -"),
            (Charging(1), "- | SessionStarted StatusChanged MeterSampled | -"),
            (Reprice(2), NOTHING),
            (Wait(60_000), NOTHING),
            (Reprice(3), NOTHING),
            (Unplugged, "- | SessionEnded StatusChanged MeterSampled | -"),
            (Wait(1), "0x58#0 | - | -"),
            (Took, "- | TariffChecked | -"),
            (Wait(1), NOTHING),
        ],
    ),
    (
        "who has asked meanwhile is not sent it again",
        &[
            IN,
            (Charging(1), "- | SessionStarted StatusChanged MeterSampled | -"),
            (Reprice(2), NOTHING),
            (Ask, "0x0a#2 | TariffChecked | -"),
            (Unplugged, "- | SessionEnded StatusChanged MeterSampled | -"),
            (Wait(60_000), NOTHING),
            (Told, NOTHING),
        ],
    ),
    (
        "prices do not change between a start and its session",
        &[
            IN,
            (Idle(1), "- | StatusChanged MeterSampled | -"),
            (Idle(2), "- | StatusChanged MeterSampled | -"),
            (Card, "- | SessionAuthorized! | -"),
            (Durable(0), "0x32:01/00#3 | - | -"),
            (Reprice(2), NOTHING),
            (Wait(60_000), NOTHING),
            (Beat, "0x04#4 | - | -"),
            (Wait(29_999), NOTHING),
            (Wait(1), "0x58#0 | - | -"),
        ],
    ),
    (
        "prices that change while others are on their way are sent after those",
        &[
            IN,
            (Idle(1), "- | StatusChanged MeterSampled | -"),
            (Idle(2), "- | StatusChanged MeterSampled | -"),
            (Reprice(2), "0x58#0 | - | -"),
            (Reprice(3), NOTHING),
            (Took, "- | TariffChecked | -"),
            (Wait(1), "0x58#1 | - | -"),
        ],
    ),
    (
        "a pile that does not take its prices is sent them three times, and that is told until it has them",
        &[
            IN,
            (Wait(60_000), NOTHING),
            (Reprice(2), "0x58#0 | - | -"),
            (Refused, NOTHING),
            (Wait(59_999), NOTHING),
            (Beat, "0x04#2 | - | -"),
            (Wait(1), "0x58#1 | - | -"),
            (Wait(29_999), NOTHING),
            (Wait(1), NOTHING),
            (Beat, "0x04#3 | - | -"),
            (Wait(60_000), "0x58#2 | - | -"),
            (Refused, "- | alarm:tariff_not_taken:true | -"),
            (Wait(60_000), NOTHING),
            (Told, "0x58#3 | - | -"),
            (Ask, "0x0a#5 | alarm:tariff_not_taken:false TariffChecked | -"),
        ],
    ),
    (
        "a gun that the registry does not have grants nothing",
        &[IN, (CardAt(3), "0x32:00/05#1 | - | -"), (CardAt(0), "0x32:00/05#2 | - | -"), (CardAt(2), GRANTED)],
    ),
    (
        "a stop that is said again is sent again, and is the one that is answered",
        &[
            IN,
            (Charging(1), BEGINS),
            (Stop("a", 1), "0x36#0 | - | -"),
            (Wait(29_999), NOTHING),
            (Stop("b", 1), "0x36#1 | answered:a:NO_ANSWER | -"),
            (Wait(1), NOTHING),
            (Stopping, "- | answered:b:ACCEPTED | -"),
            (Wait(30_000), NOTHING),
        ],
    ),
    (
        "a stop finds room in a full queue",
        &[
            IN,
            (Start("a", 1), "0x34#0 | - | -"),
            (Live("b"), "0x12#1 | - | -"),
            (Live("c"), "- | answered:c:QUEUE_FULL | -"),
            (Stop("d", 1), "0x36#3 | - | -"),
        ],
    ),
    (
        "a stop asks first what runs on a gun that has not said so since the login, and goes when it is ours",
        &[
            IN,
            (Stop("a", 1), "0x12#0 | - | -"),
            (Live("b"), "0x12#1 | - | -"),
            (Idle(2), "- | StatusChanged MeterSampled | -"),
            (Charging(1), "0x36#2 | answered:b:ACCEPTED SessionStarted StatusChanged MeterSampled | -"),
            (Stopping, "- | answered:a:ACCEPTED | -"),
        ],
    ),
    (
        "a stop spares the session of another driver who came meanwhile",
        &[
            IN,
            (Stop("a", 1), "0x12#0 | - | -"),
            (Charging(2), "- | SessionStarted StatusChanged MeterSampled answered:a:REJECTED | -"),
            (Stop("b", 1), "- | answered:b:REJECTED | -"),
        ],
    ),
    (
        "a stop of a gun that does nothing is answered as such",
        &[
            IN,
            (Stop("a", 1), "0x12#0 | - | -"),
            (Idle(1), "- | StatusChanged MeterSampled answered:a:REJECTED | -"),
            (Stop("b", 1), "- | answered:b:REJECTED | -"),
        ],
    ),
    (
        "a stop of a gun that never says what it does is not guessed",
        &[
            IN,
            (Stop("a", 1), "0x12#0 | - | -"),
            (Wait(15_000), NOTHING),
            (Stop("b", 1), "0x12#1 | answered:a:NO_ANSWER | -"),
            (Wait(29_999), NOTHING),
            (Wait(1), "- | answered:b:NO_ANSWER | -"),
            (Beat, "0x04#1 | - | -"),
            (Nameless, "- | StatusChanged MeterSampled | -"),
            (Stop("c", 1), "0x36#2 | - | -"),
        ],
    ),
    (
        "a stop spares a driver whose start was granted and has not begun, and calls off its own",
        &[
            IN,
            (Idle(1), "- | StatusChanged MeterSampled | -"),
            (Card, GRANTED),
            (Durable(0), "0x32:01/00#2 | - | -"),
            (Stop("a", 1), "- | answered:a:REJECTED | -"),
            (Start("b", 1), "0x34#1 | - | -"),
            (Stop("c", 1), "0x36#2 | - | -"),
            (Faulty(1), "- | answered:b:REJECTED | -"),
            (Stop("d", 1), "- | answered:c:NO_ANSWER answered:d:REJECTED | -"),
        ],
    ),
    (
        "a start that nothing was heard of is called off, however late",
        &[
            IN,
            (Idle(1), "- | StatusChanged MeterSampled | -"),
            (Start("a", 1), "0x34#0 | - | -"),
            (Wait(60_000), "- | answered:a:NO_ANSWER | -"),
            (Beat, "0x04#2 | - | -"),
            (Wait(60_000), NOTHING),
            (Stop("b", 1), "0x36#1 | - | -"),
        ],
    ),
    (
        "a start that is answered by its record alone is over",
        &[
            IN,
            (Start("a", 1), "0x34#0 | - | -"),
            (Start("b", 2), "- | answered:b:QUEUE_FULL | -"),
            (Failure(1), "- | TransactionRecorded! answered:a:REJECTED | -"),
            (Start("c", 2), "0x34#2 | - | -"),
            (Record(2), "- | TransactionRecorded! answered:c:ACCEPTED | -"),
            (Wait(30_000), "- | - | log_unavailable"),
        ],
    ),
    (
        "a start that is answered by its session alone is over",
        &[
            IN,
            (Start("a", 1), "0x34#0 | - | -"),
            (Charging(1), "- | answered:a:ACCEPTED SessionStarted StatusChanged MeterSampled | -"),
            (Wait(30_000), NOTHING),
        ],
    ),
    ("a silent pile has left", &[IN, (Wait(89_999), NOTHING), (Wait(1), "- | Disconnected | silent")]),
    (
        "a stream of garbage is not trusted, and one good frame begins the count anew",
        &[
            IN,
            (Garbage, NOTHING),
            (Garbage, NOTHING),
            (Beat, "0x04#1 | - | -"),
            (Garbage, NOTHING),
            (Garbage, NOTHING),
            (Garbage, "- | - | too_many_bad"),
        ],
    ),
];

#[test]
fn every_step_wants_what_its_rule_says() {
    check(CASES, Rig::new, |rig, step| {
        let wanted = rig.step(step);
        wanted.line(&wanted.ykc())
    });
}

/// V1.7's record is 0x3B with the meter's identity in the middle: the same bill, whichever form comes first.
#[test]
fn a_record_of_v17_repeats_the_same_bill() {
    let mut rig = Rig::new();
    rig.step(Login(PILE));
    let v16 = rig.step(Record(1));
    let mut body = body_of(&ykc::record(PILE, ykc::trade(PILE, 1)));
    body.splice(38..38, [0x4d; 43]);
    let v17 = rig.hear_bytes(&frame(9, 0x3d, &body));
    let (old, new) = (v16.recorded()[0], v17.recorded()[0]);
    assert_eq!((&old.session, &old.digest), (&new.session, &new.digest));
    assert_eq!((old.energy_e4, old.ended_at_ms), (new.energy_e4, new.ended_at_ms));
    assert_eq!(new.raw, body, "what arrived is kept whole");
    body[38 + 43] ^= 1;
    let other = rig.hear_bytes(&frame(10, 0x3d, &body));
    assert_ne!(other.recorded()[0].digest, old.digest, "another bill under the same number is not hidden");
}

#[test]
fn only_what_the_round_trip_proves_counts_as_a_wrong_clock() {
    // (the answer took, the charger's clock against the moment it was asked, the skew told), ms.
    let cases = [
        (0, 90_000, 90_000),
        (0, -90_000, -90_000),
        (120_000, 1_000, 0),
        (120_000, 120_000, 0),
        (120_000, -30_000, -30_000),
        (120_000, 150_000, 30_000),
    ];
    for (took_ms, charger_ms, skew_ms) in cases {
        let mut rig = Rig::new();
        rig.world.settings.sync_time = true;
        rig.step(Login(PILE));
        let asked_ms = rig.world.cx(0).now.wall_ms;
        rig.step(Pass(took_ms));
        let time = codec::Cp56::from_utc_ms(asked_ms + charger_ms);
        let wanted = rig.hear(&codec::TimeSyncReply { pile: ykc::pile(PILE), time });
        let told = wanted.events.iter().find_map(|event| match &event.what {
            What::Body(Body::ClockReported(clock)) => Some(clock.skew_ms),
            _ => None,
        });
        assert_eq!(told, Some(skew_ms), "{took_ms} {charger_ms}");
    }
}

proptest! {
    /// Whatever happens in whatever order: prices are sent to an idle pile only, one model at a time, the one that holds; and in the
    /// end a pile that takes them has those that hold.
    #[test]
    fn prices_reach_an_idle_pile_and_no_other(
        steps in proptest::collection::vec((0..9_u8, 1..40_000_u64), 1..60)
    ) {
        let mut rig = Rig::new();
        let (mut newest, mut holds, mut charging, mut begun) = (0x0100, 0x0100, false, 0);
        // A model that was sent, and when.
        let mut sent: Option<(u32, u64)> = None;
        rig.step(Login(PILE));
        let end = [(0, 0), (4, 0), (6, 45_000), (6, 45_000), (1, 0), (2, 0), (6, 1), (2, 0), (6, 1)];
        for (what, ms) in steps.into_iter().chain(end) {
            let step = match what {
                0 => Reprice(newest + 1),
                1 => Told,
                2 if sent.is_some() => Took,
                3 if sent.is_some() => Refused,
                4 => Unplugged,
                5 => Idle(2),
                6 => Wait(ms),
                7 => Charging(begun + 1),
                _ => Beat,
            };
            match step {
                Reprice(model_no) => newest = model_no,
                Took => holds = sent.take().map_or(holds, |(model_no, _)| model_no),
                Refused => sent = None,
                Unplugged => charging = false,
                Charging(n) => (charging, begun) = (true, n),
                _ => {}
            }
            // It is never silent for so long that it has left.
            rig.step(Beat);
            for model_no in models(&rig.step(step).out) {
                prop_assert!(!charging, "sent to a pile that charges");
                prop_assert_eq!(model_no, newest);
                let now = rig.world.mono_ms;
                prop_assert!(sent.is_none_or(|(_, at)| now >= at + 30_000), "two on their way");
                sent = Some((model_no, now));
            }
        }
        prop_assert_eq!(holds, newest);
    }
}

/// The numbers of the models that were sent (0x58).
fn models(mut bytes: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    while let Scan::Frame { frame, consumed } = codec::scan(bytes, ScanOptions::default()) {
        if frame.kind == codec::kind::MODEL_SET {
            found.push(u32::from(frame.body[7]) << 8 | u32::from(frame.body[8]));
        }
        bytes = &bytes[consumed..];
    }
    found
}

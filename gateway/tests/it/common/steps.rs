//! A session without socket, log and clock: its steps called one by one, what each wants done written in one line.

use std::{fmt::Debug, sync::Arc};

use codecs::{
    ws::{Assembler, Limits, Message, Read, Role, read},
    ykc::{self, Scan, ScanOptions},
};
use events::{prost::Message as _, proto::envelope::Body, registry::RegistryEntry};
use gateway::{
    registry::{Address, LiveSessions, RemoteTags, Replica},
    session::{Class, Context, Effects, Event, Now, Settings, TradeCounter, What},
};

use super::registry;

pub const NOON: i64 = 1_763_700_000_000;

/// Everything that sessions of one node share, and the time.
pub struct World {
    pub replica: Replica,
    pub live: LiveSessions,
    pub tags: RemoteTags,
    pub trades: TradeCounter,
    pub settings: Settings,
    pub mono_ms: u64,
}

impl World {
    pub fn new() -> Self {
        let replica = Replica::default();
        registry::entries(|key, value| {
            replica.apply(key.as_bytes(), Some(&RegistryEntry { value: Some(value) }.encode_to_vec())).unwrap();
        });
        let settings = Settings {
            ack_ms: 20_000,
            start_ms: 3_000,
            answer_ms: 30_000,
            command_queue: 2,
            piles: 2,
            sync_time: false,
            ykc_silence_ms: 90_000,
            record_wait_ms: 600_000,
            bad_in_a_row: 3,
            heartbeat_s: 60,
        };
        Self {
            replica,
            live: LiveSessions::default(),
            tags: RemoteTags::default(),
            trades: TradeCounter::new(0),
            settings,
            mono_ms: 1_000,
        }
    }

    /// The same moment for all that a step may look at, seen by the connection in `slot`.
    pub fn cx(&self, slot: u32) -> Context<'_> {
        let wall_ms = NOON + i64::try_from(self.mono_ms).unwrap();
        Context {
            now: Now { mono_ms: self.mono_ms, wall_ms },
            replica: &self.replica,
            live: &self.live,
            tags: &self.tags,
            trades: &self.trades,
            settings: &self.settings,
            address: Address { shard: 0, generation: 0, slot },
            remote: ([127, 0, 0, 1], 40_000).into(),
            real_ms: wall_ms,
        }
    }
}

/// A rule, its steps, and what each of them wants as a line.
pub type Case<Do> = (&'static str, &'static [(Do, &'static str)]);

/// Goes through every case on a new rig.
pub fn check<Do: Copy + Debug, Rig>(cases: &[Case<Do>], new: fn() -> Rig, line: fn(&mut Rig, Do) -> String) {
    for (rule, steps) in cases {
        let mut rig = new();
        for (index, (step, expected)) in steps.iter().enumerate() {
            assert_eq!(line(&mut rig, *step), *expected, "{rule}: step {index}, {step:?}");
        }
    }
}

/// What a step wanted: frames for the peer, events for the log, the end.
#[derive(Debug)]
pub struct Wanted {
    pub out: Vec<u8>,
    pub events: Vec<Event>,
    pub close: Option<&'static str>,
}

impl From<Effects> for Wanted {
    fn from(fx: Effects) -> Self {
        Self { out: fx.out, events: fx.events, close: fx.close.map(|reason| reason.label()) }
    }
}

impl Wanted {
    /// `answers | events | close`, `-` for none; an event that the charger waits for has a `!`.
    pub fn line(&self, answers: &[String]) -> String {
        let events: Vec<String> = self.events.iter().map(event).collect();
        let or_none = |words: String| if words.is_empty() { "-".to_owned() } else { words };
        let parts = [answers.join(" "), events.join(" "), self.close.unwrap_or_default().to_owned()];
        parts.map(or_none).join(" | ")
    }

    /// Tickets of the events that somebody waits for.
    pub fn tickets(&self) -> Vec<u32> {
        self.events.iter().map(|event| event.ticket).filter(|ticket| *ticket != 0).collect()
    }

    pub fn recorded(&self) -> Vec<&events::proto::TransactionRecorded> {
        self.events
            .iter()
            .filter_map(|event| match &event.what {
                What::Body(Body::TransactionRecorded(body)) => Some(body),
                _ => None,
            })
            .collect()
    }

    /// `0x40:00`: the frame's type and the byte in it that says yes or no, with the sequence it answers.
    pub fn ykc(&self) -> Vec<String> {
        let (mut at, mut found) = (0, Vec::new());
        while let Scan::Frame { frame, consumed } = ykc::scan(&self.out[at..], ScanOptions::default()) {
            let verdict = match frame.kind {
                0x02 => format!(":{:02x}", frame.body[7]),
                0x32 => format!(":{:02x}/{:02x}", frame.body[36], frame.body[37]),
                0x40 => format!(":{:02x}", frame.body[16]),
                _ => String::new(),
            };
            found.push(format!("{:#04x}{verdict}#{}", frame.kind, u16::from_le_bytes(frame.seq)));
            at += consumed;
        }
        assert_eq!(at, self.out.len(), "bytes that are no frame");
        found
    }

    /// `3:m1:Accepted`: type and id (of a CALL its action), and the status or error code in it; `close:1013`.
    pub fn ocpp(&self) -> Vec<String> {
        let texts = self.messages().into_iter();
        texts
            .map(|message| match message {
                Ok(text) => {
                    let code = match text[0].as_u64() {
                        Some(2) => return format!("2:{}", text[2].as_str().unwrap()),
                        Some(4) => &text[2],
                        _ => text[2].get("status").unwrap_or(&text[2]["idTagInfo"]["status"]),
                    };
                    let code = code.as_str().map(|code| format!(":{code}")).unwrap_or_default();
                    format!("{}:{}{code}", text[0], text[1].as_str().unwrap())
                }
                Err(code) => format!("close:{code}"),
            })
            .collect()
    }

    /// The JSON of every text message; the code of a close frame.
    pub fn messages(&self) -> Vec<Result<serde_json::Value, u16>> {
        let (mut bytes, mut assembler, mut at) = (self.out.clone(), Assembler::new(), 0);
        let mut found = Vec::new();
        while at < bytes.len() {
            let read = read(&mut bytes[at..], Role::Client, &Limits::default(), &mut assembler).unwrap();
            let Read::Message { message, consumed } = read else { panic!("half a frame") };
            found.push(match message {
                Message::Text(text) => Ok(serde_json::from_str(&text).unwrap()),
                Message::Close { code, .. } => Err(code.unwrap().get()),
                other => panic!("{other:?}"),
            });
            at += consumed;
        }
        found
    }
}

fn event(event: &Event) -> String {
    let name = match &event.what {
        What::DeadLetter { why, .. } => format!("dead:{why}"),
        What::Body(Body::AlarmRaised(alarm)) => format!("alarm:{}:{}", alarm.code, alarm.active),
        What::Body(Body::CommandAnswered(answer)) => {
            format!(
                "answered:{}:{}",
                answer.command_id,
                answer.outcome().as_str_name().trim_start_matches("COMMAND_OUTCOME_")
            )
        }
        What::Body(body) => format!("{body:?}").split('(').next().unwrap().to_owned(),
    };
    let waits = matches!(event.class, Class::Money | Class::Asked);
    assert_eq!(waits, event.ticket != 0, "{name}");
    format!("{name}{}", if waits { "!" } else { "" })
}

/// One command for the station or pile `charger`.
pub fn command(id: &str, charger: &str, action: events::commands::command::Action) -> Arc<events::commands::Command> {
    Arc::new(super::command::command(id, charger, action))
}

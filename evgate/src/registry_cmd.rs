//! `evgate registry apply`: the registry kept as a file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use business_api::registry::{ApplyError, Report};
use clap::{Args, Subcommand};
use events::clock::Clock;

use crate::{
    cli::ConfigArgs,
    config::Config,
    exit::{Exit, Failure, OrExit as _, Outcome},
    serve,
};

/// `evgate registry`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct RegistryArgs {
    #[command(subcommand)]
    pub command: RegistryCommand,
}

/// `evgate registry ..`.
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// Check a registry file, say what would change, apply it in one transaction
    #[command(after_help = HELP)]
    Apply(ApplyArgs),
}

/// `evgate registry apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The file (TOML); CSV files of chargers that it names are read beside it
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only check and say what would change
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The database is in this folder, whatever the configuration says
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

const HELP: &str = "\
Examples:
  evgate registry apply docs/examples/registry.toml --dry-run
  evgate registry apply registry.toml --config evgate.toml

All of the file is checked before anything is changed; every problem is listed with its place (exit 65). What is in the
file is added or changed, nothing else is touched, and a second run changes nothing. Gateways hear of it through the
event log as soon as an API process runs; `evgate serve --registry FILE` does the same at its start.
";

/// Runs `evgate registry`.
///
/// # Errors
/// Exit 65 for what is wrong in the file, 69 when the database cannot be opened.
pub fn run(args: &RegistryArgs) -> Outcome {
    let RegistryCommand::Apply(args) = &args.command;
    let mut config = Config::load(args.config.config.as_deref(), std::env::vars()).or_exit(Exit::Usage)?;
    if let Some(folder) = &args.data {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string()).or_exit(Exit::Unavailable)?;
        config.keep_data_in(folder);
    }
    config.api.validate().map_err(|error| anyhow!("api.{error}")).or_exit(Exit::Usage)?;
    if args.config.check {
        println!("the configuration is valid");
        return Ok(Exit::Ok);
    }
    config.telemetry.init_logging();
    serve::runtime()?.block_on(async {
        let store = business_api::Store::open(&config.api.database_url)
            .await
            .context("cannot open the database")
            .or_exit(Exit::Unavailable)?;
        let report = apply(&store, &args.file, args.dry_run, Clock::from(&config.clock)).await;
        store.close().await;
        let report = report?;
        for change in &report.changes {
            println!("{change}");
        }
        let verb = if args.dry_run { "would change" } else { "changed" };
        println!("{} {verb}, {} as they are", report.changes.len(), report.unchanged);
        Ok(Exit::Ok)
    })
}

/// Applies the file, with the exit codes of this program.
///
/// # Errors
/// 66 cannot be read, 65 something in it is wrong (all of it listed), 69 the database.
pub async fn apply(store: &business_api::Store, file: &Path, dry_run: bool, clock: Clock) -> Result<Report, Failure> {
    business_api::registry::apply(store, file, dry_run, clock.now_ms()).await.map_err(|error| match error {
        ApplyError::Invalid(problems) => {
            let listed: Vec<String> = problems.iter().map(|problem| format!("{}: {problem}", file.display())).collect();
            Failure::new(Exit::Data, anyhow!("nothing was changed\n{}", listed.join("\n")))
        }
        ApplyError::Read(..) => Failure::new(Exit::NoInput, error),
        ApplyError::Database(..) => Failure::new(Exit::Unavailable, error),
    })
}

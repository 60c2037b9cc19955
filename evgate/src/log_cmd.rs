//! `evgate log`: who reads the embedded log, and forgetting who will not read any more. Works beside a running server.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use events::{
    clock::Clock,
    log::{EventLog as _, LogConfig, LogError, Position, embedded::EmbeddedLog},
};

use crate::{
    cli::ConfigArgs,
    config::Config,
    exit::{Exit, Failure, OrExit as _, Outcome},
    serve,
};

/// `evgate log`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct LogArgs {
    #[command(subcommand)]
    pub command: LogCommand,
}

/// `evgate log ..`.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Who reads the embedded log, and how much waits for each
    #[command(after_help = GROUPS_HELP)]
    Groups(Where),
    /// Forget a group that will not read again: what only it had not read may then be deleted
    #[command(after_help = FORGET_HELP)]
    Forget(ForgetArgs),
}

/// `evgate log forget`.
#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// As `evgate log groups` names it
    #[arg(value_name = "GROUP")]
    pub group: String,
    #[command(flatten)]
    pub at: Where,
}

/// Where the log is.
#[derive(Debug, Args)]
pub struct Where {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The log is in this folder, whatever the configuration says
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

const GROUPS_HELP: &str = "\
Examples:
  evgate log groups
  evgate log groups --data /var/lib/evgate

A line per group and topic: records that wait for it, how old the oldest of them is, and whether a process reads as this
group now. What waits is never deleted, so a group that does not come back fills the disk.
";

const FORGET_HELP: &str = "\
Examples:
  evgate log forget reports

Refused (exit 1) while a process reads as this group. Nothing is deleted at once: the next round of housekeeping
(log.housekeeping_seconds) deletes by age and size what no other group waits for. The groups `business-api` and
`business-api-dead-letters` (api.group) are the API's: forget them only when its database is given up too.
";

/// Runs `evgate log`.
///
/// # Errors
/// Exit 64 without an embedded log, 66 when it cannot be read, 65 for a group that it does not know.
pub fn run(args: &LogArgs) -> Outcome {
    let at = match &args.command {
        LogCommand::Groups(at) => at,
        LogCommand::Forget(args) => &args.at,
    };
    let mut config = Config::load(at.config.config.as_deref(), std::env::vars()).or_exit(Exit::Usage)?;
    if let Some(folder) = &at.data {
        config.keep_data_in(folder);
    }
    let LogConfig::Embedded(embedded) = &config.log else {
        return Err(Failure::new(Exit::Usage, anyhow!("log.kind is not \"embedded\"; Kafka has tools of its own")));
    };
    if at.config.check {
        println!("the configuration is valid");
        return Ok(Exit::Ok);
    }
    let log = EmbeddedLog::open_reading(&embedded.path)
        .with_context(|| embedded.path.display().to_string())
        .or_exit(Exit::NoInput)?;
    serve::runtime()?.block_on(async {
        match &args.command {
            LogCommand::Groups(_) => groups(&log).await.or_exit(Exit::NoInput),
            LogCommand::Forget(args) => forget(&log, &args.group).await,
        }
    })
}

async fn groups(log: &EmbeddedLog) -> Result<Exit, LogError> {
    let sizes = log.sizes()?;
    println!("{:<24} {:<20} {:>10} {:>12}  read now", "group", "topic", "unread", "oldest");
    for of in log.positions()? {
        let next = sizes.iter().find(|size| size.topic == of.topic).map_or(0, |size| size.next_offset);
        let first = Position { topic: of.topic, partition: 0, offset: of.offset + 1 };
        let oldest = log.around(&[first]).await?.into_iter().find_map(|(_, around)| around.record);
        let age = oldest.map_or_else(|| "-".to_owned(), |record| age(Clock::REAL.now_ms() - record.appended_at_ms));
        let reads = if log.is_read(&of.group, of.topic)? { "yes" } else { "no" };
        println!("{:<24} {:<20} {:>10} {age:>12}  {reads}", of.group, of.topic.name(), next - first.offset);
    }
    Ok(Exit::Ok)
}

async fn forget(log: &EmbeddedLog, group: &str) -> Outcome {
    let positions = log.positions().or_exit(Exit::NoInput)?;
    let of_group: Vec<_> = positions.iter().filter(|of| of.group == group).collect();
    if of_group.is_empty() {
        return Err(Failure::new(Exit::Data, anyhow!("the log knows no group {group:?}: see `evgate log groups`")));
    }
    for of in of_group {
        if log.is_read(group, of.topic).or_exit(Exit::NoInput)? {
            return Err(Failure::new(Exit::Failed, anyhow!("a process reads {} as {group:?} now", of.topic)));
        }
    }
    log.forget_group(group).await.or_exit(Exit::Unavailable)?;
    println!("{group} is forgotten");
    Ok(Exit::Ok)
}

fn age(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    match minutes {
        0..60 => format!("{minutes} min"),
        60..2_880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
}

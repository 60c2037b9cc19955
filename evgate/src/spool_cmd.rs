//! `evgate spool`: a gateway's spool from outside, for folders whose gateway is gone.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use events::log::{LogConfig, spooled};

use crate::{
    cli::ConfigArgs,
    config::Parts,
    exit::{Exit, Failure, OrExit as _, Outcome},
    serve, shutdown,
};

/// How often the drain says how far it is.
const SAY: Duration = Duration::from_secs(5);
/// What the log may take to close.
const FLUSH: Duration = Duration::from_secs(10);

/// `evgate spool`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct SpoolArgs {
    #[command(subcommand)]
    pub command: SpoolCommand,
}

/// `evgate spool ..`.
#[derive(Debug, Subcommand)]
pub enum SpoolCommand {
    /// Say what a spool holds that is not in the log yet; its gateway may be running
    Status(FolderArgs),
    /// Hand everything in a spool on to the log, for a gateway that will not come back
    #[command(after_help = HELP)]
    Drain(DrainArgs),
}

/// A spool's folder.
#[derive(Debug, Args)]
pub struct FolderArgs {
    /// The folder (`log.spool.path` of its gateway)
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// `evgate spool drain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    #[command(flatten)]
    pub folder: FolderArgs,
    #[command(flatten)]
    pub config: ConfigArgs,
}

const HELP: &str = "\
Examples:
  evgate spool status /mnt/gw-3/spool
  evgate spool drain /mnt/gw-3/spool --config evgate-cluster.toml

It writes to the log that the configuration names and refuses a spool whose gateway still runs (exit 69). Interrupted or
killed, it goes on where it was when it is run again; consumers know what they see twice. A gateway that comes back
drains its own spool by itself, before it listens.
";

/// Runs `evgate spool`.
///
/// # Errors
/// 66 there is no spool, 69 its gateway runs or the log cannot be opened, 64 the configuration names no Kafka.
pub fn run(args: &SpoolArgs) -> Outcome {
    match &args.command {
        SpoolCommand::Status(args) => status(args),
        SpoolCommand::Drain(args) => drain(args),
    }
}

fn status(args: &FolderArgs) -> Outcome {
    let unread = spooled::look(&args.folder).or_exit(Exit::NoInput)?;
    let refused = spooled::look_refused(&args.folder).or_exit(Exit::NoInput)?;
    let now_ms = events::clock::Clock::REAL.now_ms();
    let waiting = unread.iter().map(|topic| (topic, ""));
    let aside = refused.iter().map(|topic| (topic, ", set aside: larger than the log takes"));
    for (topic, what) in waiting.chain(aside) {
        let age_s = now_ms.saturating_sub(topic.oldest_at_ms) / 1_000;
        println!("{}: {} records, {} bytes, the oldest {age_s} s old{what}", topic.topic, topic.records, topic.bytes);
    }
    if unread.is_empty() && refused.is_empty() {
        println!("empty: the log has everything");
    }
    Ok(Exit::Ok)
}

fn drain(args: &DrainArgs) -> Outcome {
    // Looks first: a folder that is no spool is not made one.
    spooled::look(&args.folder.folder).or_exit(Exit::NoInput)?;
    let mut config = serve::load(&args.config, None, Parts::Api)?;
    let LogConfig::Kafka(kafka) = &mut config.log else {
        return Err(Failure::new(Exit::Usage, anyhow!("log.kind: only a gateway on Kafka has a spool")));
    };
    kafka.spool.enabled = true;
    kafka.spool.path.clone_from(&args.folder.folder);
    config.log.validate().map_err(|error| anyhow!("log.{error}")).or_exit(Exit::Usage)?;
    if args.config.check {
        println!("the configuration is valid");
        return Ok(Exit::Ok);
    }
    config.telemetry.init_logging();
    serve::runtime()?.block_on(async {
        let shutdown = shutdown::on_signal().context("signal handlers").or_exit(Exit::Internal)?;
        let log = events::log::open_spooled(&config.log).context("cannot open spool and log").or_exit(Exit::Unavailable)?;
        // What is too large even for the spool is not taken back, and stays set aside.
        let records = log.health().spool.map_or(0, |spool| spool.left_behind + spool.refused);
        println!("{records} records to hand on");
        let say = async {
            loop {
                tokio::time::sleep(SAY).await;
                let left = log.health().spool.map_or(0, |spool| spool.left_behind);
                println!("{left} of {records} left");
            }
        };
        tokio::select! {
            () = say => {}
            () = shutdown.cancelled() => {
                let left = log.health().spool.map_or(0, |spool| spool.left_behind);
                return Err(Failure::new(Exit::Failed, anyhow!("interrupted with {left} of {records} left; run it again")));
            }
            done = log.caught_up() => done.or_exit(Exit::Internal)?,
        }
        log.flush(FLUSH).await.or_exit(Exit::Unavailable)?;
        let refused = log.health().spool.map_or(0, |spool| spool.refused);
        if refused > 0 {
            let why = anyhow!("{refused} of {records} are larger than the log takes: they stay set aside; raise its limit and run it again");
            return Err(Failure::new(Exit::Failed, why));
        }
        println!("the log has all {records}");
        Ok(Exit::Ok)
    })
}

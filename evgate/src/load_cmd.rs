//! `evgate load`: many connections at a rate, and what they cost the server.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use load::{FIRST_YKC, Mix, OCPP_PREFIX, Pace, Plan, Reference, RunError};

use crate::{
    duration,
    exit::{Exit, Failure, OrExit as _, Outcome},
    load_walls::{self, GatewayArgs, WallsArgs},
};

/// `evgate load`.
#[derive(Debug, Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub struct LoadArgs {
    #[command(subcommand)]
    pub command: Option<LoadCommand>,
    #[command(flatten)]
    pub run: RunArgs,
}

/// `evgate load ..`.
#[derive(Debug, Subcommand)]
pub enum LoadCommand {
    /// The yardstick: a bare epoll echo server, one thread
    #[command(after_help = REFERENCE_HELP)]
    Reference(ReferenceArgs),
    /// The walls of speed: the gateway's CPU per message against the yardstick's, its memory per idle connection
    Walls(WallsArgs),
    /// What `walls` measures: only a gateway, with a registry of load chargers
    #[command(hide = true)]
    Gateway(GatewayArgs),
    /// A registry file with the chargers of a load run
    #[command(after_help = REGISTRY_HELP)]
    Registry(RegistryArgs),
}

/// One run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The server's listener
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9100")]
    pub target: SocketAddr,
    /// What each connection says: echo, ykc:hb, ykc:rt, ykc:1:4, ykc:record, ocpp:hb, ocpp:sn, ocpp:mv650, ocpp:mv650tx
    #[arg(long, value_name = "MIX", default_value = "ykc:1:4", value_parser = mix)]
    pub mix: Mix,
    /// How many connections
    #[arg(long, short, value_name = "N", default_value_t = 1_000)]
    pub connections: usize,
    /// Messages per second over all connections, whatever the answers do (open loop); without it each connection sends
    /// its next message when the last is answered (closed loop)
    #[arg(long, value_name = "N")]
    pub rate: Option<u64>,
    /// Length of the measurement
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    pub run_for: Duration,
    /// Traffic before the measurement
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse)]
    pub warm_up: Duration,
    /// Client threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,
    /// Logins per second
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub logins: u32,
    /// Measure CPU and memory of this process (the server's)
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// First charger id: YKC 14 digits, OCPP a prefix
    #[arg(long, value_name = "ID")]
    pub first_id: Option<String>,
    /// OCPP Basic password of every charger
    #[arg(long, value_name = "TEXT")]
    pub password: Option<String>,
    /// The result as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `evgate load reference`.
#[derive(Debug, Args)]
pub struct ReferenceArgs {
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9199")]
    pub listen: SocketAddr,
}

/// `evgate load registry`.
#[derive(Debug, Args)]
pub struct RegistryArgs {
    /// YKC chargers
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub ykc: usize,
    /// OCPP 1.6 chargers
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub ocpp: usize,
    /// Write the file here instead of stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

const HELP: &str = "\
Examples:
  evgate load registry --ykc 5000 --ocpp 5000 -o load.toml
  evgate serve --data /tmp/load --registry load.toml &
  evgate load --mix ykc:1:4 -c 5000 --rate 20000 --for 30s --pid $!
  evgate load --mix ocpp:mv650 --target 127.0.0.1:9180 -c 5000 --json
  evgate load reference &  evgate load --mix echo --target 127.0.0.1:9199 --pid $!
  evgate load walls

Prints messages per second, latency percentiles of the answers (HDR; in the open loop from the moment a message was due),
errors, and with --pid the server's CPU per message and its memory per idle connection. How to read it: docs/load.md
Exit 1: a connection failed, was lost, or an answer is missing.
";

const REFERENCE_HELP: &str = "\
Examples:
  evgate load reference &
  evgate load --mix echo --target 127.0.0.1:9199 -c 10000 --pid $!

What a gateway costs is stated as a ratio to this, because microseconds differ by machine. Ends with Ctrl-C.
";

const REGISTRY_HELP: &str = "\
Examples:
  evgate load registry -o load.toml
  evgate load registry --ykc 100 --ocpp 0 | tail
";

fn mix(name: &str) -> Result<Mix, String> {
    let names: Vec<&str> = Mix::ALL.iter().map(|mix| mix.name()).collect();
    Mix::named(name).ok_or_else(|| format!("one of {}", names.join(", ")))
}

/// Runs the subcommand.
///
/// # Errors
/// Exit 64 for a plan that cannot be run, 69 when the server is not there.
pub fn run(args: &LoadArgs) -> Outcome {
    match &args.command {
        None => measure(&args.run),
        Some(LoadCommand::Reference(args)) => reference(args),
        Some(LoadCommand::Registry(args)) => registry(args),
        Some(LoadCommand::Walls(args)) => load_walls::run(args),
        Some(LoadCommand::Gateway(args)) => load_walls::gateway(args),
    }
}

fn measure(args: &RunArgs) -> Outcome {
    let mut plan = Plan::new(args.target, args.mix, args.connections);
    plan.pace = args.rate.map_or(Pace::Closed, |per_second| Pace::Open { per_second });
    plan.duration = args.run_for;
    plan.warm_up = args.warm_up;
    plan.threads = args.threads;
    plan.logins_per_second = args.logins;
    plan.pid = args.pid;
    plan.password = args.password.clone();
    if let Some(first) = &args.first_id {
        plan.first_id.clone_from(first);
    }
    let report = load::run(&plan).map_err(|error| {
        let exit = if matches!(error, RunError::Plan(_)) { Exit::Usage } else { Exit::Unavailable };
        Failure::new(exit, error)
    })?;
    if args.json {
        println!("{}", serde_json::to_string(&report).or_exit(Exit::Internal)?);
    } else {
        print!("{report}");
    }
    Ok(if report.is_clean() { Exit::Ok } else { Exit::Failed })
}

fn reference(args: &ReferenceArgs) -> Outcome {
    let server = Reference::bind(args.listen)
        .with_context(|| format!("cannot listen on {}", args.listen))
        .or_exit(Exit::Unavailable)?;
    println!("echo on {}, process {}", server.address(), std::process::id());
    server.run().context("echo server").or_exit(Exit::Internal)?;
    Ok(Exit::Ok)
}

fn registry(args: &RegistryArgs) -> Outcome {
    let text = registry_text(args.ykc, args.ocpp).or_exit(Exit::Usage)?;
    match &args.output {
        None => print!("{text}"),
        Some(file) => {
            std::fs::write(file, text).with_context(|| file.display().to_string()).or_exit(Exit::Unavailable)?;
        }
    }
    Ok(Exit::Ok)
}

/// A registry file with the chargers that a load run logs in.
///
/// # Errors
/// When there are not so many ids.
pub fn registry_text(ykc: usize, ocpp: usize) -> anyhow::Result<String> {
    use std::fmt::Write as _;
    let mut text = String::from(
        "# The chargers of a load run.\n\
         [[tenants]]\nid = 1001\nname = \"load\"\nkeys = [{ name = \"load\", key = \"evgate-load-1001\" }]\n\n\
         [[stations]]\ntenant = 1001\nid = \"LOAD\"\nname = \"load\"\ndefault_tariff = \"LOAD/1\"\n\n\
         [[tariffs]]\ntenant = 1001\nid = \"LOAD/1\"\nname = \"load\"\n\n\
         [[tariffs.versions]]\nversion = \"L-1\"\neffective_from = \"2020-01-01\"\n\
         periods = [{ from = \"00:00\", to = \"24:00\", type = \"flat\", elec = \"0.60000\", service = \"0.40000\" }]\n",
    );
    let ids =
        load::ykc_ids(FIRST_YKC, ykc).ok_or_else(|| anyhow!("there are not {ykc} YKC ids from {FIRST_YKC} on"))?;
    let all = ids
        .into_iter()
        .map(|id| (id, "ykc"))
        .chain(load::ocpp_ids(OCPP_PREFIX, ocpp).into_iter().map(|id| (id, "ocpp1.6")));
    for (id, protocol) in all {
        writeln!(
            text,
            "\n[[chargers]]\ntenant = 1001\nid = \"{id}\"\nstation = \"LOAD\"\nprotocol = \"{protocol}\"\nconnectors = 1\nrated_power_kw = \"120\""
        )?;
    }
    Ok(text)
}

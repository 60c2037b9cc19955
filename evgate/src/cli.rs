//! The command line: what there is, and help good enough to work from. Running it is the business of the module of each
//! subcommand.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    bill::BillArgs, decode::DecodeArgs, demo::DemoArgs, dlq_cmd::DlqArgs, load_cmd::LoadArgs, log_cmd::LogArgs,
    registry_cmd::RegistryArgs, simulate::SimulateArgs, spool_cmd::SpoolArgs,
};

const EXIT_CODES: &str = "\
Exit codes:
  0   done, or drained after SIGTERM / SIGINT
  1   it ran, and the result is no: a difference in `demo`, a missed wall in `load walls`, a failed session in `simulate`,
      a dead letter that `dlq redrive` may not give back
  64  wrong arguments or configuration; the message names the key
  65  wrong input (frames, billing cases, a registry file); what was right in it has been printed
  66  an input file cannot be read
  69  something needed is not there: a port is taken, the log or the database cannot be reached
  70  a part that all others need has died
  130 a second SIGTERM / SIGINT cut the drain short

Start here:
  evgate demo                          chargers, gateway, orders and bills in one process, nothing else needed
  evgate serve --registry registry.toml    the same without the simulated chargers
  evgate decode 680d00030004006241000012010100c5e7
";

/// Charger protocol gateway with a business API: 云快充 (YKC) and OCPP-J in, orders and right bills out.
#[derive(Debug, Parser)]
#[command(name = "evgate", version, max_term_width = 110, after_help = EXIT_CODES, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Gateway and business API in one process (embedded form: needs nothing else)
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Only the gateway: chargers in, events out (cluster form: needs Kafka)
    #[command(after_help = GATEWAY_HELP)]
    Gateway(ConfigArgs),
    /// Only the business API: events in, orders and bills out (cluster form: needs Kafka and PostgreSQL)
    #[command(after_help = API_HELP)]
    Api(ConfigArgs),
    /// The registry as a file: tenants, keys, stations, chargers, tokens, tariffs
    Registry(RegistryArgs),
    /// The embedded log: who reads it, and forgetting who will not read any more
    Log(LogArgs),
    /// A gateway's spool: what it holds, and handing that on to the log when its gateway will not come back
    Spool(SpoolArgs),
    /// Dead letters: what could not be applied or read, and giving events back
    Dlq(DlqArgs),
    /// Simulated chargers against a running gateway
    Simulate(SimulateArgs),
    /// Load: many connections at a rate, latency percentiles, server CPU per message
    Load(LoadArgs),
    /// Frames in hex or OCPP JSON, out with field names and units
    Decode(DecodeArgs),
    /// Rates billing cases from a file, for audits; no service needed
    Bill(BillArgs),
    /// Everything in one process with simulated chargers and a live view
    Demo(DemoArgs),
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigArgs {
    /// The configuration file (TOML); without one, the defaults hold. Every key: docs/config.md
    #[arg(long, short, value_name = "FILE", env = "EVGATE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Check the configuration, say what is wrong with which key (exit 64) or that all is well (exit 0), and leave
    #[arg(long)]
    pub check: bool,
}

/// `evgate serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Apply this registry file before listening (see `evgate registry apply --help`); idempotent
    #[arg(long, value_name = "FILE")]
    pub registry: Option<PathBuf>,
    /// Keep event log and database in this folder, whatever the configuration says
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

const SERVE_HELP: &str = "\
Examples:
  evgate serve --registry docs/examples/registry.toml
  evgate serve --config evgate.toml --check
  EVGATE__GATEWAY__SHARDS=2 EVGATE__TELEMETRY__LOG_FORMAT=json evgate serve --data /var/lib/evgate

Chargers connect to
  YKC   tcp://<host>:9100
  OCPP  ws://<host>:9180/ocpp/<identity>     (subprotocol ocpp1.6)
People to
  http://127.0.0.1:8080/docs                 the API's description, try it with a tenant's key
  http://127.0.0.1:9190/status               gateway health, part by part; /metrics, /livez, /readyz

Environment: EVGATE__<SECTION>__<KEY>=<value> overrides a key of the file, e.g. EVGATE__LOG__KIND=kafka.
SIGTERM and SIGINT drain: chargers with nothing in flight are let go first, then the rest, then it leaves with 0.
";

const GATEWAY_HELP: &str = "\
Examples:
  EVGATE__LOG__KIND=kafka EVGATE__LOG__BROKERS=127.0.0.1:9092 evgate gateway
  evgate gateway --config evgate.toml --check

The gateway needs the log and no database: chargers log in, charge and stop from its replica of the registry
(topic biz.registry.v1) while the API and its database are away. It listens once the replica is complete.
";

const API_HELP: &str = "\
Examples:
  EVGATE__LOG__KIND=kafka EVGATE__LOG__BROKERS=127.0.0.1:9092 \\
  EVGATE__API__DATABASE_URL=postgres://evgate:secret@127.0.0.1/evgate evgate api

Several may run at once: they share the partitions of the log. One that is killed loses nothing; what it had
applied and what it had not is decided by its database transaction.
";

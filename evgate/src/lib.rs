//! The one binary: a subcommand a module, arguments in, library calls out.
//!
//! A library besides, so that its tests and others can start the same parts with other ports.

pub mod bill;
pub mod cli;
pub mod config;
pub mod decode;
pub mod demo;
pub mod dlq_cmd;
pub mod duration;
pub mod exit;
pub mod fleet_registry;
pub mod load_cmd;
pub mod load_walls;
pub mod log_cmd;
pub mod open_files;
pub mod platform;
pub mod registry_cmd;
pub mod serve;
pub mod shutdown;
pub mod simulate;
pub mod spool_cmd;
pub mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    cli::{Cli, Command},
    config::Parts,
    exit::Exit,
};

/// Parses the arguments, runs the subcommand, says on stderr what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Err: nobody reads.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    let (name, outcome) = match &cli.command {
        Command::Serve(args) => ("serve", serve::serve(args)),
        Command::Gateway(args) => ("gateway", serve::one_part(args, Parts::Gateway)),
        Command::Api(args) => ("api", serve::one_part(args, Parts::Api)),
        Command::Registry(args) => ("registry", registry_cmd::run(args)),
        Command::Log(args) => ("log", log_cmd::run(args)),
        Command::Spool(args) => ("spool", spool_cmd::run(args)),
        Command::Dlq(args) => ("dlq", dlq_cmd::run(args)),
        Command::Simulate(args) => ("simulate", simulate::run(args)),
        Command::Load(args) => ("load", load_cmd::run(args)),
        Command::Decode(args) => ("decode", decode::run(args)),
        Command::Bill(args) => ("bill", bill::run(args)),
        Command::Demo(args) => ("demo", demo::run(args)),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            exit::say(format_args!("evgate {name}: {failure}"));
            failure.exit.into()
        }
    }
}

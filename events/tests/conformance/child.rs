//! A child process that can be killed: the program of `log_child/program.rs` in one of its roles.

use std::{
    io::{BufRead, BufReader},
    process::{ChildStdout, Command, Stdio},
};

use events::log::LogConfig;

pub struct Child {
    process: std::process::Child,
    out: BufReader<ChildStdout>,
}

impl Child {
    pub fn start(role: &str, config: &LogConfig) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_log-child"))
            .args([role, &serde_json::to_string(config).unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        Self { process, out }
    }

    /// What it says, line by line.
    pub fn lines(&mut self) -> impl Iterator<Item = String> + '_ {
        ours(&mut self.out)
    }

    /// SIGKILL; the lines that were still in the pipe.
    pub fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        ours(&mut self.out).collect()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill(); // Err: dead already
        let _ = self.process.wait();
    }
}

/// Whole lines only: the last one may have been cut by the kill.
fn ours(out: &mut BufReader<ChildStdout>) -> impl Iterator<Item = String> + '_ {
    std::iter::from_fn(move || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line.strip_suffix('\n').map(ToOwned::to_owned)
    })
}

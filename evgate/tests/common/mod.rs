//! Real processes of this binary, their registry, and simulated chargers, for the tests of the main job.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code, reason = "each test file uses its part")]

pub mod books;

use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use events::clock::Clock;
use evgate::platform::Platform;

/// The tenant of the tests.
pub const TENANT: i64 = 1001;
pub const KEY: &str = "test-key-of-tenant-1001";

/// A port that is free now. Processes that are killed and started again need to know theirs beforehand, and to find it free
/// again: so it lies below the range that outgoing connections are given.
pub fn free_port() -> SocketAddr {
    loop {
        let addr = SocketAddr::from(([127, 0, 0, 1], rand::random_range(15_000..30_000)));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
}

/// A running `evgate` process; killed when dropped.
pub struct Process {
    child: Option<Child>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    log: PathBuf,
    /// A program and its arguments that runs it.
    under: Vec<String>,
    folder: PathBuf,
}

impl Process {
    /// Starts `evgate ARGS` with these variables in `folder`, where its stderr goes to a file, shown if the test fails.
    pub fn start(folder: &Path, args: &[&str], env: &[(&str, String)]) -> Self {
        Self::start_under(folder, &[], args, env)
    }

    /// The same, run by another program, which takes the rest of its command line for what it shall run.
    pub fn start_under(folder: &Path, under: &[String], args: &[&str], env: &[(&str, String)]) -> Self {
        let mut process = Self {
            under: under.to_vec(),
            folder: folder.to_owned(),
            child: None,
            args: args.iter().map(ToString::to_string).collect(),
            env: env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            log: folder.join(format!("{}.log", args[0])),
        };
        process.again();
        process
    }

    /// Starts it (again).
    pub fn again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let evgate = env!("CARGO_BIN_EXE_evgate");
        let mut command = Command::new(self.under.first().map_or(evgate, String::as_str));
        if let Some((_, rest)) = self.under.split_first() {
            command.args(rest).arg(evgate);
        }
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("EVGATE__") || name == "EVGATE_CONFIG") {
            command.env_remove(name);
        }
        command.args(&self.args).envs(self.env.iter().cloned()).current_dir(&self.folder);
        self.child = Some(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// True once it has ended by itself; then it can be started again.
    pub fn has_ended(&mut self) -> bool {
        let ended = self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
        if ended {
            self.child = None;
        }
        ended
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Sends a signal by its name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// SIGTERM, and waits for its exit code.
    pub fn terminate(&mut self, within: Duration) -> i32 {
        let mut child = self.child.take().expect("it runs");
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{:?} did not end within {within:?} of SIGTERM\n{}", self.args, self.said());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until it has ended with 0.
    pub fn wait_for_success(&mut self, within: Duration) {
        let mut child = self.child.take().expect("it runs");
        let deadline = Instant::now() + within;
        loop {
            match child.try_wait().unwrap() {
                Some(status) if status.success() => return,
                Some(status) => panic!("{:?} ended with {status}\n{}", self.args, self.said()),
                None if Instant::now() > deadline => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    panic!("{:?} did not end\n{}", self.args, self.said());
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Panics if it has ended.
    pub fn assert_runs(&mut self) {
        if let Some(child) = &mut self.child
            && let Some(status) = child.try_wait().unwrap()
        {
            panic!("{:?} ended with {status}\n{}", self.args, self.said());
        }
    }

    /// The end of what it said.
    pub fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Waits until `GET http://addr/readyz` says 200.
    pub async fn ready(&mut self, addr: SocketAddr) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
        loop {
            self.assert_runs();
            let answer = http.get(format!("http://{addr}/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            assert!(Instant::now() < deadline, "{:?} was not ready in time\n{}", self.args, self.said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Err: it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {:?} said at last:\n{}", self.args, self.said());
        }
    }
}

/// Where a platform listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub ykc: SocketAddr,
    pub ocpp: SocketAddr,
    pub admin: SocketAddr,
    pub api: SocketAddr,
}

impl Addresses {
    pub fn free() -> Self {
        Self { ykc: free_port(), ocpp: free_port(), admin: free_port(), api: free_port() }
    }

    /// As environment of a process, with a clock and a quick drain.
    pub fn env(&self, clock: Clock) -> Vec<(&'static str, String)> {
        vec![
            ("EVGATE__GATEWAY__YKC__LISTEN", self.ykc.to_string()),
            ("EVGATE__GATEWAY__OCPP__LISTEN", self.ocpp.to_string()),
            ("EVGATE__GATEWAY__ADMIN__LISTEN", self.admin.to_string()),
            ("EVGATE__API__LISTEN", self.api.to_string()),
            ("EVGATE__API__COMMAND_TTL_MS", "3600000".to_owned()),
            ("EVGATE__CLOCK__FACTOR", clock.factor.to_string()),
            ("EVGATE__CLOCK__ORIGIN_MS", clock.origin_ms.to_string()),
            ("EVGATE__CLOCK__REAL_ORIGIN_MS", clock.real_origin_ms.to_string()),
            ("EVGATE__GATEWAY__DRAIN__DELAY_MS", "0".to_owned()),
            ("EVGATE__GATEWAY__DRAIN__SPREAD_MS", "200".to_owned()),
            ("EVGATE__TELEMETRY__LOG_FILTER", "info".to_owned()),
        ]
    }

    pub fn platform(&self) -> Platform {
        Platform::new(self.api, KEY).unwrap()
    }
}

/// A registry file with a station of `ykc` and `ocpp` DC chargers, cards and idTags, and the tariff `periods`
/// (`(from, to, type, electricity, service)`).
pub fn registry(ykc: usize, ocpp: usize, periods: &[(&str, &str, &str, &str, &str)]) -> String {
    let mut text = format!(
        "[[tenants]]\nid = {TENANT}\nname = \"test\"\nkeys = [{{ name = \"test\", key = \"{KEY}\" }}]\n\
         [[stations]]\ntenant = {TENANT}\nid = \"S01\"\nname = \"S01\"\ndefault_tariff = \"S01/1\"\n\
         [[tariffs]]\ntenant = {TENANT}\nid = \"S01/1\"\nname = \"t\"\n\
         [[tariffs.versions]]\nversion = \"T-1\"\neffective_from = \"2024-01-01\"\nperiods = [\n"
    );
    for (from, to, kind, elec, service) in periods {
        writeln!(
            text,
            "{{ from = \"{from}\", to = \"{to}\", type = \"{kind}\", elec = \"{elec}\", service = \"{service}\" }},"
        )
        .unwrap();
    }
    text.push_str("]\n");
    let mut charger = |id: String, protocol: &str| {
        writeln!(
            text,
            "[[chargers]]\ntenant = {TENANT}\nid = \"{id}\"\nstation = \"S01\"\nprotocol = \"{protocol}\"\n\
             connectors = 1\nrated_power_kw = \"120\""
        )
        .unwrap();
    };
    for number in 1..=ykc {
        charger(format!("10010001{number:06}"), "ykc");
    }
    for number in 1..=ocpp {
        charger(format!("TEST-{number:04}"), "ocpp1.6");
    }
    for number in 1..=4 {
        writeln!(
            text,
            "[[tokens]]\ntenant = {TENANT}\nuid = \"00000000d14b0a{number:02x}\"\nkind = \"card\"\n\
             logical_card = \"10010000000000{number:02}\"\nbalance_fen = 1000000\n\
             [[tokens]]\ntenant = {TENANT}\nuid = \"TAG{number}\"\nkind = \"id_tag\"\nbalance_fen = 1000000"
        )
        .unwrap();
    }
    text
}

/// Four prices on full hours: exactly what a YKC V1.6 frame can hold, so that every session can be reckoned on both sides.
pub const FOUR_PRICES: [(&str, &str, &str, &str, &str); 6] = [
    ("00:00", "07:00", "valley", "0.31250", "0.45000"),
    ("07:00", "08:00", "flat", "0.62340", "0.45000"),
    ("08:00", "09:00", "peak", "1.05470", "0.45000"),
    ("09:00", "10:00", "sharp", "1.31840", "0.45000"),
    ("10:00", "23:00", "flat", "0.62340", "0.45000"),
    ("23:00", "24:00", "valley", "0.31250", "0.45000"),
];

/// 2025-11-11 06:50 (UTC+8): on a clock 60 times as fast, a price changes after ten seconds, and again a minute later.
pub const BEFORE_SEVEN_MS: i64 = 1_762_815_000_000;

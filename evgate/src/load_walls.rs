//! `evgate load walls`: a bare echo server and the gateway, each as a process of its own, under the same clients; the ratio of
//! their CPU per message is what is judged, because microseconds differ by machine.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use events::{
    clock::Clock,
    log::{Ack, Append, EmbeddedConfig, EventLog, KafkaConfig, LogConfig, SpoolConfig},
    prost::Message as _,
    registry::{Charger, RegistryEntry, registry_entry::Value},
    topic::Topic,
};
use load::{FIRST_YKC, Mix, OCPP_PREFIX, Plan, Report};
use serde::Serialize;

use crate::{
    duration,
    exit::{Exit, OrExit as _, Outcome},
    serve, shutdown, telemetry,
};

/// `evgate load walls`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct WallsArgs {
    /// Connections
    #[arg(long, short, value_name = "N", default_value_t = 10_000)]
    pub connections: usize,
    /// Length of each measurement
    #[arg(long = "for", value_name = "TIME", default_value = "6s", value_parser = duration::parse)]
    pub run_for: Duration,
    /// Measurements of each mix; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub rounds: u8,
    /// The gateway writes to this Kafka (host:port) instead of the embedded log
    #[arg(long, value_name = "BROKERS")]
    pub kafka: Option<String>,
    /// The result as one JSON object
    #[arg(long)]
    pub json: bool,
}

const HELP: &str = "\
Examples:
  evgate load walls
  evgate load walls --connections 2000 --for 3s --rounds 1
  evgate load walls --kafka 127.0.0.1:9092 --json

Closed loop, one client thread, one shard. The walls, as server CPU (user + system, all threads of the process) per message
over that of the echo server in the same round: at most 1.2 for YKC, 1 heartbeat : 4 real-time frames, every real-time frame
an event in the log; at most 3 for OCPP MeterValues of 650 bytes; and at most 4 KiB of user-space memory per connection that
is idle after the traffic. Exit 1: a wall was missed. How to read it: docs/load.md
";

/// `evgate load gateway`: what is measured.
#[derive(Debug, Args)]
pub struct GatewayArgs {
    /// YKC and OCPP chargers each
    #[arg(long)]
    pub chargers: usize,
    /// Folder of the embedded log
    #[arg(long)]
    pub data: std::path::PathBuf,
    /// Kafka instead
    #[arg(long)]
    pub kafka: Option<String>,
    /// With a spool in the folder, as `evgate gateway` has
    #[arg(long, requires = "kafka")]
    pub spool: bool,
    /// Over what time the goodbyes are spread on SIGTERM
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration::parse)]
    pub drain_spread: Duration,
}

/// A limit, in thousandths of its unit.
const YKC_RATIO_MAX: u64 = 1_200;
const OCPP_RATIO_MAX: u64 = 3_000;
const BYTES_MAX: u64 = 4_096;

#[derive(Debug, Serialize)]
struct Walls {
    echo: Report,
    ykc: Report,
    ocpp: Report,
    /// Thousandths.
    ykc_ratio: u64,
    ocpp_ratio: u64,
    ykc_bytes_per_connection: u64,
    ocpp_bytes_per_connection: u64,
    /// Events that the gateway gave up because its log was full, warm-up included: a wall that shed did not hold.
    events_shed: u64,
    /// Real-time frames of the YKC measurement that did not become an event of the log, by the gateway's own count.
    events_missing: u64,
    held: bool,
}

impl Walls {
    /// Every limit, every answer, and every real-time frame an event.
    fn hold(&self) -> bool {
        self.ykc_ratio <= YKC_RATIO_MAX
            && self.ocpp_ratio <= OCPP_RATIO_MAX
            && self.ykc_bytes_per_connection.max(self.ocpp_bytes_per_connection) <= BYTES_MAX
            && self.events_shed == 0
            && self.events_missing == 0
            && [&self.echo, &self.ykc, &self.ocpp].into_iter().all(Report::is_clean)
    }
}

/// A child that is killed when it goes out of scope.
struct Server {
    child: Child,
    words: Vec<String>,
}

impl Server {
    /// Starts this program with `args` and waits for its first line, which says where it listens.
    fn start(args: &[String]) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or_else(|| anyhow!("no stdout"))?;
        BufReader::new(stdout).read_line(&mut line)?;
        let words = line.split(|c: char| c.is_whitespace() || c == ',').map(str::to_owned).collect();
        let server = Self { child, words };
        if line.is_empty() {
            return Err(anyhow!("{} ended at its start", args.join(" ")));
        }
        Ok(server)
    }

    /// The first address after `name` in its first line.
    fn addr(&self, name: &str) -> Result<SocketAddr> {
        let at = self.words.iter().position(|word| word == name);
        let after = self.words.iter().skip(at.map_or(0, |at| at + 1));
        after
            .filter_map(|word| word.parse().ok())
            .next()
            .ok_or_else(|| anyhow!("{name} says no address: {:?}", self.words))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Err: it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `evgate load walls`.
///
/// # Errors
/// When a server or a run cannot be made.
pub fn run(args: &WallsArgs) -> Outcome {
    let mut rounds = Vec::new();
    for round in 1..=args.rounds {
        if !args.json {
            println!("round {round} of {}", args.rounds);
        }
        rounds.push(measure(args).or_exit(Exit::Unavailable)?);
    }
    // The median by the YKC ratio for YKC, and by the OCPP ratio for OCPP, would mix rounds: a round is judged as a whole.
    rounds.sort_by_key(|walls| walls.ykc_ratio + walls.ocpp_ratio);
    let middle = rounds.len() / 2;
    let walls = rounds.into_iter().nth(middle).ok_or_else(|| anyhow!("no round")).or_exit(Exit::Internal)?;
    if args.json {
        println!("{}", serde_json::to_string(&walls).or_exit(Exit::Internal)?);
    } else {
        show(&walls);
    }
    Ok(if walls.held { Exit::Ok } else { Exit::Failed })
}

fn measure(args: &WallsArgs) -> Result<Walls> {
    let words = |text: &[&str]| text.iter().map(ToString::to_string).collect::<Vec<_>>();
    let echo = {
        let server = Server::start(&words(&["load", "reference", "--listen", "127.0.0.1:0"]))?;
        one(args, &server, server.addr("on")?, Mix::Echo)?
    };
    let mut events_shed = 0;
    let mut telemetry = Vec::new();
    let mut gateway = |mix: Mix, name: &str| -> Result<Report> {
        let folder = tempfile::Builder::new().prefix("evgate-walls.").tempdir()?;
        let mut command = words(&["load", "gateway", "--chargers", &args.connections.to_string(), "--data"]);
        command.push(folder.path().display().to_string());
        if let Some(brokers) = &args.kafka {
            command.extend(words(&["--kafka", brokers]));
        }
        let server = Server::start(&command)?;
        let report = one(args, &server, server.addr(name)?, mix)?;
        let admin = server.addr("admin")?;
        events_shed += counter(admin, "evgate_events_shed_total")?;
        telemetry.push(counter(admin, "evgate_events_published_total{topic=\"ev.telemetry.v1\"}")?);
        Ok(report)
    };
    let ykc = gateway(Mix::YkcOneToFour, "ykc")?;
    let ocpp = gateway(Mix::OcppMeterValues, "ocpp")?;
    let cost = |report: &Report| report.cpu.map(|cpu| cpu.ns_per_message).ok_or_else(|| anyhow!("no CPU figures"));
    let ratio = |report: &Report| -> Result<u64> { Ok(cost(report)? * 1_000 / cost(&echo)?.max(1)) };
    let bytes = |report: &Report| report.memory.map_or(u64::MAX, |memory| memory.bytes_per_connection);
    let (ykc_ratio, ocpp_ratio) = (ratio(&ykc)?, ratio(&ocpp)?);
    let (ykc_bytes, ocpp_bytes) = (bytes(&ykc), bytes(&ocpp));
    // Four of five messages are real-time frames; the gateway's count has the warm-up's too, so it is the larger one.
    let real_time = ykc.messages.saturating_sub(ykc.answers);
    let events_missing = real_time.saturating_sub(telemetry.first().copied().unwrap_or_default());
    let mut walls = Walls {
        echo,
        ykc,
        ocpp,
        ykc_ratio,
        ocpp_ratio,
        ykc_bytes_per_connection: ykc_bytes,
        ocpp_bytes_per_connection: ocpp_bytes,
        events_shed,
        events_missing,
        held: false,
    };
    walls.held = walls.hold();
    Ok(walls)
}

/// Sum over all labels of a counter, from `/metrics`.
fn counter(admin: SocketAddr, name: &str) -> Result<u64> {
    let mut socket = TcpStream::connect(admin)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(socket, "GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    let values = text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit_once(' '));
    let values: Vec<u64> = values.filter_map(|(_, value)| value.parse().ok()).collect();
    if values.is_empty() {
        return Err(anyhow!("the gateway has no {name}"));
    }
    Ok(values.iter().sum())
}

fn one(args: &WallsArgs, server: &Server, target: SocketAddr, mix: Mix) -> Result<Report> {
    let mut plan = Plan::new(target, mix, args.connections);
    plan.duration = args.run_for;
    plan.pid = Some(server.child.id());
    let report = load::run(&plan).with_context(|| mix.name())?;
    if !args.json {
        print!("{report}");
    }
    Ok(report)
}

fn show(walls: &Walls) {
    let ratio = |value: u64| format!("{}.{:03}", value / 1_000, value % 1_000);
    let verdict = |held: bool| if held { "held" } else { "MISSED" };
    println!("walls (the median round)");
    for (name, value, limit) in [
        ("YKC 1 heartbeat : 4 real-time, CPU / echo", walls.ykc_ratio, YKC_RATIO_MAX),
        ("OCPP MeterValues 650 B, CPU / echo", walls.ocpp_ratio, OCPP_RATIO_MAX),
    ] {
        println!("  {name:<44}{:>8}  at most {}  {}", ratio(value), ratio(limit), verdict(value <= limit));
    }
    for (name, bytes) in [
        ("YKC, bytes per idle connection", walls.ykc_bytes_per_connection),
        ("OCPP, bytes per idle connection", walls.ocpp_bytes_per_connection),
    ] {
        println!("  {name:<44}{bytes:>8}  at most {BYTES_MAX}  {}", verdict(bytes <= BYTES_MAX));
    }
    if walls.events_shed > 0 {
        println!("  {} events were shed because the log was full: MISSED", walls.events_shed);
    }
    if walls.events_missing > 0 {
        println!("  {} real-time frames became no event: MISSED", walls.events_missing);
    }
    for report in [&walls.echo, &walls.ykc, &walls.ocpp] {
        if !report.is_clean() {
            println!("  {}: MISSED, not everything was answered", report.mix);
        }
    }
}

/// Runs `evgate load gateway`: only the gateway, one shard, with a registry of load chargers put straight into its log.
///
/// # Errors
/// When the gateway cannot be started.
pub fn gateway(args: &GatewayArgs) -> Outcome {
    let render = telemetry::init_metrics().or_exit(Exit::Internal)?;
    telemetry::TelemetryConfig { log_filter: "warn".into(), ..telemetry::TelemetryConfig::default() }.init_logging();
    // The gateway's shards have threads of their own; what is left needs one.
    let runtime = serve::runtime()?;
    runtime.block_on(async {
        let stop = shutdown::on_signal().or_exit(Exit::Internal)?;
        let log = open(args).or_exit(Exit::Unavailable)?;
        register(&log, args.chargers).await.or_exit(Exit::Unavailable)?;
        let mut config = gateway::Config { shards: 1, ..gateway::Config::default() };
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        (config.ykc.listen, config.ocpp.listen, config.admin.listen) = (any, any, any);
        config.drain.delay_ms = 0;
        config.drain.spread_ms = u64::try_from(args.drain_spread.as_millis()).unwrap_or(u64::MAX);
        config.validate().or_exit(Exit::Usage)?;
        let running = gateway::start(config, log, Clock::REAL, render, stop).await.or_exit(Exit::Unavailable)?;
        let show = |addr: Option<SocketAddr>| addr.map(|addr| addr.to_string()).unwrap_or_default();
        println!("ykc {}, ocpp {}, admin {}", show(running.ykc_addr), show(running.ocpp_addr), running.admin_addr);
        running.join.await.or_exit(Exit::Internal)?.or_exit(Exit::Internal)?;
        Ok(Exit::Ok)
    })
}

fn open(args: &GatewayArgs) -> Result<Arc<dyn EventLog>> {
    let config = match &args.kafka {
        None => LogConfig::Embedded(EmbeddedConfig { path: args.data.join("events.db"), ..EmbeddedConfig::default() }),
        Some(brokers) => LogConfig::Kafka(KafkaConfig {
            brokers: brokers.clone(),
            topic_prefix: format!("walls-{}.", std::process::id()),
            spool: SpoolConfig { path: args.data.join("spool"), ..SpoolConfig::default() },
            ..KafkaConfig::default()
        }),
    };
    if args.spool { Ok(events::log::open_spooled(&config)?) } else { Ok(events::log::open(&config)?) }
}

async fn register(log: &Arc<dyn EventLog>, chargers: usize) -> Result<()> {
    let ykc = load::ykc_ids(FIRST_YKC, chargers).ok_or_else(|| anyhow!("there are not {chargers} YKC ids"))?;
    let ocpp = load::ocpp_ids(OCPP_PREFIX, chargers);
    let all = ykc.into_iter().map(|id| (id, "ykc")).chain(ocpp.into_iter().map(|id| (id, "ocpp1.6")));
    for (charger, protocol) in all {
        let key = format!("charger/{charger}");
        let entry = RegistryEntry {
            value: Some(Value::Charger(Charger {
                tenant: 1001,
                charger,
                station: "LOAD".into(),
                protocol: protocol.into(),
                enabled: true,
                connectors: 1,
                rated_power_w: 120_000,
                ..Charger::default()
            })),
        };
        let payload = entry.encode_to_vec();
        let record = Append { topic: Topic::Registry, key: key.as_bytes(), payload: Some(&payload), headers: &[] };
        while log.append(record, Ack::None).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    log.flush(Duration::from_secs(60)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round in which everything is exactly at its limit.
    fn at_the_limits() -> Walls {
        let clean = || Report { connections: 1, logged_in: 1, messages: 5, answers: 1, ..Report::default() };
        Walls {
            echo: clean(),
            ykc: clean(),
            ocpp: clean(),
            ykc_ratio: YKC_RATIO_MAX,
            ocpp_ratio: OCPP_RATIO_MAX,
            ykc_bytes_per_connection: BYTES_MAX,
            ocpp_bytes_per_connection: BYTES_MAX,
            events_shed: 0,
            events_missing: 0,
            held: false,
        }
    }

    #[test]
    fn each_wall_can_be_missed() {
        assert!(at_the_limits().hold());
        let over: [fn(&mut Walls); 7] = [
            |walls| walls.ykc_ratio += 1,
            |walls| walls.ocpp_ratio += 1,
            |walls| walls.ykc_bytes_per_connection += 1,
            |walls| walls.ocpp_bytes_per_connection += 1,
            |walls| walls.events_shed += 1,
            |walls| walls.events_missing += 1,
            |walls| walls.ocpp.disconnects += 1,
        ];
        for (wall, miss) in over.into_iter().enumerate() {
            let mut walls = at_the_limits();
            miss(&mut walls);
            assert!(!walls.hold(), "wall {wall}");
        }
    }
}

//! One run: logs everybody in, starts all threads on the same instant, measures the server over the same window as the clients.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::dialect::Dialect;
use crate::engine::{Engine, Tally, Window};
use crate::plan::{Pace, Plan, PlanError};
use crate::procfs::{Cpu, anonymous_bytes};
use crate::report::{CpuReport, Latency, MemoryReport, Report};

/// Time for all threads to hear when the traffic starts.
const START_MARGIN: Duration = Duration::from_millis(100);

/// Why a run could not be made (failing connections are no reason: they are counted).
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// This process may not open enough files.
    #[error("{needed} connections need {needed} open files, but this process may open {limit} (ulimit -n)")]
    Files {
        /// Connections of the plan, and some more.
        needed: u64,
        /// What the system allows.
        limit: u64,
    },
    /// The measured process cannot be read.
    #[error("cannot read the counters of process {pid}: {source}")]
    Process {
        /// Whose.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// Not one connection could be logged in.
    #[error("no connection to {0} could be logged in: is the server there, and are the charger ids registered?")]
    Nobody(std::net::SocketAddr),
    /// Epoll, sockets, threads.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A client thread ended early.
    #[error("a client thread ended early")]
    Thread,
}

impl From<RecvError> for RunError {
    fn from(_: RecvError) -> Self {
        Self::Thread
    }
}

/// Runs a plan on threads of its own and blocks until it is over.
///
/// # Errors
/// See [`RunError`].
pub fn run(plan: &Plan) -> Result<Report, RunError> {
    plan.validate()?;
    check_files(plan)?;
    let memory_before = plan.pid.map(memory_of).transpose()?;
    let end = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let threads = (0..plan.threads).map(|n| spawn(plan, n, &end)).collect::<Result<Vec<_>, _>>()?;
    let logged_in = threads.iter().map(|t| t.logged_in.recv()).sum::<Result<u64, _>>()?;
    let login_ms = millis(began.elapsed());
    if logged_in == 0 {
        end.store(true, Relaxed);
        return Err(RunError::Nobody(plan.target));
    }
    let traffic_from = Instant::now() + START_MARGIN;
    let from = traffic_from + plan.warm_up;
    let window = Window { traffic_from, from, to: from + plan.duration };
    for thread in &threads {
        // A thread that has died shows at its join.
        let _ended = thread.start.send(window);
    }
    let cpu = measure_cpu(plan, window)?;
    threads.iter().try_for_each(|t| t.done.recv())?;
    thread::sleep(plan.settle);
    let memory_after = plan.pid.map(memory_of).transpose()?;
    end.store(true, Relaxed);
    let mut sum: Option<Tally> = None;
    for thread in threads {
        let tally = thread.handle.join().map_err(|_| RunError::Thread)??;
        sum = Some(match sum {
            None => tally,
            Some(sum) => add(sum, &tally),
        });
    }
    let tally = sum.ok_or(RunError::Thread)?;
    let mut report = report(plan, &tally, login_ms);
    report.cpu = cpu.map(|(pid, before, after)| cpu_report(plan, pid, &before, &after, tally.messages));
    report.memory = memory_before.zip(memory_after).map(|(before, after)| MemoryReport {
        before_bytes: before,
        after_bytes: after,
        bytes_per_connection: after.saturating_sub(before) / logged_in,
    });
    Ok(report)
}

struct Client {
    logged_in: Receiver<u64>,
    start: Sender<Window>,
    done: Receiver<()>,
    handle: thread::JoinHandle<io::Result<Tally>>,
}

fn spawn(plan: &Plan, n: usize, end: &Arc<AtomicBool>) -> Result<Client, RunError> {
    let share = plan.connections * n / plan.threads..plan.connections * (n + 1) / plan.threads;
    let dialect = Dialect::new(plan, share.clone())?;
    let (plan, end) = (plan.clone(), Arc::clone(end));
    let (tell_logged_in, logged_in) = channel();
    let (start, when) = channel();
    let (tell_done, done) = channel();
    let body = move || {
        let mut engine = Engine::new(plan, dialect, share)?;
        // The receivers live until the run is over; if it failed, nobody wants to know.
        let _run_failed = tell_logged_in.send(engine.log_in()?);
        if let Ok(window) = when.recv() {
            engine.run(window)?;
        }
        let _run_failed = tell_done.send(());
        while !end.load(Relaxed) {
            engine.idle(Duration::from_millis(100))?;
        }
        Ok(engine.into_tally())
    };
    let handle = thread::Builder::new().name(format!("load-{n}")).spawn(body)?;
    Ok(Client { logged_in, start, done, handle })
}

fn check_files(plan: &Plan) -> Result<(), RunError> {
    let limit = crate::epoll::raise_file_limit()?;
    let needed = plan.connections as u64 + 64;
    if needed > limit { Err(RunError::Files { needed, limit }) } else { Ok(()) }
}

fn memory_of(pid: u32) -> Result<u64, RunError> {
    anonymous_bytes(pid).map_err(|source| RunError::Process { pid, source })
}

fn measure_cpu(plan: &Plan, window: Window) -> Result<Option<(u32, Cpu, Cpu)>, RunError> {
    let Some(pid) = plan.pid else { return Ok(None) };
    let read = |at: Instant| {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        Cpu::of(pid).map_err(|source| RunError::Process { pid, source })
    };
    let before = read(window.from)?;
    Ok(Some((pid, before, read(window.to)?)))
}

fn cpu_report(plan: &Plan, pid: u32, before: &Cpu, after: &Cpu, messages: u64) -> CpuReport {
    let cpu_ns = after.since(before);
    let wall_ns = u64::try_from(plan.duration.as_nanos()).unwrap_or(u64::MAX).max(1);
    CpuReport {
        pid,
        cpu_ns,
        ns_per_message: cpu_ns / messages.max(1),
        cores_per_mille: cpu_ns.saturating_mul(1000) / wall_ns,
        system_per_mille: after.system_per_mille_since(before),
    }
}

fn add(mut sum: Tally, other: &Tally) -> Tally {
    sum.logged_in += other.logged_in;
    sum.messages += other.messages;
    sum.answers += other.answers;
    sum.errors += other.errors;
    sum.disconnects += other.disconnects;
    sum.unanswered += other.unanswered;
    sum.not_sent += other.not_sent;
    merge(&mut sum.latency_us, &other.latency_us);
    sum
}

fn merge(into: &mut Histogram<u64>, other: &Histogram<u64>) {
    for bucket in other.iter_recorded() {
        into.saturating_record_n(bucket.value_iterated_to(), bucket.count_at_value());
    }
}

fn report(plan: &Plan, tally: &Tally, login_ms: u64) -> Report {
    let measured_ms = millis(plan.duration).max(1);
    Report {
        mix: plan.mix.name().to_owned(),
        pace: match plan.pace {
            Pace::Closed => "closed".to_owned(),
            Pace::Open { per_second } => format!("open {per_second}/s"),
        },
        connections: plan.connections as u64,
        logged_in: tally.logged_in,
        login_ms,
        measured_ms,
        messages: tally.messages,
        messages_per_second: tally.messages.saturating_mul(1000) / measured_ms,
        answers: tally.answers,
        latency: Latency::of(&tally.latency_us),
        errors: tally.errors,
        disconnects: tally.disconnects,
        unanswered: tally.unanswered,
        not_sent: tally.not_sent,
        cpu: None,
        memory: None,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

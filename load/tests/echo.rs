//! The load tester against its own reference: closed and open loop, counts, percentiles, CPU and memory of a process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use load::{Mix, Pace, Plan, Reference, Report, RunError, run};

fn reference() -> (std::net::SocketAddr, load::Stop, std::thread::JoinHandle<std::io::Result<()>>) {
    let server = Reference::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (address, stop) = (server.address(), server.stopper());
    (address, stop, std::thread::spawn(move || server.run()))
}

fn plan(target: std::net::SocketAddr, connections: usize) -> Plan {
    Plan {
        warm_up: Duration::from_millis(100),
        duration: Duration::from_millis(600),
        settle: Duration::from_millis(50),
        pid: Some(std::process::id()),
        threads: 2,
        ..Plan::new(target, Mix::Echo, connections)
    }
}

#[test]
fn closed_loop_is_clean_and_counts_add_up() {
    let (address, stop, server) = reference();
    let report = run(&plan(address, 200)).unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.logged_in, report.connections), (200, 200));
    assert!(report.messages > 1_000, "{report}");
    // At the edges of the window a request and its answer may fall on two sides.
    assert!(report.messages.abs_diff(report.answers) <= 200, "{report}");
    let l = report.latency;
    assert!(0 < l.p50_us && l.p50_us <= l.p90_us && l.p90_us <= l.p99_us && l.p99_us <= l.max_us, "{report}");
    let cpu = report.cpu.unwrap();
    assert!(cpu.ns_per_message > 0 && cpu.cores_per_mille > 10, "{report}");
    assert!(report.memory.unwrap().before_bytes > 0);
    let text = report.to_string();
    assert!(text.contains("us per message") && text.contains("200 of 200"), "{text}");
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    stop.stop();
    server.join().unwrap().unwrap();
}

#[test]
fn open_loop_keeps_its_rate() {
    let (address, stop, server) = reference();
    let report = run(&Plan { pace: Pace::Open { per_second: 2_000 }, ..plan(address, 50) }).unwrap();
    assert!(report.is_clean(), "{report}");
    assert!((1_800..=2_200).contains(&report.messages_per_second), "{report}");
    stop.stop();
    server.join().unwrap().unwrap();
}

/// A server that stalls for 300 ms: an open loop shows the stall in every message that was due meanwhile.
#[test]
fn a_stall_is_not_hidden() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut frame = [0; 60];
        for n in 0.. {
            if peer.read_exact(&mut frame).is_err() {
                return;
            }
            if n == 50 {
                std::thread::sleep(Duration::from_millis(300));
            }
            peer.write_all(&frame).unwrap();
        }
    });
    let plan = Plan { threads: 1, pid: None, warm_up: Duration::ZERO, ..plan(address, 1) };
    let report = run(&Plan { pace: Pace::Open { per_second: 500 }, ..plan }).unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.latency.max_us >= 280_000, "{report}");
    // 150 of 300 messages were due in the stall: the slowest tenth all saw most of it.
    assert!(report.latency.p90_us > 150_000, "{report}");
    server.join().unwrap();
}

#[test]
fn lost_connections_and_refusals_are_counted_not_fatal() {
    let (address, stop, server) = reference();
    let stopper = stop.clone();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        stopper.stop();
    });
    let report = run(&Plan { answer_timeout: Duration::from_millis(200), ..plan(address, 20) }).unwrap();
    assert_eq!((report.logged_in, report.disconnects), (20, 20), "{report}");
    assert!(!report.is_clean());
    killer.join().unwrap();
    server.join().unwrap().unwrap();
    let nobody = run(&plan(address, 4));
    assert!(matches!(nobody, Err(RunError::Nobody(_))), "{nobody:?}");
}

#[test]
fn bad_plans_are_refused() {
    let address = "127.0.0.1:9".parse().unwrap();
    for plan in [
        Plan { connections: 0, ..plan(address, 1) },
        Plan { mix: Mix::YkcRealTime, ..plan(address, 10) },
        Plan { mix: Mix::YkcHeartbeat, first_id: "123".into(), ..plan(address, 10) },
        Plan { mix: Mix::YkcHeartbeat, first_id: "99999999999999".into(), ..plan(address, 10) },
        Plan { duration: Duration::ZERO, ..plan(address, 10) },
    ] {
        assert!(matches!(run(&plan), Err(RunError::Plan(_))), "{plan:?}");
    }
    for mix in Mix::ALL {
        assert_eq!(Mix::named(mix.name()), Some(mix));
    }
}

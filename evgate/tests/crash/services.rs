//! The real Kafka and PostgreSQL of the tests: reached over lines, killed, frozen, started again.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use events::topic::Topic;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use tokio::{process::Command, sync::Mutex};

use crate::line::Line;

/// Only one trial at a time may do something to the services that all share.
static IN_USE: Mutex<()> = Mutex::const_new(());

/// Waits until nobody else uses Kafka and PostgreSQL.
pub async fn alone() -> tokio::sync::MutexGuard<'static, ()> {
    IN_USE.lock().await
}

/// The services as one trial sees them.
#[derive(Debug)]
pub struct Services {
    /// Without any line between.
    pub brokers: String,
    /// Over [`Self::broker_line`].
    pub brokers_over_line: String,
    /// Over [`Self::database_line`].
    pub database_url: String,
    pub broker_line: Line,
    pub database_line: Line,
    pub broker: Service,
    pub database: Service,
    name: String,
}

impl Services {
    /// Lines, and a database of that name.
    pub async fn open(name: &str) -> Self {
        let (line, proxy) = (variable("EVGATE_TEST_KAFKA_LINE"), variable("EVGATE_TEST_KAFKA_PROXY"));
        let broker_line = Line::open(proxy.parse().unwrap(), line.parse().unwrap()).await;
        let admin = variable("EVGATE_TEST_POSTGRES");
        sql(&admin, &format!("CREATE DATABASE {name}")).await;
        let (login, rest) = admin.split_once('@').unwrap();
        let (server, _) = rest.split_once('/').unwrap();
        let at: SocketAddr = crate::common::free_port();
        let database_line = Line::open(at, server.parse().unwrap()).await;
        Self {
            brokers: variable("EVGATE_TEST_KAFKA"),
            brokers_over_line: proxy,
            database_url: format!("{login}@{at}/{name}"),
            broker_line,
            database_line,
            broker: Service::of("EVGATE_TEST_KAFKA_CTL"),
            database: Service::of("EVGATE_TEST_POSTGRES_CTL"),
            name: name.to_owned(),
        }
    }

    /// Removes database and topics, whose users are gone by now: a broker with many topics takes long to start.
    pub async fn clean(&self) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap();
        let topics: Vec<String> = Topic::ALL.iter().map(|topic| format!("{}.{topic}", self.name)).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        admin.delete_topics(&topics, &AdminOptions::new()).await.expect("the broker answers");
        sql(&variable("EVGATE_TEST_POSTGRES"), &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await;
    }
}

/// A service that can be killed.
#[derive(Clone, Debug)]
pub struct Service {
    script: String,
    one_at_a_time: Arc<Mutex<()>>,
}

impl Service {
    fn of(script: &str) -> Self {
        Self { script: variable(script), one_at_a_time: Arc::default() }
    }

    /// SIGKILL, and started again after `down`.
    pub async fn kill(&self, down: Duration) {
        let _turn = self.one_at_a_time.lock().await;
        self.control("kill9").await;
        tokio::time::sleep(down).await;
        self.control("start").await;
    }

    /// Ends it in order.
    pub async fn stop(&self) {
        self.control("stop").await;
    }

    /// Starts it again; returns when it serves.
    pub async fn start(&self) {
        self.control("start").await;
    }

    /// SIGSTOP, and SIGCONT after `lasting`.
    pub async fn freeze(&self, lasting: Duration) {
        let _turn = self.one_at_a_time.lock().await;
        let pid = self.control("pid").await;
        for (signal, then) in [("STOP", lasting), ("CONT", Duration::ZERO)] {
            assert!(Command::new("kill").args(["-s", signal, pid.trim()]).status().await.unwrap().success());
            tokio::time::sleep(then).await;
        }
    }

    async fn control(&self, verb: &str) -> String {
        // With files and not pipes for its output: what it starts would hold a pipe open.
        let output = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(&self.script);
        command.arg(verb).stdout(output.reopen().unwrap()).stderr(output.reopen().unwrap());
        let status = command.status().await.unwrap();
        let said = std::fs::read_to_string(output.path()).unwrap();
        assert!(status.success(), "{} {verb}: {said}", self.script);
        said
    }
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run below tests/services/with-services kafka postgres"))
}

async fn sql(url: &str, statement: &str) {
    let output = Command::new("psql").args([url, "-q", "-c", statement]).output().await.expect("psql");
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
}

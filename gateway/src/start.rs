//! Putting the parts together, and taking them apart in the order of the flow: listeners, connections, log.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use events::log::EventLog;
use listener::{AcceptErrors, serve_http};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Clocks, Config, Gateway, Render, RunError,
    accept::{self, Admission},
    admin::{self, Admin},
    claims,
    command::{self, HeldCommands},
    registry::{
        LiveSessions, RemoteTags, Replica, follow,
        prices::{Prices, Teller, tell_prices},
    },
    session::{Settings, TradeCounter},
    shard::{
        self, Listeners, Shared,
        inbox::{Inbox, ToShard},
    },
    status::{Part, real_ms},
    telemetry::{Metrics, Wire},
    tls::Tls,
};

/// What the log may take to confirm what is under way when everybody has left.
const FLUSH: Duration = Duration::from_secs(10);
/// From a login to the delivery of commands that were held for the charger: the node that had it before hears of our claim and says
/// what became of the commands it had sent.
const HANDOVER: Duration = Duration::from_secs(1);
/// What reading the claims of the last minutes may take at the start. Epochs are right without them where the clocks are.
const CLAIMS: Duration = Duration::from_secs(10);
/// What the log may take to confirm that we are gone.
const LEAVE: Duration = Duration::from_secs(2);
/// What closing connections may take after they were cut.
const CUT: Duration = Duration::from_secs(5);

type ShardEnd = (std::thread::JoinHandle<()>, oneshot::Receiver<()>);

fn failed(what: &str) -> impl FnOnce(io::Error) -> RunError + '_ {
    move |source| RunError::Io { what: what.to_owned(), source }
}

pub(crate) async fn start(
    config: Config,
    log: Arc<dyn EventLog>,
    clocks: Clocks,
    render: Render,
    shutdown: CancellationToken,
) -> Result<Gateway, RunError> {
    let shards = config.shard_count();
    let metrics = Metrics::new();
    let process = claims::process_id();
    metrics.connections_limit.set(f64::from(u32::try_from(config.limits.connections).unwrap_or(u32::MAX)));
    let shared = Arc::new(Shared {
        settings: Settings::of(&config),
        clock: clocks.platform,
        epochs: clocks.epochs,
        process,
        alive: claims::Alive::new(process, Duration::from_millis(config.node_lost_ms)),
        log,
        replica: Arc::new(Replica::default()),
        live: LiveSessions::default(),
        prices: Prices::default(),
        tags: RemoteTags::default(),
        trades: TradeCounter::new(u32::try_from(real_ms().rem_euclid(5_000)).unwrap_or(0)),
        admission: Admission::new(&config.limits),
        accept_errors: [("ykc", &metrics.accept_errors_ykc), ("ocpp", &metrics.accept_errors_ocpp)]
            .map(|(listener, counter)| AcceptErrors::new(listener, counter.clone())),
        held: HeldCommands::new(
            config.commands.held,
            config.commands.queue,
            if config.claims { HANDOVER } else { Duration::ZERO },
        ),
        inboxes: (0..shards).map(|_| Arc::new(Inbox::new(config.commands.shard_queue))).collect(),
        turns: (0..shards).map(|_| AtomicI64::new(real_ms())).collect(),
        draining: AtomicBool::new(false),
        metrics,
        config,
    });
    let admin = Arc::new(Admin {
        shared: Arc::clone(&shared),
        render,
        registry: Arc::new(Part::starting()),
        commands: Arc::new(Part::starting()),
        claims: Arc::new(Part::starting()),
        listening: AtomicBool::new(false),
        started_ms: real_ms(),
    });
    let stop_followers = CancellationToken::new();
    let stop_admin = CancellationToken::new();
    // Whatever fails below, what was started ends.
    let followers_guard = stop_followers.clone().drop_guard();
    let admin_guard = stop_admin.clone().drop_guard();
    let admin_addr = open_admin(&shared.config, &admin, &stop_admin).await?;

    let (loaded, mut is_loaded) = watch::channel(false);
    let registry = tokio::spawn(follow::follow_registry(
        Arc::clone(&shared),
        Arc::clone(&admin.registry),
        loaded,
        stop_followers.clone(),
    ));
    let commands = tokio::spawn(command::follow_commands(
        Arc::clone(&shared),
        Arc::clone(&admin.commands),
        stop_followers.clone(),
    ));
    let (claims_read, mut are_claims_read) = watch::channel(false);
    let claims = if shared.config.claims {
        tokio::spawn(claims::follow_claims(
            Arc::clone(&shared),
            Arc::clone(&admin.claims),
            claims_read,
            stop_followers.clone(),
        ))
    } else {
        admin.claims.recover();
        claims_read.send_replace(true);
        let stop = stop_followers.clone();
        tokio::spawn(async move { stop.cancelled().await })
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        ready = async {
            is_loaded.wait_for(|loaded| *loaded).await.map_err(|_| RunError::Died("registry replica"))?;
            if tokio::time::timeout(CLAIMS, are_claims_read.wait_for(|read| *read)).await.is_err() {
                tracing::warn!("the claims of other nodes are not read yet; opening without them");
            }
            // What an earlier process could not hand on comes before what the chargers say now. It needs the log, as the replica does.
            shared.log.caught_up().await.map_err(|_| RunError::Died("the spool"))
        } => ready?,
    }

    let prices = tokio::spawn(tell_prices(Teller::new(Arc::clone(&shared)), stop_followers.clone()));
    let (ykc_addr, ocpp_addr, listeners) = open_listeners(&shared.config, shards)?;
    let mut ends = Vec::new();
    for (index, listeners) in (0_u16..).zip(listeners) {
        ends.push(shard::spawn(Arc::clone(&shared), index, listeners).map_err(failed("a shard's thread"))?);
    }
    admin.listening.store(true, Ordering::Release);
    tracing::info!(shards, ykc = ?ykc_addr, ocpp = ?ocpp_addr, admin = %admin_addr, "the gateway is open");

    if shared.config.claims {
        // After the spool, in which an earlier process may have left that a charger came.
        tokio::spawn(claims::give_up_our_dead(Arc::clone(&shared), stop_followers.clone()));
    }

    let followers = [
        ("registry replica", registry),
        ("command follower", commands),
        ("claims follower", claims),
        ("teller of prices", prices),
    ];
    let join = tokio::spawn(async move {
        let _guards = (followers_guard, admin_guard);
        supervise(&shared, &admin, ends, followers, shutdown).await
    });
    Ok(Gateway { ykc_addr, ocpp_addr, admin_addr, join })
}

async fn open_admin(config: &Config, admin: &Arc<Admin>, stop: &CancellationToken) -> Result<SocketAddr, RunError> {
    let what = format!("admin.listen {}", config.admin.listen);
    let listener = tokio::net::TcpListener::bind(config.admin.listen).await.map_err(failed(&what))?;
    let addr = listener.local_addr().map_err(failed(&what))?;
    let router = admin::router(Arc::clone(admin));
    let meters = admin.shared.metrics.admin.clone();
    tokio::spawn(serve_http("admin", listener, config.admin.limits(), meters, router, |stream| stream, stop.clone()));
    Ok(addr)
}

type Opened = (Option<SocketAddr>, Option<SocketAddr>, Vec<Listeners>);

/// One listening socket per shard and protocol, all on one port each.
fn open_listeners(config: &Config, shards: usize) -> Result<Opened, RunError> {
    let mut all: Vec<Listeners> = (0..shards).map(|_| Listeners::default()).collect();
    let mut addrs = [None, None];
    let wanted = [
        (config.ykc.enabled, Wire::Ykc, config.ykc.listen, &config.ykc.tls, "ykc.listen"),
        (config.ocpp.enabled, Wire::Ocpp, config.ocpp.listen, &config.ocpp.tls, "ocpp.listen"),
    ];
    for ((enabled, wire, listen, tls, key), bound) in wanted.into_iter().zip(&mut addrs) {
        if !enabled {
            continue;
        }
        let what = format!("{key} {listen}");
        let tls = tls.as_ref().map(Tls::load).transpose().map_err(failed("the certificate"))?;
        accept::probe(listen).map_err(failed(&what))?;
        let mut addr = listen;
        for listeners in &mut all {
            let socket = accept::listen(addr, config.limits.backlog).map_err(failed(&what))?;
            // Port 0: the first shard's choice holds for the others.
            addr = socket.local_addr().map_err(failed(&what))?;
            listeners.0.push((socket, wire, tls.clone()));
        }
        *bound = Some(addr);
    }
    let [ykc, ocpp] = addrs;
    Ok((ykc, ocpp, all))
}

/// Waits for the signal or for a shared part to die; then drains.
async fn supervise(
    shared: &Arc<Shared>,
    admin: &Admin,
    ends: Vec<ShardEnd>,
    followers: [(&'static str, JoinHandle<()>); 4],
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let (threads, mut ended): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
    let [(a_name, mut a), (b_name, mut b), (c_name, mut c), (d_name, mut d)] = followers;
    let died = tokio::select! {
        () = shutdown.cancelled() => None,
        _ = &mut a => Some(a_name),
        _ = &mut b => Some(b_name),
        _ = &mut c => Some(c_name),
        _ = &mut d => Some(d_name),
        _ = futures::future::select_all(ended.iter_mut()) => Some("a shard"),
    };
    if let Some(part) = died {
        tracing::error!(part, "a part that all sessions share has ended; the gateway drains");
    }
    let drain = &shared.config.drain;
    shared.draining.store(true, Ordering::Relaxed);
    shared.metrics.draining.set(1.0);
    if died.is_none() {
        // Balancers and endpoints take a while to send new connections elsewhere; until then they are served.
        tracing::info!(delay_ms = drain.delay_ms, "draining");
        tokio::time::sleep(Duration::from_millis(drain.delay_ms)).await;
    }
    admin.listening.store(false, Ordering::Release);
    tell(shared, || ToShard::Drain);
    let mut all = futures::future::join_all(ended);
    let in_time = tokio::time::timeout(Duration::from_millis(drain.deadline_ms), &mut all).await.is_ok();
    if !in_time {
        tracing::warn!(sessions = shared.live.len(), "the drain's deadline has come; cutting what is left");
        tell(shared, || ToShard::Cut);
        // A shard that hangs is left behind: the process ends.
        let _ = tokio::time::timeout(CUT, &mut all).await;
    }
    let joined = tokio::task::spawn_blocking(move || {
        for thread in threads {
            if thread.is_finished() {
                let _ = thread.join(); // a panic was reported by its receiver
            }
        }
    });
    let _ = joined.await;
    if let Err(error) = shared.log.flush(FLUSH).await {
        tracing::warn!(%error, "the log did not confirm everything; unanswered chargers will send it again, and the spool has the rest");
    } else if shared.config.claims && shared.live.is_empty() {
        // Every session has said its end, and the log has it.
        let left = shared.alive.watch().leave(&*shared.log, &shared.config.node, shared.clock.now_ms());
        if !matches!(tokio::time::timeout(LEAVE, left).await, Ok(Ok(()))) {
            tracing::warn!("the log did not take the goodbye; another gateway will miss this one");
        }
    }
    tracing::info!("drained");
    match died {
        None => Ok(()),
        Some(part) => Err(RunError::Died(part)),
    }
}

fn tell(shared: &Shared, message: impl Fn() -> ToShard) {
    for inbox in &shared.inboxes {
        inbox.push(message());
    }
}

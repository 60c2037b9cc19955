//! The thread of a shard and its standing tasks: acceptors, the pump of the inbox, the sweep, the retry of a full log, the
//! drain.

use std::{
    cell::Cell,
    io,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    task::{LocalSet, spawn_local},
};
use tokio_util::sync::CancellationToken;

use super::{
    Shard, Shared,
    inbox::ToShard,
    slots::{ConnectionCell, ToConnection},
};
use crate::{accept, status::real_ms, telemetry::Wire, tls::Tls};

/// While the log takes nothing, it is tried again so many times more rarely at most.
const RETRY_SLOWER: u32 = 25;

thread_local! {
    /// How long this shard sleeps before it waits for the kernel; 0 = not at all.
    static PARK_SLEEP: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The listening sockets of one shard.
#[derive(Debug, Default)]
pub(crate) struct Listeners(pub Vec<(std::net::TcpListener, Wire, Option<Tls>)>);

/// Starts a shard's thread. The receiver hears when it has ended in order; it fails when the shard died.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    index: u16,
    listeners: Listeners,
) -> io::Result<(std::thread::JoinHandle<()>, oneshot::Receiver<()>)> {
    let (ended, end) = oneshot::channel();
    let handle = std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(|| {
                let sleep = PARK_SLEEP.get();
                if !sleep.is_zero() {
                    std::thread::sleep(sleep);
                }
            })
            .build();
        match runtime {
            Ok(runtime) => {
                LocalSet::new().block_on(&runtime, run(shared, index, listeners));
                let _ = ended.send(()); // nobody waits any more: the process is ending
            }
            Err(error) => tracing::error!(%error, shard = index, "no runtime"),
        }
    })?;
    Ok((handle, end))
}

async fn run(shared: Arc<Shared>, index: u16, listeners: Listeners) {
    let Some(inbox) = shared.inboxes.get(usize::from(index)).map(Arc::clone) else { return };
    let shard = Shard::new(Arc::clone(&shared), index, &inbox);
    let stop_accepting = CancellationToken::new();
    let mut acceptors = Vec::new();
    for (listener, wire, tls) in listeners.0 {
        acceptors.push(spawn_local(accept::run(Rc::clone(&shard), listener, wire, tls, stop_accepting.clone())));
    }
    spawn_local(sweep(Rc::clone(&shard)));
    spawn_local(retry(Rc::clone(&shard)));

    let (mut acks, mut messages) = (Vec::new(), Vec::new());
    let mut draining = None;
    loop {
        tokio::select! {
            () = inbox.filled() => {}
            () = shard.left.notified() => {}
        }
        inbox.take(&mut acks, &mut messages);
        for (token, durable) in acks.drain(..) {
            let (slot, generation, ticket) = crate::publish::untoken(token);
            // Gone: the confirmation is dropped, and the charger will ask again.
            if let Some(cell) = shard.slots.borrow().get(slot, generation) {
                cell.tell(ToConnection::Acked { ticket, durable });
            }
        }
        for message in messages.drain(..) {
            match message {
                ToShard::Command { address, command } => {
                    let slots = shard.slots.borrow();
                    match slots.get(address.slot, address.generation) {
                        Some(cell) => cell.tell(ToConnection::Command(command)),
                        // Left meanwhile; nothing was sent.
                        None => shared.hold_command(command, real_ms()),
                    }
                }
                ToShard::News(seat, news) => {
                    if let Some(cell) = shard.slots.borrow().get(seat.address.slot, seat.address.generation) {
                        cell.tell(ToConnection::News(Arc::clone(&seat), news));
                    }
                }
                ToShard::Drain => {
                    if draining.is_none() {
                        stop_accepting.cancel();
                        let acceptors = std::mem::take(&mut acceptors);
                        draining = Some(spawn_local(say_goodbye(Rc::clone(&shard), acceptors)));
                    }
                }
                ToShard::Cut => {
                    for cell in shard.slots.borrow().cells() {
                        cell.tell(ToConnection::Cut);
                    }
                }
            }
        }
        let spread = draining.as_ref().is_some_and(tokio::task::JoinHandle::is_finished);
        if spread && shard.slots.borrow().len() == 0 {
            shard.give_up_orphans();
            return;
        }
    }
}

/// Wakes connections whose deadline passed, makes the rate for coalescing, and proves that the shard turns.
async fn sweep(shard: Rc<Shard>) {
    let period = shard.shared.config.sweep();
    let coalesce = &shard.shared.config.coalesce;
    let (mut messages_before, mut at_before) = (0, shard.mono_ms());
    loop {
        tokio::time::sleep(period).await;
        let now = shard.mono_ms();
        for cell in shard.slots.borrow().cells() {
            if cell.deadline_ms.get() <= now {
                cell.due.set(true);
                cell.wake();
            }
        }
        let messages = shard.messages.get();
        let per_second = (messages - messages_before) * 1_000 / (now - at_before).max(1);
        let busy = coalesce.sleep_us > 0 && per_second >= coalesce.above_per_second;
        PARK_SLEEP.set(Duration::from_micros(if busy { coalesce.sleep_us } else { 0 }));
        (messages_before, at_before) = (messages, now);
        if let Some(turn) = shard.shared.turns.get(usize::from(shard.index)) {
            turn.store(real_ms(), Ordering::Relaxed);
        }
        // The drain may wait for the last connection, which may have left before anybody listened.
        shard.left.notify_one();
    }
}

/// While the log is full: lets the connections that wait try again, every few milliseconds as long as it takes something, and more
/// and more rarely while it takes nothing: ten thousand of them should not spend the time in which heartbeats are answered.
async fn retry(shard: Rc<Shard>) {
    let quick = Duration::from_millis(shard.shared.config.money.retry_ms);
    loop {
        shard.stalled_some.notified().await;
        let mut pause = quick;
        let mut taken_before = shard.unstalled.get();
        loop {
            tokio::time::sleep(pause).await;
            let none_left = shard.retry_orphans();
            let waiting = std::mem::take(&mut *shard.stalled.borrow_mut());
            if waiting.is_empty() && none_left {
                break;
            }
            for address in waiting {
                if let Some(cell) = shard.slots.borrow().get(address.slot, address.generation) {
                    cell.retry.set(true);
                    cell.wake();
                }
            }
            // The connections have their turn during the next sleep, so this is what the one before brought.
            let taken = shard.unstalled.get();
            pause = if taken == taken_before { (pause * 2).min(quick * RETRY_SLOWER) } else { quick };
            taken_before = taken;
        }
    }
}

/// Waits for the acceptors to empty their queues, then spreads the goodbyes: first to chargers with nothing in flight.
async fn say_goodbye(shard: Rc<Shard>, acceptors: Vec<tokio::task::JoinHandle<()>>) {
    for acceptor in acceptors {
        let _ = acceptor.await; // it can only have been cancelled with the runtime
    }
    let mut cells: Vec<ConnectionCell> = shard.slots.borrow().cells().map(Rc::clone).collect();
    cells.sort_by_key(|cell| cell.busy.get());
    let spread = Duration::from_millis(shard.shared.config.drain.spread_ms);
    let begun = tokio::time::Instant::now();
    let count = u32::try_from(cells.len()).unwrap_or(u32::MAX).max(1);
    for (index, cell) in (0_u32..).zip(cells) {
        let at = begun + spread / count * index;
        if at > tokio::time::Instant::now() {
            tokio::time::sleep_until(at).await;
        }
        cell.tell(ToConnection::Goodbye);
    }
    shard.left.notify_one();
}

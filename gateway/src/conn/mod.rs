//! One connection: a hand-written future that moves bytes and decides nothing.
//!
//! It keeps no buffer while idle: it waits for the socket to be readable or for its cell to be told something, reads into the
//! shard's buffer, lets the session decode in place, publishes, and writes all answers at once. Only an unfinished tail, an
//! unsent rest or events that wait for the log are kept, and their memory goes when they do.

mod apply;
mod end;
mod io;
mod send;
mod speaker;

use std::{
    future::Future,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context as Task, Poll},
};

use tokio::net::TcpStream;

use self::{io::Transport, send::Unsent, speaker::Speaker};
use crate::{
    accept::{Permit, Turn},
    publish::queue::StalledEvents,
    registry::Address,
    session::{CloseReason, Effects, Now},
    shard::{
        Shard,
        slots::{ConnectionCell, ToConnection},
    },
    status::real_ms,
    telemetry::{Refusal, Wire},
    tls::Tls,
};

/// Read at most this much at once: fair to the other connections, and enough for any burst.
const READ_MAX: usize = 64 * 1024;

pub(crate) struct Connection {
    shard: Rc<Shard>,
    cell: ConnectionCell,
    io: Transport,
    speaker: Speaker,
    /// A frame that is not complete yet.
    tail: Vec<u8>,
    unsent: Option<Box<Unsent>>,
    stalled: Option<Box<StalledEvents>>,
    remote: SocketAddr,
    address: Address,
    _permit: Permit,
    begun_ms: u64,
    heard_ms: u64,
    /// When the tail began.
    tail_ms: u64,
    /// Until when the end waits for the peer's; 0 = not ending.
    linger_until_ms: u64,
    /// Logged-in chargers, as counted in the gauge.
    seats: u32,
    wire: Wire,
    goodbye: bool,
    said_all: bool,
}

enum Step {
    Again,
    Wait,
    Done,
}

impl Connection {
    pub fn new(
        shard: Rc<Shard>,
        stream: TcpStream,
        remote: SocketAddr,
        wire: Wire,
        tls: Option<&Tls>,
        permit: Permit,
    ) -> Self {
        let cell = ConnectionCell::default();
        let address = shard.slots.borrow_mut().insert(shard.index, Rc::clone(&cell));
        let now = shard.mono_ms();
        if let Some(gauge) = shard.shared.metrics.connections.get(wire as usize) {
            gauge.increment(1);
        }
        Self {
            io: Transport::new(stream, tls),
            speaker: Speaker::new(wire),
            tail: Vec::new(),
            unsent: None,
            stalled: None,
            remote,
            address,
            _permit: permit,
            begun_ms: now,
            heard_ms: now,
            tail_ms: 0,
            linger_until_ms: 0,
            seats: 0,
            wire,
            goodbye: false,
            said_all: false,
            shard,
            cell,
        }
    }

    const fn ending(&self) -> bool {
        self.linger_until_ms != 0
    }

    fn step(&mut self, task: &mut Task<'_>, shard: &Shard, fx: &mut Effects) -> Step {
        if self.ending() {
            return self.end(task, shard);
        }
        if self.io.in_handshake() {
            let begun = matches!(self.io, Transport::Handshake(_));
            let polled = self.io.poll_handshake(task, || shard.handshakes.enter(&self.cell, self.address));
            if !begun && matches!(self.io, Transport::Handshake(_)) {
                // Its own time begins now, not while it waited for its turn.
                self.heard_ms = shard.mono_ms();
            }
            let Poll::Ready(done) = polled else { return Step::Wait };
            shard.handshakes.leave(&self.cell, &shard.slots.borrow());
            if let Err(error) = done {
                tracing::debug!(%error, remote = %self.remote, "TLS handshake failed");
                shard.shared.metrics.refused(Refusal::Tls);
                self.begin_end(shard, CloseReason::Refused, fx);
                return Step::Done;
            }
        }
        if self.unsent.is_some() {
            match self.send_rest(task, shard) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return Step::Wait,
                Poll::Ready(Err(_)) => {
                    self.begin_end(shard, CloseReason::PeerLeft, fx);
                    return Step::Done;
                }
            }
        }
        if !self.may_read(shard) {
            return Step::Wait;
        }
        self.read(task, shard, fx)
    }

    /// Money is bounded per connection, and nothing is read that could not be published.
    fn may_read(&self, shard: &Shard) -> bool {
        !self.goodbye
            && self.speaker.money_waiting() < shard.shared.config.limits.pending_money
            && self.stalled.as_ref().is_none_or(|stalled| !stalled.holds_back())
    }

    fn read(&mut self, task: &mut Task<'_>, shard: &Shard, fx: &mut Effects) -> Step {
        // One task is polled at a time, so nobody else holds the buffer.
        let Ok(mut buffer) = shard.buffer.try_borrow_mut() else { return Step::Wait };
        let kept = self.tail.len();
        let room = buffer.len().min(kept + READ_MAX);
        let Some(space) = buffer.get_mut(kept..room) else { return Step::Wait };
        let read = match self.io.poll_read(task, space) {
            Poll::Pending => return Step::Wait,
            Poll::Ready(Ok(0) | Err(_)) => {
                drop(buffer);
                self.begin_end(shard, CloseReason::PeerLeft, fx);
                return Step::Done;
            }
            Poll::Ready(Ok(read)) => read,
        };
        if let Some(space) = buffer.get_mut(..kept) {
            space.copy_from_slice(&self.tail);
        }
        let now = shard.now();
        self.heard_ms = now.mono_ms;
        let cx = shard.context(now, self.address, self.remote);
        let bytes = buffer.get_mut(..kept + read).unwrap_or_default();
        let taken = self.speaker.on_bytes(shard, &cx, bytes, fx);
        self.keep_tail(bytes.get(taken..).unwrap_or_default(), taken > 0, now);
        drop(buffer);
        self.apply(task, shard, fx)
    }

    fn keep_tail(&mut self, rest: &[u8], progressed: bool, now: Now) {
        if rest.is_empty() {
            // Also gives the memory back.
            if self.tail.capacity() > 0 {
                self.tail = Vec::new();
            }
            return;
        }
        if self.tail.is_empty() || progressed {
            self.tail_ms = now.mono_ms;
        }
        self.tail.clear();
        self.tail.extend_from_slice(rest);
    }

    /// What lies in the inbox, and what time brought.
    fn attend(&mut self, shard: &Shard, fx: &mut Effects) {
        let messages = self.cell.take();
        let due = self.cell.due.replace(false);
        let retry = self.cell.retry.replace(false);
        if messages.is_empty() && !due && !retry || self.ending() {
            return;
        }
        let now = shard.now();
        let cx = shard.context(now, self.address, self.remote);
        for message in messages {
            match message {
                ToConnection::Acked { ticket, durable } => self.speaker.on_ack(&cx, ticket, durable, fx),
                ToConnection::Command(command) => {
                    if !self.speaker.on_command(&cx, &command, fx) {
                        // The charger left this connection meanwhile; nothing was sent.
                        shard.shared.hold_command(command, real_ms());
                    }
                }
                ToConnection::News(seat, news) => self.speaker.on_news(&cx, &seat, news, fx),
                ToConnection::Goodbye => self.goodbye = true,
                ToConnection::Cut => self.speaker.close(fx, CloseReason::Drain),
            }
        }
        if retry {
            self.retry_stalled(shard, fx);
        }
        if due {
            self.on_due(shard, now, fx);
        }
        let in_flight = self.speaker.money_waiting() > 0 || self.stalled.as_ref().is_some_and(|s| s.holds_back());
        if self.goodbye && !in_flight {
            self.speaker.close(fx, CloseReason::Drain);
        }
    }

    fn on_due(&mut self, shard: &Shard, now: Now, fx: &mut Effects) {
        let limits = &shard.shared.config.limits;
        if self.unsent.as_ref().is_some_and(|unsent| now.mono_ms.saturating_sub(unsent.moved_ms) >= limits.write_ms) {
            fx.close = Some(CloseReason::WriteTimeout);
            return;
        }
        let cx = shard.context(now, self.address, self.remote);
        if !self.tail.is_empty() && now.mono_ms.saturating_sub(self.tail_ms) >= limits.half_frame_ms {
            let mut tail = std::mem::take(&mut self.tail);
            self.speaker.on_half_frame(shard, &cx, &mut tail, fx);
        }
        let login_over = now.mono_ms.saturating_sub(self.begun_ms) >= limits.login_ms;
        if self.io.in_handshake() {
            let slow = now.mono_ms.saturating_sub(self.heard_ms) >= limits.handshake_ms;
            let waits = self.cell.turn.get() != Turn::None && !matches!(self.io, Transport::Handshake(_));
            if login_over || slow && !waits {
                shard.shared.metrics.refused(Refusal::Tls);
                fx.close(CloseReason::LoginTimeout);
            }
            return;
        }
        self.speaker.on_tick(shard, &cx, self.heard_ms, login_over, fx);
    }

    /// When the sweep has to look at this connection again.
    fn next_deadline(&self, shard: &Shard) -> u64 {
        const NEXT_SWEEP: u64 = 0;
        if self.ending() || self.unsent.is_some() || !self.tail.is_empty() || self.goodbye {
            return NEXT_SWEEP;
        }
        match self.speaker.quiet_for(shard) {
            Some(quiet) => self.heard_ms + quiet,
            None => NEXT_SWEEP,
        }
    }

    fn turn(&mut self, task: &mut Task<'_>) -> Poll<()> {
        let shard = Rc::clone(&self.shard);
        // Held for this turn only; tasks of a shard are polled one at a time.
        let Ok(mut fx) = shard.effects.try_borrow_mut() else { return Poll::Ready(()) };
        self.cell.listen(task.waker());
        self.attend(&shard, &mut fx);
        let mut step = self.apply(task, &shard, &mut fx);
        while matches!(step, Step::Again) {
            step = self.step(task, &shard, &mut fx);
        }
        if matches!(step, Step::Done) {
            return Poll::Ready(());
        }
        self.cell.deadline_ms.set(self.next_deadline(&shard));
        self.cell.busy.set(self.stalled.is_some() || self.speaker.is_busy());
        Poll::Pending
    }
}

impl Future for Connection {
    type Output = ();

    /// A defect of ours in one session ends that session; the shard goes on.
    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<()> {
        let this = Pin::into_inner(self);
        let Ok(poll) = catch_unwind(AssertUnwindSafe(|| this.turn(task))) else {
            let shard = Rc::clone(&this.shard);
            shard.shared.metrics.panics.increment(1);
            // What the broken step left in the shard's effects is not done.
            if let Ok(mut fx) = shard.effects.try_borrow_mut() {
                *fx = Effects::default();
            }
            this.end_at_once(CloseReason::Panicked);
            return Poll::Ready(());
        };
        poll
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole user-space price of an idle connection is this, its cell, its socket's registration and its session's heap.
    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Connection>() <= 448, "{}", size_of::<Connection>());
    }
}

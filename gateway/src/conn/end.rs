//! The end of a connection: its session says goodbye to the log, what is left is sent, and the peer's own end is waited for.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    task::{Context as Task, Poll},
};

use events::log::AppendError;

use super::{Connection, READ_MAX, Step};
use crate::{
    session::{Class, CloseReason, Effects},
    shard::Shard,
};

/// How long a closed connection waits for the peer's end, so that the last answer is not lost in a reset.
const LINGER_MS: u64 = 2_000;

impl Connection {
    /// The session is over: says so to the log, then waits for the peer's end.
    pub(super) fn begin_end(&mut self, shard: &Shard, reason: CloseReason, fx: &mut Effects) {
        if self.ending() {
            return;
        }
        let now = shard.now();
        let cx = shard.context(now, self.address, self.remote);
        self.speaker.finish(&cx, reason, fx);
        self.report(shard, fx);
        let waiting = self.stalled.take();
        let waiting = waiting.into_iter().flat_map(|stalled| stalled.into_kept());
        for mut event in waiting.chain(fx.events.drain(..)) {
            if event.class == Class::Money {
                // Nobody can be answered any more; the charger says it again. It is published all the same, as consumers
                // know repetitions: it may be the last time that this charger is heard.
                event.ticket = 0;
            }
            if matches!(event.class, Class::Money | Class::Kept)
                && shard.publish(&event, self.address) == Err(AppendError::Full)
            {
                shard.adopt(event);
            }
        }
        shard.shared.metrics.closed(reason);
        tracing::debug!(reason = reason.label(), remote = %self.remote, "connection ended");
        let patience = match reason {
            CloseReason::PeerLeft | CloseReason::WriteTimeout | CloseReason::Panicked => 0,
            // Nothing was said yet that could be lost.
            _ if self.io.in_handshake() => 0,
            _ => LINGER_MS,
        };
        self.linger_until_ms = (now.mono_ms + patience).max(1);
        if patience == 0 {
            self.unsent = None;
        }
    }

    /// Sends what is left, says the end, and discards until the peer says its own.
    pub(super) fn end(&mut self, task: &mut Task<'_>, shard: &Shard) -> Step {
        if shard.mono_ms() >= self.linger_until_ms {
            return Step::Done;
        }
        if self.unsent.is_some() {
            match self.send_rest(task, shard) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return Step::Wait,
                Poll::Ready(Err(_)) => return Step::Done,
            }
        }
        if !self.said_all {
            match self.io.poll_shutdown(task) {
                Poll::Ready(Ok(())) => self.said_all = true,
                Poll::Pending => return Step::Wait,
                Poll::Ready(Err(_)) => return Step::Done,
            }
        }
        let Ok(mut buffer) = shard.buffer.try_borrow_mut() else { return Step::Done };
        let Some(space) = buffer.get_mut(..READ_MAX) else { return Step::Done };
        match self.io.poll_read(task, space) {
            Poll::Pending => Step::Wait,
            Poll::Ready(Ok(read)) if read > 0 => Step::Again,
            Poll::Ready(_) => Step::Done,
        }
    }

    /// Ends the session where nobody is left to do it step by step. Says what it still can.
    pub(super) fn end_at_once(&mut self, reason: CloseReason) {
        let shard = Rc::clone(&self.shard);
        let mut fx = Effects::default();
        // The cleaning up may meet the same defect: then the charger's seat is given up by the next login at the latest.
        let _ = catch_unwind(AssertUnwindSafe(|| self.begin_end(&shard, reason, &mut fx)));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.ending() {
            // The runtime is going away with the connection in it.
            self.end_at_once(CloseReason::Drain);
        }
        let shard = &self.shard;
        if let Some(gauge) = shard.shared.metrics.connections.get(self.wire as usize) {
            gauge.decrement(1);
        }
        if let Ok(mut slots) = shard.slots.try_borrow_mut() {
            shard.handshakes.leave(&self.cell, &slots);
            slots.remove(self.address);
        }
        shard.left.notify_one();
    }
}

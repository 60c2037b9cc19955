//! What other threads tell a shard: confirmations of the log, commands, fences, goodbyes. One lock for a push, one wake per
//! batch: the shard takes everything that lies there when it turns.

use std::sync::{Arc, Mutex, PoisonError};

use events::{
    commands::Command,
    log::{AckSink, LogError, Position},
};
use tokio::sync::Notify;

use crate::registry::{Address, Seat};

/// What a session has to hear about its seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A newer login took the charger over.
    Fenced,
    /// The registry has the charger no more, or has disabled it.
    Removed,
    /// Others were told that it is gone: it has to come back as a new one.
    GivenUp,
    /// Another billing model may hold for the charger.
    Tariff,
}

/// A message to a shard.
#[derive(Debug)]
pub(crate) enum ToShard {
    /// A command for the connection at an address.
    Command { address: Address, command: Arc<Command> },
    /// Something happened to a seat.
    News(Arc<Seat>, News),
    /// Close the listeners, then say goodbye to every connection.
    Drain,
    /// Cut what is left.
    Cut,
}

#[derive(Debug, Default)]
struct Queues {
    acks: Vec<(u64, bool)>,
    messages: Vec<ToShard>,
}

/// A shard's inbox.
#[derive(Debug)]
pub(crate) struct Inbox {
    queues: Mutex<Queues>,
    wake: Notify,
    /// Messages other than confirmations that may lie here; commands beyond it are refused.
    messages_max: usize,
}

impl Inbox {
    pub fn new(messages_max: usize) -> Self {
        Self { queues: Mutex::default(), wake: Notify::new(), messages_max }
    }

    /// Leaves a message. False: there is no room (only commands are refused).
    pub fn push(&self, message: ToShard) -> bool {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(message, ToShard::Command { .. }) && queues.messages.len() >= self.messages_max {
            return false;
        }
        let first = queues.messages.is_empty() && queues.acks.is_empty();
        queues.messages.push(message);
        drop(queues);
        if first {
            self.wake.notify_one();
        }
        true
    }

    /// Waits until something lies here.
    pub async fn filled(&self) {
        self.wake.notified().await;
    }

    /// Takes everything; the vectors given are swapped in, so that their memory is reused.
    pub fn take(&self, acks: &mut Vec<(u64, bool)>, messages: &mut Vec<ToShard>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut queues.acks, acks);
        std::mem::swap(&mut queues.messages, messages);
    }
}

impl AckSink for Inbox {
    fn acked(&self, token: u64, outcome: Result<Position, LogError>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let first = queues.messages.is_empty() && queues.acks.is_empty();
        queues.acks.push((token, outcome.is_ok()));
        drop(queues);
        if first {
            self.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_wake_stands_for_a_batch() {
        let inbox = Inbox::new(10);
        for token in 0..3 {
            inbox.acked(token, Err(LogError::Timeout));
        }
        assert!(inbox.push(ToShard::Cut));
        inbox.filled().await;
        let (mut acks, mut messages) = (Vec::new(), Vec::new());
        inbox.take(&mut acks, &mut messages);
        assert_eq!(acks, [(0, false), (1, false), (2, false)]);
        assert_eq!(messages.len(), 1);
        let again = tokio::time::timeout(std::time::Duration::from_millis(20), inbox.filled()).await;
        assert!(again.is_err());
    }
}

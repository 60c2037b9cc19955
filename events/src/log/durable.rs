//! Append and wait, for callers that are not on the hot path.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

use super::{Ack, AckSink, Append, AppendError, EventLog, LogError, Position};

/// Why a record is not known to be durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDurable {
    /// It was not taken: try again (`Full`), or never (`TooLarge`).
    #[error(transparent)]
    Refused(#[from] AppendError),
    /// It was taken and not confirmed. It may have been written all the same.
    #[error(transparent)]
    Failed(#[from] LogError),
}

struct Once(Mutex<Option<oneshot::Sender<Result<Position, LogError>>>>);

impl AckSink for Once {
    fn acked(&self, _token: u64, outcome: Result<Position, LogError>) {
        if let Some(waiting) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = waiting.send(outcome); // Err: nobody waits any more
        }
    }
}

/// Appends at once (not when first polled) and resolves when the record is durable, or is known not to be.
///
/// Dropping the future takes nothing back.
pub fn append_durable(
    log: &dyn EventLog,
    record: Append<'_>,
) -> impl Future<Output = Result<Position, NotDurable>> + Send + use<> {
    let (sender, receiver) = oneshot::channel();
    let taken = log.append(record, Ack::Notify { sink: Arc::new(Once(Mutex::new(Some(sender)))), token: 0 });
    async move {
        taken?;
        Ok(receiver.await.map_err(|_| LogError::Closed)??)
    }
}

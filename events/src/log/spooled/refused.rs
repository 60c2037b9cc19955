//! What the log has refused for good, although somebody was answered for it: kept in a file of its own, so that it neither blocks the spool nor
//! is lost. Each process tries all of it again when it opens the spool.

use std::{path::Path, thread, time::Duration};

use super::{GROUP, topics};
use crate::log::{
    Append, AppendError, EmbeddedConfig, EventLog as _, LogError, NotDurable, OpenError, Record, append_durable,
    embedded::EmbeddedLog,
};

/// The file in the spool's folder.
pub(super) const FILE: &str = "refused.db";
/// Records that are taken back at once.
const AT_ONCE: usize = 100;

/// See the module. The file is there from the first record on.
#[derive(Debug)]
pub(super) struct Refused {
    config: EmbeddedConfig,
    file: Option<EmbeddedLog>,
}

impl Refused {
    /// In the folder of a spool of these settings.
    pub fn new(folder: &Path, settings: EmbeddedConfig) -> Self {
        Self { config: EmbeddedConfig { path: folder.join(FILE), ..settings }, file: None }
    }

    /// Keeps a record; it is durable then.
    pub async fn keep(&mut self, record: &Record) -> Result<(), LogError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open(&self.config)?),
        };
        copy(record, file).await
    }

    /// Moves what an earlier process kept into the spool, at its end; says how many records had no room there. A kill in between leaves some
    /// of them in both: consumers know repetitions.
    pub fn take_back(&self, spool: &EmbeddedLog) -> Result<u64, OpenError> {
        if !self.config.path.exists() {
            return Ok(0);
        }
        let sick = |error| OpenError::Spool { path: self.config.path.clone(), error };
        // Whoever opens a spool may be on a runtime's thread, which must not wait for another.
        let moved = thread::scope(|scope| {
            let moving = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
                let runtime = runtime.map_err(|error| LogError::Backend(error.to_string()))?;
                runtime.block_on(move_all(&open(&self.config)?, spool))
            });
            moving.join().unwrap_or_else(|_| Err(LogError::Backend("a panic".to_owned())))
        });
        moved.map_err(sick)
    }
}

fn open(config: &EmbeddedConfig) -> Result<EmbeddedLog, LogError> {
    let file = EmbeddedLog::open_unread(config).map_err(|error| LogError::Backend(error.to_string()))?;
    drop(file.subscribe(GROUP, &topics())?); // so that it is known to have read nothing
    Ok(file)
}

async fn move_all(from: &EmbeddedLog, to: &EmbeddedLog) -> Result<u64, LogError> {
    let mut reader = from.subscribe(GROUP, &topics())?;
    loop {
        let batch = reader.poll(AT_ONCE, Duration::ZERO).await?;
        for record in &batch.records {
            if let Err(error) = copy(record, to).await {
                tracing::error!(%error, path = %from.path().display(), "records that the log refused stay set aside: the spool does not take them back");
                return Ok(from.unread(GROUP)?.iter().map(|unread| unread.records).sum());
            }
            reader.commit(&[record.position]).await?;
        }
        if batch.records.is_empty() && batch.at_end {
            return Ok(0);
        }
    }
}

async fn copy(record: &Record, to: &EmbeddedLog) -> Result<(), LogError> {
    let headers: Vec<(&str, &[u8])> = record.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let topic = record.position.topic;
    let append = Append { topic, key: &record.key, payload: record.payload.as_deref(), headers: &headers };
    match append_durable(to, append).await {
        Ok(_) => Ok(()),
        Err(NotDurable::Failed(error)) => Err(error),
        Err(NotDurable::Refused(AppendError::Full)) => Err(LogError::DiskFull),
        Err(NotDurable::Refused(error)) => Err(LogError::Backend(error.to_string())),
    }
}

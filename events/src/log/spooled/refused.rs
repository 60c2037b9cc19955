//! What the log has refused for good, although somebody was answered for it: kept in a file of its own, so that it neither blocks the spool nor
//! is lost. Each process tries all of it again when it opens the spool.

use std::{path::Path, thread, time::Duration};

use super::{GROUP, topics};
use crate::{
    log::{
        Append, AppendError, EmbeddedConfig, EventLog as _, LogError, NotDurable, OpenError, Record, append_durable,
        embedded::EmbeddedLog,
    },
    topic::Topic,
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
    /// In the folder of a spool of these settings. Only the file's size bounds a record: an earlier process may have had a larger limit.
    pub fn new(folder: &Path, settings: EmbeddedConfig) -> Self {
        let kbytes = usize::try_from(settings.disk_mbytes_max).unwrap_or(usize::MAX >> 20) << 10;
        let (path, record_kbytes_max) = (folder.join(FILE), kbytes);
        Self { config: EmbeddedConfig { path, record_kbytes_max, queue_kbytes: kbytes, ..settings }, file: None }
    }

    /// Keeps a record; it is durable then.
    pub async fn keep(&mut self, record: &Record) -> Result<(), LogError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open(&self.config)?),
        };
        copy(record, file).await
    }

    /// Moves what an earlier process kept into the spool, at its end; says how many records stay, because they are larger than the spool
    /// takes or had no room there. A kill in between leaves some of them twice: consumers know repetitions.
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
    let (mut reader, upto) = (from.subscribe(GROUP, &topics())?, from.unread(GROUP)?);
    let upto = |topic: Topic| upto.iter().find(|unread| unread.topic == topic).map_or(0, |unread| unread.next_offset);
    let left = || Ok(from.unread(GROUP)?.iter().map(|unread| unread.records).sum());
    loop {
        let batch = reader.poll(AT_ONCE, Duration::ZERO).await?;
        // What is put back to the end is not looked at again.
        let ours = batch.records.iter().filter(|record| record.position.offset < upto(record.position.topic));
        for record in ours {
            let mut moved = copy(record, to).await;
            if moved == Err(LogError::TooLarge) {
                tracing::error!(topic = %record.position.topic, bytes = record.bytes(), "a record that the log refused stays set aside: it is larger than the spool takes");
                moved = copy(record, from).await;
            }
            if let Err(error) = moved {
                tracing::error!(%error, path = %from.path().display(), "records that the log refused stay set aside: the spool does not take them back");
                return left();
            }
            reader.commit(&[record.position]).await?;
        }
        if batch.records.is_empty() && batch.at_end {
            return left();
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
        Err(NotDurable::Refused(AppendError::TooLarge)) => Err(LogError::TooLarge),
        Err(NotDurable::Refused(error)) => Err(LogError::Backend(error.to_string())),
    }
}

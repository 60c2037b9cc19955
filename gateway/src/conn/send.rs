//! One write per read; what the socket does not take is kept and sent when it can be.

use std::task::{Context as Task, Poll};

use super::Connection;
use crate::shard::Shard;

/// What a peer that does not read may make us keep.
const UNSENT_MAX: usize = 1024 * 1024;

/// Bytes that the socket did not take.
#[derive(Debug)]
pub(super) struct Unsent {
    pub bytes: Vec<u8>,
    pub written: usize,
    /// When the peer last took something.
    pub moved_ms: u64,
}

impl Connection {
    pub(super) fn send(&mut self, task: &mut Task<'_>, shard: &Shard, bytes: &[u8]) -> std::io::Result<()> {
        let mut written = 0;
        if let Some(unsent) = &mut self.unsent {
            unsent.bytes.extend_from_slice(bytes);
            if unsent.bytes.len() - unsent.written > UNSENT_MAX {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            return Ok(());
        }
        while let Some(rest) = bytes.get(written..)
            && !rest.is_empty()
        {
            match self.io.poll_write(task, rest) {
                Poll::Ready(Ok(0)) => return Err(std::io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        let rest = bytes.get(written..).unwrap_or_default();
        let flushed = self.io.poll_flush(task)?.is_ready();
        if !rest.is_empty() || !flushed {
            self.unsent = Some(Box::new(Unsent { bytes: rest.to_vec(), written: 0, moved_ms: shard.mono_ms() }));
        }
        Ok(())
    }

    pub(super) fn send_rest(&mut self, task: &mut Task<'_>, shard: &Shard) -> Poll<std::io::Result<()>> {
        let Some(unsent) = &mut self.unsent else { return Poll::Ready(Ok(())) };
        while let Some(rest) = unsent.bytes.get(unsent.written..)
            && !rest.is_empty()
        {
            match self.io.poll_write(task, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    unsent.written += count;
                    unsent.moved_ms = shard.mono_ms();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        std::task::ready!(self.io.poll_flush(task))?;
        self.unsent = None;
        Poll::Ready(Ok(()))
    }
}

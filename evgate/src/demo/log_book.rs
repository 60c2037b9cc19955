//! What the event log says about each session, read back record by record.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use events::{
    log::{EventLog, Start},
    prost::Message as _,
    proto::{Envelope, envelope::Body},
    topic::Topic,
};

use super::reconcile::{Name, Said};

/// Reads every record appended since `from_real_ms` and returns the energy of every transaction record of `tenant`.
///
/// # Errors
/// When the log cannot be read, or holds what is no event.
pub async fn read(log: &Arc<dyn EventLog>, tenant: u64, from_real_ms: i64) -> Result<BTreeMap<Name, Said>> {
    let mut subscription = log.tail(&[Topic::Device], Start::At(from_real_ms))?;
    let mut book = Book::default();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let batch = subscription.poll(1_000, Duration::from_millis(200)).await?;
        for record in &batch.records {
            let Some(payload) = &record.payload else { continue };
            let envelope = Envelope::decode(payload.clone())?;
            if envelope.tenant == tenant {
                book.apply(envelope)?;
            }
        }
        if batch.at_end && batch.records.is_empty() {
            return Ok(book.sessions);
        }
        if tokio::time::Instant::now() > deadline {
            bail!("the log has no end");
        }
    }
}

#[derive(Default)]
struct Book {
    /// OCPP: the meter at the start comes with another event than the meter at the end.
    meter_start: BTreeMap<Name, u64>,
    sessions: BTreeMap<Name, Said>,
}

impl Book {
    fn apply(&mut self, envelope: Envelope) -> Result<()> {
        match envelope.body {
            Some(Body::SessionStarted(started)) => {
                if let Some(meter) = started.meter_start_e4 {
                    self.meter_start.insert((envelope.charger, started.session), meter);
                }
            }
            Some(Body::TransactionRecorded(record)) => {
                let name = (envelope.charger, record.session);
                let start = record.meter_start_e4.or_else(|| self.meter_start.get(&name).copied());
                let energy = match (record.energy_e4, start, record.meter_end_e4) {
                    (Some(energy), ..) => i64::try_from(energy)?,
                    (None, Some(start), Some(end)) => i64::try_from(end)? - i64::try_from(start)?,
                    _ => bail!("{} session {}: a record without energy or meter readings", name.0, name.1),
                };
                let said = Said { energy_e4: energy, fen: None };
                // A repeated record must say the same; that it did is part of what is compared.
                if let Some(earlier) = self.sessions.insert(name.clone(), said)
                    && earlier != said
                {
                    bail!("{} session {}: two records that differ", name.0, name.1);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

//! What the log and the spool say about the records that they were given.

use std::mem;

use super::{IN_SPOOL, InLog, KIND, Mark, OF_DRAIN, OF_SPOOL, Told, Waiting};
use crate::log::{Ack, AckSink, LogError, Position};

impl Waiting {
    fn of_spool(&self, token: u64, outcome: Result<Position, LogError>) -> Option<Told> {
        let mut state = self.lock();
        let entry = state.entries.get_mut(&token)?;
        let ack = mem::replace(&mut entry.ack, Ack::None);
        let (in_log, topic) = (entry.in_log, entry.topic);
        let told = match outcome {
            Ok(position) => {
                let place = (topic, position.offset);
                entry.place = Some(place);
                if let Some(upto) = state.spooled_upto.get_mut(topic.index()) {
                    *upto = position.offset + 1;
                }
                match in_log {
                    InLog::No => {}
                    InLog::Open => drop(state.marks.insert(place, Mark::Open)),
                    InLog::Confirmed => drop(state.marks.insert(place, Mark::Confirmed)),
                }
                self.news.notify_one();
                Ok(Position { partition: IN_SPOOL, ..position })
            }
            Err(error) => Err(error), // the process ends; it was not told yes
        };
        if in_log != InLog::Open || told.is_err() {
            state.entries.remove(&token);
        }
        Some((ack, told))
    }

    fn of_log(&self, token: u64, outcome: Result<Position, LogError>) -> Option<Told> {
        let mut state = self.lock();
        if answers(&outcome) {
            state.away = false;
        }
        let entry = state.entries.get_mut(&token)?;
        let (topic, spooled, place) = (entry.topic, entry.copy.is_none(), entry.place);
        match outcome {
            Ok(position) if !spooled => state.entries.remove(&token).map(|entry| (entry.ack, Ok(position))),
            Ok(position) => {
                entry.in_log = InLog::Confirmed;
                let ack = mem::replace(&mut entry.ack, Ack::None);
                if let Some(place) = place {
                    state.marks.insert(place, Mark::Confirmed);
                    state.entries.remove(&token);
                    self.news.notify_one();
                }
                Some((ack, Ok(position)))
            }
            // Whoever waits has it still and tries again; for anybody else the spool keeps it, and sets it aside.
            Err(LogError::TooLarge) if !spooled && entry.is_kept() => {
                state.entries.remove(&token).map(|entry| (entry.ack, Err(LogError::TooLarge)))
            }
            Err(error) => {
                state.away |= error != LogError::TooLarge;
                state.not_in_log(token);
                self.news.notify_one();
                self.spool_due(&mut state);
                if spooled || state.spool.is_some() {
                    return None; // it is in the spool, or waits for room there
                }
                self.lost.count(topic);
                state.entries.remove(&token).map(|entry| (entry.ack, Err(error)))
            }
        }
    }
}

/// The log is there: it has taken a record, or has looked at it.
fn answers(outcome: &Result<Position, LogError>) -> bool {
    matches!(outcome, Ok(_) | Err(LogError::TooLarge))
}

impl AckSink for Waiting {
    fn acked(&self, token: u64, outcome: Result<Position, LogError>) {
        let number = token & !KIND;
        let told = match token & KIND {
            OF_SPOOL => self.of_spool(number, outcome),
            OF_DRAIN => {
                let mut state = self.lock();
                state.away &= !answers(&outcome);
                state.outcomes.push((number, outcome.map(drop)));
                drop(state);
                self.news.notify_one();
                None
            }
            _ => self.of_log(number, outcome),
        };
        // Outside the lock: whoever is told may append.
        if let Some((Ack::Notify { sink, token }, outcome)) = told {
            sink.acked(token, outcome);
        }
    }

    fn keeps(&self) -> bool {
        true
    }
}

//! Bytes of the connections: what is ready is read and understood, what a socket does not take is kept and written later.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use super::{Engine, State};
use crate::dialect::Login;
use crate::plan::Pace;

impl Engine {
    /// Waits once and serves what is ready.
    pub(super) fn turn(&mut self, wait: Duration) -> io::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        let waited = self.epoll.wait(&mut events, Some(wait));
        for ready in events.iter() {
            let slot = usize::try_from(ready.key).unwrap_or(usize::MAX);
            if ready.writable {
                self.write_rest(slot);
            }
            if ready.readable {
                self.read(slot);
            }
        }
        self.events = events;
        waited
    }

    fn read(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot).filter(|conn| conn.state != State::Dead) else { return };
        let mut buffer = std::mem::take(&mut self.buffer);
        match conn.stream.read(&mut buffer) {
            Ok(0) => self.lost(slot),
            Ok(len) => self.digest(slot, buffer.get(..len).unwrap_or_default()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.lost(slot),
        }
        self.buffer = buffer;
    }

    fn digest(&mut self, slot: usize, fresh: &[u8]) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        let mut tail = std::mem::take(&mut conn.tail);
        let input = if tail.is_empty() {
            fresh
        } else {
            tail.extend_from_slice(fresh);
            &tail
        };
        let consumed = self.understand(slot, input).min(input.len());
        let rest = input.get(consumed..).unwrap_or_default().to_vec();
        if let Some(conn) = self.conns.get_mut(slot) {
            conn.tail = rest;
        }
    }

    /// Eats whole messages; returns how many bytes.
    fn understand(&mut self, slot: usize, input: &[u8]) -> usize {
        let index = self.index(slot);
        let mut reply = std::mem::take(&mut self.scratch);
        reply.clear();
        let mut consumed = 0;
        if self.conns.get(slot).is_some_and(|conn| conn.state == State::Greeting) {
            let (eaten, login) = self.dialect.login(index, input, &mut reply);
            consumed = eaten;
            match login {
                Login::More => {}
                Login::Ready => self.ready(slot),
                Login::Refused => {
                    self.tally.errors += 1;
                    self.greeting -= 1;
                    self.bury(slot);
                }
            }
        }
        if self.conns.get(slot).is_some_and(|conn| conn.state == State::Ready) {
            let seen = self.dialect.answers(input.get(consumed..).unwrap_or_default(), &mut reply);
            consumed += seen.consumed;
            self.tally.errors += seen.errors;
            if seen.lost {
                self.lost(slot);
            } else {
                self.answered(slot, seen.answers);
            }
        }
        if !reply.is_empty() {
            self.send(slot, &reply);
        }
        self.scratch = reply;
        consumed
    }

    pub(super) fn ready(&mut self, slot: usize) {
        if let Some(conn) = self.conns.get_mut(slot) {
            conn.state = State::Ready;
            self.greeting -= 1;
            self.tally.logged_in += 1;
        }
    }

    fn answered(&mut self, slot: usize, answers: u64) {
        let now = Instant::now();
        for _ in 0..answers {
            let Some(due) = self.conns.get_mut(slot).and_then(|conn| conn.waiting.pop_front()) else {
                // An answer that nobody waits for.
                self.tally.errors += 1;
                continue;
            };
            let Some(window) = self.window else { continue };
            if now >= window.from && now < window.to {
                self.tally.answers += 1;
                let us = u64::try_from(now.saturating_duration_since(due).as_micros()).unwrap_or(u64::MAX);
                self.tally.latency_us.saturating_record(us.max(1));
            }
            if self.plan.pace == Pace::Closed && now < window.to {
                self.cycle(slot, now);
            }
        }
    }

    pub(super) fn send(&mut self, slot: usize, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(slot).filter(|conn| conn.state != State::Dead) else { return };
        let mut rest = bytes;
        while conn.unsent.is_empty() && !rest.is_empty() {
            match conn.stream.write(rest) {
                Ok(len) => rest = rest.get(len..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return self.lost(slot),
            }
        }
        if !rest.is_empty() {
            conn.unsent.extend_from_slice(rest);
            if self.epoll.want_write(&conn.stream, slot as u64, true).is_err() {
                self.lost(slot);
            }
        }
    }

    fn write_rest(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot).filter(|conn| conn.state != State::Dead) else { return };
        match conn.stream.write(&conn.unsent) {
            Ok(len) => {
                conn.unsent.drain(..len);
                if conn.unsent.is_empty() {
                    conn.unsent = Vec::new();
                    if self.epoll.want_write(&conn.stream, slot as u64, false).is_err() {
                        self.lost(slot);
                    }
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.lost(slot),
        }
    }

    /// The server went away.
    fn lost(&mut self, slot: usize) {
        match self.conns.get(slot).map(|conn| conn.state) {
            Some(State::Greeting) => {
                self.tally.errors += 1;
                self.greeting -= 1;
            }
            Some(State::Ready) => self.tally.disconnects += 1,
            Some(State::Dead) | None => return,
        }
        self.bury(slot);
    }

    pub(super) fn bury(&mut self, slot: usize) {
        if let Some(conn) = self.conns.get_mut(slot) {
            conn.state = State::Dead;
            self.tally.unanswered += conn.waiting.len() as u64;
            conn.waiting.clear();
            // The socket is closed with the engine; until then only its events must stop.
            let _already_gone = conn.stream.shutdown(std::net::Shutdown::Both);
            self.epoll.remove(&conn.stream);
        }
    }
}

//! What is degraded, since when, and why: the parts behind `/status`.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// State of one part of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartState {
    /// Works as it should.
    pub ok: bool,
    /// Since when this has been so, real UTC ms.
    pub since_ms: i64,
    /// Why it is degraded; empty when it is not.
    pub why: String,
}

/// A part that reports about itself. Written on changes only.
#[derive(Debug)]
pub struct Part(Mutex<PartState>);

impl Part {
    /// A part that has not come up yet.
    #[must_use]
    pub fn starting() -> Self {
        Self(Mutex::new(PartState { ok: false, since_ms: real_ms(), why: "starting".to_owned() }))
    }

    /// It stopped working as it should; a repetition with another reason keeps the first time.
    pub fn degrade(&self, why: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.ok {
            state.since_ms = real_ms();
        }
        state.ok = false;
        if state.why != why {
            why.clone_into(&mut state.why);
        }
    }

    /// It works.
    pub fn recover(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.ok {
            *state = PartState { ok: true, since_ms: real_ms(), why: String::new() };
        }
    }

    /// A copy for a report.
    #[must_use]
    pub fn state(&self) -> PartState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Real time, UTC ms.
pub(crate) fn real_ms() -> i64 {
    events::clock::Clock::REAL.now_ms()
}

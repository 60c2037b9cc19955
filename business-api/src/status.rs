//! What is degraded, since when and why: each part says it itself, `/status` and `/readyz` only read.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use events::clock::Clock;

/// How one part is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartState {
    /// Since when and why it is not well; `None` = well.
    pub ill: Option<(i64, String)>,
    /// Figures that the part tells.
    pub figures: BTreeMap<&'static str, i64>,
}

/// All parts.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<Mutex<BTreeMap<&'static str, PartState>>>);

impl Status {
    /// The handle of a part, which is well until it says otherwise.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Part {
        self.with(|parts| {
            parts.entry(name).or_default();
        });
        Part { name, status: self.clone() }
    }

    /// A copy of everything.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<&'static str, PartState> {
        self.with(|parts| parts.clone())
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<&'static str, PartState>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Handle of one part.
#[derive(Clone, Debug)]
pub struct Part {
    name: &'static str,
    status: Status,
}

impl Part {
    pub fn well(&self) {
        self.status.with(|parts| {
            if let Some(state) = parts.get_mut(self.name)
                && let Some((since_ms, why)) = state.ill.take()
            {
                tracing::info!(part = self.name, since_ms, why, "well again");
            }
        });
    }

    /// Logs once per illness, not per attempt.
    pub fn ill(&self, why: &str) {
        self.status.with(|parts| {
            let Some(state) = parts.get_mut(self.name) else { return };
            match &mut state.ill {
                Some((_, last)) => why.clone_into(last),
                None => {
                    tracing::warn!(part = self.name, why, "degraded");
                    state.ill = Some((Clock::REAL.now_ms(), why.to_owned()));
                }
            }
        });
    }

    /// Adds to a figure that counts.
    pub fn add(&self, name: &'static str, more: i64) {
        self.status.with(|parts| {
            if let Some(state) = parts.get_mut(self.name) {
                *state.figures.entry(name).or_default() += more;
            }
        });
    }

    pub fn figure(&self, name: &'static str, value: i64) {
        self.status.with(|parts| {
            if let Some(state) = parts.get_mut(self.name) {
                state.figures.insert(name, value);
            }
        });
    }
}

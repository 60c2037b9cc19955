//! `[log]`
use events::log::{EventLog, LogError};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    pub backend: Backend,
    pub embedded: Embedded,
}
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Embedded {
    pub path: PathBuf,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    #[default]
    Embedded,
    Kafka,
}

impl LogConfig {
    pub fn validate(&self) -> Result<(), String> {
        Ok(())
    }
    pub fn open(&self) -> Result<Arc<dyn EventLog>, LogError> {
        Err(LogError::Closed)
    }
}

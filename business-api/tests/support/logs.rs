//! Logs beside the one that an [`App`] begins with, and what is said about them.

use std::{sync::Arc, time::Duration};

use events::log::{EmbeddedConfig, EventLog, embedded::EmbeddedLog};
use sqlx::Connection as _;

use super::App;

/// What `/status` says about the log's history: null, or since when and why.
pub async fn history(app: &App) -> serde_json::Value {
    app.get("/status").await.expect(200)["parts"]["history"]["degraded"].clone()
}

/// A log in a file of its own in the test's folder.
pub fn embedded(app: &App, name: &str) -> Arc<dyn EventLog> {
    let config = EmbeddedConfig { path: app.db.folder.path().join(name), ..EmbeddedConfig::default() };
    Arc::new(EmbeddedLog::open(&config).unwrap())
}

/// The log's own file, for what only an operator does to it.
pub async fn file_of(app: &App, name: &str) -> sqlx::SqliteConnection {
    let path = app.db.folder.path().join(name);
    sqlx::SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap()
}

/// As `sqlite3 events.db ".backup COPY"` makes it.
pub async fn back_up(app: &App, to: &str) {
    app.log.flush(Duration::from_secs(10)).await.unwrap();
    let sql = format!("VACUUM INTO '{}'", app.db.folder.path().join(to).display());
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut file_of(app, "events.db").await).await.unwrap();
}

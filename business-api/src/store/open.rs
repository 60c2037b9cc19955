//! Opens the database, brings its schema up to date, begins transactions under the right tenant.

use std::{str::FromStr as _, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, PgPool, Row as _, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{DbError, TenantId, Tx};

/// The role that PostgreSQL transactions run as when the login role could see through row level security.
const APP_ROLE: &str = "evgate_app";
/// Held while the schema is changed, so that two starting nodes do not both do it.
const SCHEMA_LOCK: i64 = 0x4556_4741_5445;

/// Which database a URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    /// The backend of a URL, if we have one.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        if url.starts_with("sqlite:") {
            Some(Self::Sqlite)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Some(Self::Postgres)
        } else {
            None
        }
    }
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("a database URL begins with sqlite: or postgres://")]
    UnknownScheme,
    #[error("cannot open the database: {0}")]
    Connect(#[from] sqlx::Error),
    #[error("cannot open the database {path}: {error}")]
    File { path: String, error: sqlx::Error },
    #[error("cannot bring the schema up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("the login role sees through row level security and may not become {APP_ROLE}: {0}")]
    Role(sqlx::Error),
}

/// Handle to the database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
}

#[derive(Clone, Debug)]
enum Pools {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres { pool: PgPool, become_app: bool },
}

impl Store {
    /// Opens (SQLite: creates) the database and brings its schema up to date. Eight connections on PostgreSQL.
    ///
    /// # Errors
    /// When it cannot be reached, opened or migrated.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        Self::open_with(url, 8).await
    }

    /// As [`Store::open`] with a number of PostgreSQL connections.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with(url: &str, connections: u32) -> Result<Self, OpenError> {
        let pools = match Backend::of(url).ok_or(OpenError::UnknownScheme)? {
            Backend::Sqlite => open_sqlite(url).await?,
            Backend::Postgres => open_postgres(url, connections).await?,
        };
        Ok(Self { pools })
    }

    /// Which database this is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match self.pools {
            Pools::Sqlite { .. } => Backend::Sqlite,
            Pools::Postgres { .. } => Backend::Postgres,
        }
    }

    /// A transaction that may write rows of this tenant.
    ///
    /// # Errors
    /// What the database says.
    pub async fn write(&self, tenant: TenantId) -> Result<Tx, DbError> {
        let mut tx = self.write_platform().await?;
        tx.enter(tenant).await?;
        Ok(tx)
    }

    /// A transaction that reads rows of this tenant.
    ///
    /// # Errors
    /// What the database says.
    pub async fn read(&self, tenant: TenantId) -> Result<Tx, DbError> {
        let mut tx = self.read_platform().await?;
        tx.enter(tenant).await?;
        Ok(tx)
    }

    /// A writing transaction on the platform's own tables; [`Tx::enter`] lets it in to a tenant.
    ///
    /// # Errors
    /// What the database says.
    pub async fn write_platform(&self) -> Result<Tx, DbError> {
        Ok(match &self.pools {
            // IMMEDIATE: a second process waits for the lock here instead of failing in the middle.
            Pools::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Pools::Postgres { pool, become_app } => {
                let mut tx = pool.begin().await?;
                if *become_app {
                    sqlx::query(AssertSqlSafe(format!("SET LOCAL ROLE {APP_ROLE}"))).execute(&mut *tx).await?;
                }
                Tx::Postgres(tx)
            }
        })
    }

    /// A reading transaction on the platform's own tables.
    ///
    /// # Errors
    /// What the database says.
    pub async fn read_platform(&self) -> Result<Tx, DbError> {
        match &self.pools {
            Pools::Sqlite { readers, .. } => Ok(Tx::Sqlite(readers.begin().await?)),
            Pools::Postgres { .. } => self.write_platform().await,
        }
    }

    /// Closes every connection; SQLite folds its write-ahead log into the file.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres { pool, .. } => pool.close().await,
        }
    }
}

impl Tx {
    /// From here on the transaction sees the rows of `tenant` (PostgreSQL: and no others, by policy).
    ///
    /// # Errors
    /// What the database says.
    pub async fn enter(&mut self, tenant: TenantId) -> Result<(), DbError> {
        if let Self::Postgres(tx) = self {
            sqlx::query("SELECT set_config('app.tenant_id', $1, true)")
                .bind(tenant.to_string())
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }
}

async fn open_sqlite(url: &str) -> Result<Pools, OpenError> {
    let at = |error| OpenError::File { path: url.trim_start_matches("sqlite:").to_owned(), error };
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true)
        .statement_cache_capacity(256);
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        // A full disk makes SQLite end a transaction by itself; the driver then counts one that is not there and refuses
        // every later BEGIN. Such a connection is closed and a new one opened.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(options.clone())
        .await
        .map_err(at)?;
    sqlx::migrate!("migrations/sqlite").run(&writer).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(4)
        .connect_with(options.pragma("query_only", "ON"))
        .await
        .map_err(at)?;
    Ok(Pools::Sqlite { writer, readers })
}

async fn open_postgres(url: &str, connections: u32) -> Result<Pools, OpenError> {
    let options = PgConnectOptions::from_str(url)?.application_name("evgate-api").statement_cache_capacity(256);
    let mut connection = PgConnection::connect_with(&options).await?;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(SCHEMA_LOCK).execute(&mut connection).await?;
    sqlx::migrate!("migrations/postgres").set_locking(false).run(&mut connection).await?;
    let become_app = needs_app_role(&mut connection).await?;
    if become_app {
        make_app_role(&mut connection).await.map_err(OpenError::Role)?;
    }
    connection.close().await?; // and with it the lock
    let pool = PgPoolOptions::new()
        .max_connections(connections.max(2))
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options)
        .await?;
    Ok(Pools::Postgres { pool, become_app })
}

/// Superusers and roles with BYPASSRLS are not held by policies: such a login works as [`APP_ROLE`] instead.
async fn needs_app_role(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT rolsuper OR rolbypassrls AS sees_all FROM pg_roles WHERE rolname = current_user")
        .fetch_one(connection)
        .await?;
    row.try_get("sees_all")
}

async fn make_app_role(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // Roles belong to the whole cluster: another database's first start may be making it at the same moment.
    let create = format!(
        "DO $$ BEGIN CREATE ROLE {APP_ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS; \
         EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    );
    sqlx::query(AssertSqlSafe(create)).execute(&mut *connection).await?;
    let schema: String =
        sqlx::query("SELECT current_schema() AS name").fetch_one(&mut *connection).await?.try_get("name")?;
    let schema = schema.replace('"', "\"\"");
    for grant in [
        format!("GRANT USAGE ON SCHEMA \"{schema}\" TO {APP_ROLE}"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"{schema}\" TO {APP_ROLE}"),
        format!("GRANT USAGE ON ALL SEQUENCES IN SCHEMA \"{schema}\" TO {APP_ROLE}"),
    ] {
        sqlx::query(AssertSqlSafe(grant)).execute(&mut *connection).await?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use crate::store::{Store, Tx};

    /// What SQLite does by itself when the disk is full: the transaction is gone, and the driver does not know.
    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_by_itself_spoils_no_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("b.db").display())).await.unwrap();
        for _ in 0..3 {
            let mut tx = store.write_platform().await.unwrap();
            let Tx::Sqlite(connection) = &mut tx else { panic!("SQLite was asked for") };
            sqlx::query("ROLLBACK").execute(&mut **connection).await.unwrap();
            drop(tx);
        }
        store.write_platform().await.unwrap().commit().await.unwrap();
    }
}

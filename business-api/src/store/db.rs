//! The little that differs between the two databases: how a value is bound and how a row is read.

use std::fmt::Write as _;

use sqlx::{
    AssertSqlSafe, Postgres, Row as _, Sqlite,
    postgres::{PgArguments, PgRow},
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("database: {0}")]
    Sqlx(#[from] sqlx::Error),
    /// A row was changed by somebody else meanwhile (optimistic lock, position): read again and repeat.
    #[error("changed meanwhile: {0}")]
    Changed(&'static str),
    /// A row says what this version of the program cannot have written.
    #[error("unreadable row: {0}")]
    Unreadable(String),
}

impl DbError {
    /// A unique key was hit.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Sqlx(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// Trying the same again later may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Changed(_) => true,
            Self::Unreadable(_) => false,
            Self::Sqlx(error) => match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => true,
                // PostgreSQL: 08 connection, 40 rollback (serialization, deadlock), 53 resources, 57 operator intervention.
                // SQLite: 5 busy, 6 locked, 10 I/O, 13 full, and their extended codes (low byte).
                sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                    ["08", "40", "53", "57", "58"].iter().any(|class| code.len() == 5 && code.starts_with(class))
                        || code.parse::<u32>().is_ok_and(|code| code < 10_000 && matches!(code & 0xff, 5 | 6 | 10 | 13))
                }),
                _ => false,
            },
        }
    }
}

/// A value to bind. Only what both databases hold alike.
#[derive(Clone, Debug)]
pub enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
}

macro_rules! arg_from {
    ($($from:ty => $variant:ident($convert:expr);)*) => {
        $(impl From<$from> for Arg {
            fn from(value: $from) -> Self {
                let convert: fn($from) -> _ = $convert;
                Self::$variant(convert(value))
            }
        })*
    };
}
arg_from! {
    i64 => Int(Some);
    Option<i64> => Int(|v| v);
    u32 => Int(|v| Some(i64::from(v)));
    bool => Int(|v| Some(i64::from(v)));
    Option<bool> => Int(|v| v.map(i64::from));
    super::TenantId => Int(|v| Some(v.0));
    &str => Text(|v| Some(v.to_owned()));
    &String => Text(|v| Some(v.clone()));
    String => Text(Some);
    Option<String> => Text(|v| v);
    Option<&str> => Text(|v| v.map(str::to_owned));
    Vec<u8> => Blob(Some);
    &[u8] => Blob(|v| Some(v.to_vec()));
    Option<Vec<u8>> => Blob(|v| v);
}

/// A row of either database.
#[derive(Debug)]
pub enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! column {
    ($(#[$doc:meta])* $name:ident -> $type:ty) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// When the row has no such column of this type.
        pub fn $name(&self, column: &str) -> Result<$type, DbError> {
            Ok(match self {
                Self::Sqlite(row) => row.try_get(column)?,
                Self::Postgres(row) => row.try_get(column)?,
            })
        }
    };
}

impl Row {
    column!(
        /// BIGINT.
        int -> i64
    );
    column!(
        /// BIGINT, nullable.
        opt_int -> Option<i64>
    );
    column!(
        /// TEXT.
        text -> String
    );
    column!(
        /// TEXT, nullable.
        opt_text -> Option<String>
    );
    column!(
        /// BLOB or BYTEA.
        blob -> Vec<u8>
    );
    column!(
        /// BLOB or BYTEA, nullable.
        opt_blob -> Option<Vec<u8>>
    );

    /// BIGINT 0 or 1.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn flag(&self, column: &str) -> Result<bool, DbError> {
        Ok(self.int(column)? != 0)
    }

    /// BIGINT that is a small unsigned number here.
    ///
    /// # Errors
    /// As [`Row::int`], and when it does not fit.
    pub fn small(&self, column: &str) -> Result<u32, DbError> {
        u32::try_from(self.int(column)?).map_err(|_| DbError::Unreadable(column.to_owned()))
    }
}

/// A transaction on either database, begun for one tenant or for the platform's own tables.
#[derive(Debug)]
pub enum Tx {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

fn bind_sqlite<'q>(sql: &'q str, args: Vec<Arg>, persistent: bool) -> Query<'q, Sqlite, SqliteArguments> {
    let mut query = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(persistent);
    for arg in args {
        query = match arg {
            Arg::Int(value) => query.bind(value),
            Arg::Text(value) => query.bind(value),
            Arg::Blob(value) => query.bind(value),
        };
    }
    query
}

fn bind_postgres<'q>(sql: &'q str, args: Vec<Arg>, persistent: bool) -> Query<'q, Postgres, PgArguments> {
    let mut query = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(persistent);
    for arg in args {
        query = match arg {
            Arg::Int(value) => query.bind(value),
            Arg::Text(value) => query.bind(value),
            Arg::Blob(value) => query.bind(value),
        };
    }
    query
}

/// Most values bound in one statement (SQLite takes 32,766).
const BOUND_MAX: usize = 30_000;

impl Tx {
    /// Runs a statement; answers how many rows it touched. The text is a constant of `store/`: values are always bound.
    ///
    /// # Errors
    /// What the database says.
    pub async fn execute(&mut self, sql: &str, args: Vec<Arg>) -> Result<u64, DbError> {
        self.run(sql, args, true).await
    }

    async fn run(&mut self, sql: &str, args: Vec<Arg>, persistent: bool) -> Result<u64, DbError> {
        Ok(match self {
            Self::Sqlite(tx) => bind_sqlite(sql, args, persistent).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => bind_postgres(sql, args, persistent).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// All rows.
    ///
    /// # Errors
    /// What the database says.
    pub async fn all(&mut self, sql: &str, args: Vec<Arg>) -> Result<Vec<Row>, DbError> {
        Ok(match self {
            Self::Sqlite(tx) => {
                bind_sqlite(sql, args, true).fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(tx) => {
                bind_postgres(sql, args, true).fetch_all(&mut **tx).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row, if any.
    ///
    /// # Errors
    /// What the database says.
    pub async fn one(&mut self, sql: &str, args: Vec<Arg>) -> Result<Option<Row>, DbError> {
        Ok(match self {
            Self::Sqlite(tx) => bind_sqlite(sql, args, true).fetch_optional(&mut **tx).await?.map(Row::Sqlite),
            Self::Postgres(tx) => bind_postgres(sql, args, true).fetch_optional(&mut **tx).await?.map(Row::Postgres),
        })
    }

    /// `prefix (VALUES of all rows) suffix`, in as many statements as the number of bound values asks for.
    /// All rows must have the same number of values.
    ///
    /// # Errors
    /// What the database says.
    pub async fn insert_rows(&mut self, prefix: &str, rows: Vec<Vec<Arg>>, suffix: &str) -> Result<u64, DbError> {
        let width = rows.first().map_or(1, Vec::len).max(1);
        let mut touched = 0;
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let chunk: Vec<Vec<Arg>> = rows.by_ref().take((BOUND_MAX / width).clamp(1, 500)).collect();
            let mut sql = String::with_capacity(prefix.len() + suffix.len() + chunk.len() * width * 6);
            sql.push_str(prefix);
            sql.push_str(" VALUES ");
            for row in 0..chunk.len() {
                sql.push_str(if row == 0 { "(" } else { ",(" });
                for column in 0..width {
                    // Writing to a String cannot fail.
                    let _ = write!(sql, "{}${}", if column == 0 { "" } else { "," }, row * width + column + 1);
                }
                sql.push(')');
            }
            sql.push(' ');
            sql.push_str(suffix);
            let few = chunk.len() <= 4; // only these repeat often enough to be worth a place in the statement cache
            touched += self.run(&sql, chunk.into_iter().flatten().collect(), few).await?;
        }
        Ok(touched)
    }

    /// Rows whose key is in `keys`: `{in}` in the text is replaced by the list, which comes after `args`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn all_in(&mut self, sql: &str, args: Vec<Arg>, keys: &[String]) -> Result<Vec<Row>, DbError> {
        let mut rows = Vec::new();
        for chunk in keys.chunks(1_000) {
            // Padded to a power of two with its last key, so that few different statements are prepared.
            let len = chunk.len().next_power_of_two();
            let mut list = String::with_capacity(len * 6);
            for index in 0..len {
                let _ = write!(list, "{}${}", if index == 0 { "" } else { "," }, args.len() + index + 1);
            }
            let mut bound = args.clone();
            bound.extend(
                chunk
                    .iter()
                    .chain(std::iter::repeat_n(chunk.last().unwrap_or(&sql.to_owned()), len - chunk.len()))
                    .map(Arg::from),
            );
            rows.extend(self.all(&sql.replace("{in}", &list), bound).await?);
        }
        Ok(rows)
    }

    /// Makes everything durable at once.
    ///
    /// # Errors
    /// What the database says; nothing is then applied.
    pub async fn commit(self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

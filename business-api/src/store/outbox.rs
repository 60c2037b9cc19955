//! What leaves for the log, written in the transaction of the change that causes it.

use events::topic::Topic;

use super::{DbError, Tx, args};

/// A record to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub topic: Topic,
    pub key: Vec<u8>,
    /// `None` deletes the key of a compacted topic.
    pub payload: Option<Vec<u8>>,
    /// Names and values; values are text.
    pub headers: Vec<(String, String)>,
}

/// A stored record and its place in the order of publication.
#[derive(Clone, Debug)]
pub struct Stored {
    pub id: i64,
    pub outgoing: Outgoing,
}

impl Tx {
    /// Queues records for publication, in this order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn push_outbox(&mut self, records: Vec<Outgoing>, now_ms: i64) -> Result<(), DbError> {
        if records.is_empty() {
            return Ok(());
        }
        let rows = records.into_iter().map(|record| {
            let headers = serde_json::json!(record.headers).to_string();
            args![record.topic.name(), record.key, record.payload, headers, now_ms]
        });
        let rows = rows.collect();
        self.insert_rows("INSERT INTO outbox (topic, record_key, payload, headers, created_at_ms)", rows, "")
            .await
            .map(drop)
    }

    /// The oldest records, without those of the ids in `except`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn outbox(&mut self, except: &[i64], limit: i64) -> Result<Vec<Stored>, DbError> {
        let except = match except {
            [] => String::new(),
            ids => format!("WHERE id NOT IN ({}) ", ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",")),
        };
        let sql = format!("SELECT id, topic, record_key, payload, headers FROM outbox {except}ORDER BY id LIMIT $1");
        let mut stored = Vec::new();
        for row in self.all(&sql, args![limit]).await? {
            let topic = row.text("topic")?;
            let topic = Topic::from_name(&topic).ok_or_else(|| DbError::Unreadable(format!("outbox topic {topic}")))?;
            let headers = serde_json::from_str(&row.text("headers")?)
                .map_err(|error| DbError::Unreadable(format!("outbox headers: {error}")))?;
            let (key, payload) = (row.blob("record_key")?, row.opt_blob("payload")?);
            stored.push(Stored { id: row.int("id")?, outgoing: Outgoing { topic, key, payload, headers } });
        }
        Ok(stored)
    }

    /// Forgets published records: those of these ids.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delete_outbox(&mut self, ids: &[i64]) -> Result<(), DbError> {
        for chunk in ids.chunks(500) {
            let list = (1..=chunk.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(",");
            let args = chunk.iter().map(|id| super::Arg::from(*id)).collect();
            self.execute(&format!("DELETE FROM outbox WHERE id IN ({list})"), args).await?;
        }
        Ok(())
    }

    /// How many records wait.
    ///
    /// # Errors
    /// What the database says.
    pub async fn outbox_depth(&mut self) -> Result<i64, DbError> {
        let row = self.one("SELECT COUNT(*) AS depth FROM outbox", args![]).await?;
        row.map_or(Ok(0), |row| row.int("depth"))
    }

    /// Takes or keeps a lease until `until_ms`; false while somebody else holds it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn take_lease(&mut self, name: &str, holder: &str, now_ms: i64, until_ms: i64) -> Result<bool, DbError> {
        let sql = "INSERT INTO leases (name, holder, until_ms) VALUES ($1, $2, $4) ON CONFLICT (name) DO UPDATE \
                   SET holder = excluded.holder, until_ms = excluded.until_ms WHERE leases.holder = $2 OR leases.until_ms < $3";
        Ok(self.execute(sql, args![name, holder, now_ms, until_ms]).await? == 1)
    }

    /// Lets a lease go at once, so that the next holder need not wait.
    ///
    /// # Errors
    /// What the database says.
    pub async fn drop_lease(&mut self, name: &str, holder: &str) -> Result<(), DbError> {
        self.execute("DELETE FROM leases WHERE name = $1 AND holder = $2", args![name, holder]).await.map(drop)
    }
}

//! What the dead-letter topics hold, as rows.

use events::topic::Topic;

use super::{DbError, Row, TenantId, Tx, args};

/// Who put a letter aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The gateway could not read a charger's message: the letter holds the message as it came.
    Gateway,
    /// The API could not apply an event: the letter holds the event.
    Consumer,
}

impl Source {
    /// Every source; the label values of metrics.
    pub const ALL: [Self; 2] = [Self::Gateway, Self::Consumer];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Consumer => "consumer",
        }
    }
}

/// The record that could not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// A topic's name, as the letter says it.
    pub topic: String,
    pub partition: i64,
    pub offset: i64,
}

/// That a letter was given back to its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redriven {
    /// The last time, UTC ms.
    pub at_ms: i64,
    pub by: String,
    /// How often.
    pub times: i64,
}

/// That a person decided to leave a letter alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dismissed {
    /// UTC ms.
    pub at_ms: i64,
    pub by: String,
    pub because: String,
}

/// A letter without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// 32 hexadecimal digits made of the letter's content: the same letter read twice is one.
    pub id: String,
    /// The dead-letter topic.
    pub topic: Topic,
    pub partition: i64,
    pub offset: i64,
    pub source: Source,
    /// `None` for a charger's message: it never was an event.
    pub origin: Option<Origin>,
    pub reason: String,
    pub detail: String,
    /// Empty = not known.
    pub charger: String,
    /// How often the same event had been redriven before it failed again.
    pub attempts: i64,
    /// Of the payload.
    pub bytes: i64,
    /// By the log's real clock, UTC ms.
    pub appended_at_ms: i64,
    pub redriven: Option<Redriven>,
    pub dismissed: Option<Dismissed>,
}

/// A letter whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeLetter {
    pub letter: Letter,
    pub key: Vec<u8>,
    pub payload: Option<Vec<u8>>,
    /// Of the record in the dead-letter topic.
    pub headers: Vec<(String, String)>,
}

/// Filters of a list; empty text = any.
#[derive(Clone, Debug)]
pub struct LetterFilter {
    /// The dead-letter topic or the one that the record came from.
    pub topic: String,
    pub reason: String,
    pub charger: String,
    pub redriven: Option<bool>,
    pub dismissed: Option<bool>,
    /// Put aside at or after, UTC ms.
    pub from_ms: i64,
    /// Put aside before, UTC ms.
    pub to_ms: i64,
}

impl Default for LetterFilter {
    fn default() -> Self {
        let any = String::new;
        Self {
            topic: any(),
            reason: any(),
            charger: any(),
            redriven: None,
            dismissed: None,
            from_ms: i64::MIN,
            to_ms: i64::MAX,
        }
    }
}

const HEAD: &str = "letter, topic, log_partition, log_offset, source, origin_topic, origin_partition, origin_offset, reason, detail, \
    charger, attempts, COALESCE(CAST(LENGTH(payload) AS BIGINT), 0) AS bytes, appended_at_ms, redriven_at_ms, redriven_by, \
    redriven_times, dismissed_at_ms, dismissed_by, dismissed_because";

const FILTER: &str = "tenant_id = $1 AND ($2 = '' OR topic = $2 OR origin_topic = $2) AND ($3 = '' OR reason = $3) \
    AND ($4 = '' OR charger = $4) AND ($5 = -1 OR CASE WHEN redriven_at_ms IS NULL THEN 0 ELSE 1 END = $5) \
    AND ($6 = -1 OR CASE WHEN dismissed_at_ms IS NULL THEN 0 ELSE 1 END = $6) AND appended_at_ms >= $7 AND appended_at_ms < $8";

fn letter(row: &Row) -> Result<Letter, DbError> {
    let topic = row.text("topic")?;
    let origin = row.opt_int("origin_partition")?.zip(row.opt_int("origin_offset")?);
    let redriven = row.opt_int("redriven_at_ms")?.zip(row.opt_text("redriven_by")?);
    let dismissed = row.opt_int("dismissed_at_ms")?.zip(row.opt_text("dismissed_by")?);
    let dismissed = dismissed.zip(row.opt_text("dismissed_because")?);
    let (origin_topic, times) = (row.text("origin_topic")?, row.int("redriven_times")?);
    Ok(Letter {
        id: row.text("letter")?,
        topic: Topic::from_name(&topic).ok_or_else(|| DbError::Unreadable(format!("dead letter of {topic}")))?,
        partition: row.int("log_partition")?,
        offset: row.int("log_offset")?,
        source: if row.text("source")? == Source::Gateway.name() { Source::Gateway } else { Source::Consumer },
        origin: origin.map(|(partition, offset)| Origin { topic: origin_topic, partition, offset }),
        reason: row.text("reason")?,
        detail: row.text("detail")?,
        charger: row.text("charger")?,
        attempts: row.int("attempts")?,
        bytes: row.int("bytes")?,
        appended_at_ms: row.int("appended_at_ms")?,
        redriven: redriven.map(|(at_ms, by)| Redriven { at_ms, by, times }),
        dismissed: dismissed.map(|((at_ms, by), because)| Dismissed { at_ms, by, because }),
    })
}

fn filtered(tenant: TenantId, filter: &LetterFilter) -> Vec<super::Arg> {
    let whether = |wanted: Option<bool>| wanted.map_or(-1, i64::from);
    let (redriven, dismissed) = (whether(filter.redriven), whether(filter.dismissed));
    args![tenant, &filter.topic, &filter.reason, &filter.charger, redriven, dismissed, filter.from_ms, filter.to_ms]
}

impl Tx {
    /// Adds letters; one that is there keeps what became of it and moves to where the log has it now. No two may be the same.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_dead_letters(&mut self, tenant: TenantId, letters: &[&WholeLetter]) -> Result<(), DbError> {
        let rows = letters.iter().map(|whole| {
            let it = &whole.letter;
            let origin = it.origin.as_ref();
            args![
                tenant,
                &it.id,
                it.topic.name(),
                it.partition,
                it.offset,
                it.source.name(),
                origin.map_or("", |origin| origin.topic.as_str()),
                origin.map(|origin| origin.partition),
                origin.map(|origin| origin.offset),
                &it.reason,
                &it.detail,
                &it.charger,
                it.attempts,
                whole.key.as_slice(),
                whole.payload.clone(),
                serde_json::json!(whole.headers).to_string(),
                it.appended_at_ms
            ]
        });
        let rows = rows.collect();
        self.insert_rows(
            "INSERT INTO dead_letters (tenant_id, letter, topic, log_partition, log_offset, source, origin_topic, \
             origin_partition, origin_offset, reason, detail, charger, attempts, record_key, payload, headers, appended_at_ms)",
            rows,
            "ON CONFLICT (tenant_id, letter) DO UPDATE SET log_partition = excluded.log_partition, log_offset = excluded.log_offset",
        )
        .await
        .map(drop)
    }

    /// Letters before (`appended_at_ms`, `offset`, `id`), newest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn dead_letters(
        &mut self,
        tenant: TenantId,
        filter: &LetterFilter,
        (appended_at_ms, offset, id): (i64, i64, &str),
        limit: i64,
    ) -> Result<Vec<Letter>, DbError> {
        let sql = format!(
            "SELECT {HEAD} FROM dead_letters WHERE {FILTER} AND (appended_at_ms, log_offset, letter) < ($9, $10, $11) \
             ORDER BY appended_at_ms DESC, log_offset DESC, letter DESC LIMIT $12"
        );
        let mut args = filtered(tenant, filter);
        args.extend(args![appended_at_ms, offset, id, limit]);
        self.all(&sql, args).await?.iter().map(letter).collect()
    }

    /// Events that were put aside, in the order in which that happened.
    ///
    /// # Errors
    /// What the database says.
    pub async fn events_put_aside(
        &mut self,
        tenant: TenantId,
        filter: &LetterFilter,
        limit: i64,
    ) -> Result<Vec<Letter>, DbError> {
        let sql = format!(
            "SELECT {HEAD} FROM dead_letters WHERE {FILTER} AND source = $9 \
             ORDER BY appended_at_ms, log_partition, log_offset LIMIT $10"
        );
        let mut args = filtered(tenant, filter);
        args.extend(args![Source::Consumer.name(), limit]);
        self.all(&sql, args).await?.iter().map(letter).collect()
    }

    /// A letter whole.
    ///
    /// # Errors
    /// What the database says.
    pub async fn dead_letter(&mut self, tenant: TenantId, id: &str) -> Result<Option<WholeLetter>, DbError> {
        let sql = format!(
            "SELECT {HEAD}, record_key, payload, headers FROM dead_letters WHERE tenant_id = $1 AND letter = $2"
        );
        let Some(row) = self.one(&sql, args![tenant, id]).await? else { return Ok(None) };
        let headers = serde_json::from_str(&row.text("headers")?)
            .map_err(|error| DbError::Unreadable(format!("dead letter headers: {error}")))?;
        let (key, payload) = (row.blob("record_key")?, row.opt_blob("payload")?);
        Ok(Some(WholeLetter { letter: letter(&row)?, key, payload, headers }))
    }

    /// Writes down that a letter is given back to its topic; false when it was before, unless `again`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn mark_redriven(
        &mut self,
        tenant: TenantId,
        id: &str,
        at_ms: i64,
        by: &str,
        again: bool,
    ) -> Result<bool, DbError> {
        let sql = "UPDATE dead_letters SET redriven_at_ms = $3, redriven_by = $4, redriven_times = redriven_times + 1 \
                   WHERE tenant_id = $1 AND letter = $2 AND (redriven_at_ms IS NULL OR $5 = 1)";
        Ok(self.execute(sql, args![tenant, id, at_ms, by, again]).await? == 1)
    }

    /// Writes down that a letter is left alone, and why; false when it was before.
    ///
    /// # Errors
    /// What the database says.
    pub async fn mark_dismissed(
        &mut self,
        tenant: TenantId,
        id: &str,
        at_ms: i64,
        by: &str,
        because: &str,
    ) -> Result<bool, DbError> {
        let sql = "UPDATE dead_letters SET dismissed_at_ms = $3, dismissed_by = $4, dismissed_because = $5 \
                   WHERE tenant_id = $1 AND letter = $2 AND dismissed_at_ms IS NULL";
        Ok(self.execute(sql, args![tenant, id, at_ms, by, because]).await? == 1)
    }

    /// Letters that nobody has redriven or dismissed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn dead_letters_waiting(&mut self, tenant: TenantId, source: Source) -> Result<i64, DbError> {
        let sql = "SELECT COUNT(*) AS waiting FROM dead_letters \
                   WHERE tenant_id = $1 AND source = $2 AND redriven_at_ms IS NULL AND dismissed_at_ms IS NULL";
        let row = self.one(sql, args![tenant, source.name()]).await?;
        row.map_or(Ok(0), |row| row.int("waiting"))
    }

    /// Forgets the letters of a partition from before the first record that the log still has.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forget_dead_letters(
        &mut self,
        tenant: TenantId,
        topic: Topic,
        partition: i32,
        first: i64,
    ) -> Result<u64, DbError> {
        let sql =
            "DELETE FROM dead_letters WHERE tenant_id = $1 AND topic = $2 AND log_partition = $3 AND log_offset < $4";
        self.execute(sql, args![tenant, topic.name(), i64::from(partition), first]).await
    }
}

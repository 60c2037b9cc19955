//! Answers kept for clients that repeat a request with the same Idempotency-Key.

use super::{DbError, TenantId, Tx, args};

/// What makes two requests the same.
#[derive(Clone, Copy, Debug)]
pub struct RequestKey<'a> {
    pub client: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    pub key: &'a str,
}

/// A kept answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 of the canonical request body, hex.
    pub body_hash: String,
    pub status: u16,
    pub location: Option<String>,
    pub body: String,
}

impl Tx {
    /// The answer to an earlier request of this key.
    ///
    /// # Errors
    /// What the database says.
    pub async fn kept_answer(&mut self, tenant: TenantId, request: RequestKey<'_>) -> Result<Option<Kept>, DbError> {
        let sql = "SELECT body_hash, status, location, body FROM idempotency_keys WHERE tenant_id = $1 AND client = $2 \
                   AND method = $3 AND path = $4 AND idempotency_key = $5";
        let args = args![tenant, request.client, request.method, request.path, request.key];
        let row = self.one(sql, args).await?;
        row.map(|row| {
            Ok(Kept {
                body_hash: row.text("body_hash")?,
                status: u16::try_from(row.int("status")?).map_err(|_| DbError::Unreadable("status".to_owned()))?,
                location: row.opt_text("location")?,
                body: row.text("body")?,
            })
        })
        .transpose()
    }

    /// Keeps an answer; a unique violation says that the same request is being carried out elsewhere right now.
    ///
    /// # Errors
    /// What the database says.
    pub async fn keep_answer(
        &mut self,
        tenant: TenantId,
        request: RequestKey<'_>,
        kept: &Kept,
        now_ms: i64,
    ) -> Result<(), DbError> {
        let sql = "INSERT INTO idempotency_keys (tenant_id, client, method, path, idempotency_key, body_hash, status, location, \
                   body, created_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let args = args![
            tenant,
            request.client,
            request.method,
            request.path,
            request.key,
            &kept.body_hash,
            i64::from(kept.status),
            kept.location.clone(),
            &kept.body,
            now_ms
        ];
        self.execute(sql, args).await.map(drop)
    }

    /// Forgets answers from before an instant.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forget_answers(&mut self, tenant: TenantId, before_ms: i64) -> Result<u64, DbError> {
        let sql = "DELETE FROM idempotency_keys WHERE tenant_id = $1 AND created_at_ms < $2";
        self.execute(sql, args![tenant, before_ms]).await
    }
}

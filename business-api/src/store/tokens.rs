//! Tokens: cards, cars and idTags, who pays for them, and what the gateways get a copy of.

use events::registry as wire;

use super::{DbError, Row, TenantId, Tx, args};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub uid: String,
    pub kind: String,
    pub status: String,
    pub balance_fen: i64,
    /// UTC ms, 0 = never.
    pub expires_at_ms: i64,
    pub logical_card: String,
    pub parent: String,
    /// Who pays.
    pub account: String,
}

impl Token {
    /// As gateways get it.
    #[must_use]
    pub fn entry(&self, tenant: TenantId) -> wire::RegistryEntry {
        let token = wire::Token {
            tenant: tenant.0.unsigned_abs(),
            uid: self.uid.clone(),
            kind: self.kind.clone(),
            status: self.status.clone(),
            balance_fen: self.balance_fen,
            expires_at_ms: self.expires_at_ms,
            logical_card: self.logical_card.clone(),
            parent: self.parent.clone(),
        };
        wire::RegistryEntry { value: Some(wire::registry_entry::Value::Token(token)) }
    }
}

fn token(row: &Row) -> Result<Token, DbError> {
    Ok(Token {
        uid: row.text("uid")?,
        kind: row.text("kind")?,
        status: row.text("status")?,
        balance_fen: row.int("balance_fen")?,
        expires_at_ms: row.int("expires_at_ms")?,
        logical_card: row.text("logical_card")?,
        parent: row.text("parent")?,
        account: row.text("account")?,
    })
}

impl Tx {
    /// Tokens after `after` by uid.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tokens(&mut self, tenant: TenantId, after: &str, limit: i64) -> Result<Vec<Token>, DbError> {
        let sql = "SELECT uid, kind, status, balance_fen, expires_at_ms, logical_card, parent, account FROM tokens \
                   WHERE tenant_id = $1 AND uid > $2 ORDER BY uid LIMIT $3";
        self.all(sql, args![tenant, after, limit]).await?.iter().map(token).collect()
    }

    /// Tokens by uid, in whatever case that is written.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tokens_of(&mut self, tenant: TenantId, uids: &[String]) -> Result<Vec<Token>, DbError> {
        let sql = "SELECT uid, kind, status, balance_fen, expires_at_ms, logical_card, parent, account FROM tokens \
                   WHERE tenant_id = $1 AND any_case IN ({in}) ORDER BY uid";
        let any_case: Vec<String> = uids.iter().map(|uid| uid.to_ascii_lowercase()).collect();
        self.all_in(sql, args![tenant], &any_case).await?.iter().map(token).collect()
    }

    /// The token of exactly this uid.
    ///
    /// # Errors
    /// What the database says.
    pub async fn token(&mut self, tenant: TenantId, uid: &str) -> Result<Option<Token>, DbError> {
        let sql = "SELECT uid, kind, status, balance_fen, expires_at_ms, logical_card, parent, account FROM tokens \
                   WHERE tenant_id = $1 AND uid = $2";
        self.one(sql, args![tenant, uid]).await?.as_ref().map(token).transpose()
    }

    /// Adds or replaces a token.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_token(&mut self, tenant: TenantId, token: &Token) -> Result<(), DbError> {
        let sql = "INSERT INTO tokens (tenant_id, uid, kind, status, balance_fen, expires_at_ms, logical_card, parent, account) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (tenant_id, uid) DO UPDATE SET kind = excluded.kind, \
                   status = excluded.status, balance_fen = excluded.balance_fen, expires_at_ms = excluded.expires_at_ms, \
                   logical_card = excluded.logical_card, parent = excluded.parent, account = excluded.account";
        let t = token;
        let args = args![
            tenant,
            &t.uid,
            &t.kind,
            &t.status,
            t.balance_fen,
            t.expires_at_ms,
            &t.logical_card,
            &t.parent,
            &t.account
        ];
        self.execute(sql, args).await.map(drop)
    }
}

//! Records, meter samples, bills and the ledger: what money is made of. Nothing here is ever changed once written.

use super::{DbError, TenantId, Tx, args};

/// A charger's record as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRow {
    pub charger: String,
    pub session: String,
    /// SHA-256, hex.
    pub digest: String,
    /// 1 = the one that counts.
    pub version: u32,
    pub order_no: String,
    pub received_at_ms: i64,
    /// Protobuf `TransactionRecorded`, the charger's own bytes in `raw`; empty where they are in the dead letters.
    pub body: Vec<u8>,
}

/// A bill as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillRow {
    pub order_no: String,
    pub total_fen: i64,
    pub energy_e4: i64,
    /// match, within_tolerance, amount_mismatch, none.
    pub verdict: String,
    /// JSON of `bill::Bill`.
    pub content: String,
    pub created_at_ms: i64,
}

/// An amount booked to a payer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    pub order_no: String,
    pub account: String,
    pub amount_fen: i64,
    pub booked_at_ms: i64,
}

/// A point of an order's energy curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleRow {
    pub order_no: String,
    pub at_ms: i64,
    pub energy_e4: i64,
}

impl Tx {
    /// Keeps records.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_records(&mut self, tenant: TenantId, records: Vec<RecordRow>) -> Result<(), DbError> {
        let rows = records
            .into_iter()
            .map(|r| args![tenant, r.charger, r.session, r.digest, r.version, r.order_no, r.received_at_ms, r.body]);
        let rows = rows.collect();
        self.insert_rows(
            "INSERT INTO records (tenant_id, charger, session, digest, version, order_no, received_at_ms, body)",
            rows,
            "ON CONFLICT (tenant_id, charger, session, digest) DO NOTHING",
        )
        .await
        .map(drop)
    }

    /// Which of these digests are of records of a session that were kept.
    ///
    /// # Errors
    /// What the database says.
    pub async fn known_records(
        &mut self,
        tenant: TenantId,
        charger: &str,
        session: &str,
        digests: &[String],
    ) -> Result<Vec<String>, DbError> {
        let sql =
            "SELECT digest FROM records WHERE tenant_id = $1 AND charger = $2 AND session = $3 AND digest IN ({in})";
        let rows = self.all_in(sql, args![tenant, charger, session], digests).await?;
        rows.iter().map(|row| row.text("digest")).collect()
    }

    /// Records under an order's session after version `after`, the one that counts first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn records_of_order(
        &mut self,
        tenant: TenantId,
        order_no: &str,
        after: u32,
        limit: i64,
    ) -> Result<Vec<RecordRow>, DbError> {
        let sql = "SELECT charger, session, digest, version, order_no, received_at_ms, body FROM records \
                   WHERE tenant_id = $1 AND order_no = $2 AND version > $3 ORDER BY version LIMIT $4";
        let rows = self.all(sql, args![tenant, order_no, after, limit]).await?;
        let read = |row: &super::Row| {
            Ok(RecordRow {
                charger: row.text("charger")?,
                session: row.text("session")?,
                digest: row.text("digest")?,
                version: row.small("version")?,
                order_no: row.text("order_no")?,
                received_at_ms: row.int("received_at_ms")?,
                body: row.blob("body")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Keeps samples; a later one at the same instant replaces an earlier one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_samples(&mut self, tenant: TenantId, samples: &[SampleRow]) -> Result<(), DbError> {
        // One statement may not touch a row twice (PostgreSQL): the last of equal keys is kept.
        let mut last = std::collections::BTreeMap::new();
        for sample in samples {
            last.insert((sample.order_no.as_str(), sample.at_ms), sample.energy_e4);
        }
        let rows = last.into_iter().map(|((order_no, at_ms), energy)| args![tenant, order_no, at_ms, energy]).collect();
        self.insert_rows(
            "INSERT INTO order_samples (tenant_id, order_no, at_ms, energy_e4)",
            rows,
            "ON CONFLICT (tenant_id, order_no, at_ms) DO UPDATE SET energy_e4 = excluded.energy_e4",
        )
        .await
        .map(drop)
    }

    /// Samples of orders, by order and time.
    ///
    /// # Errors
    /// What the database says.
    pub async fn samples_of(&mut self, tenant: TenantId, orders: &[String]) -> Result<Vec<SampleRow>, DbError> {
        let sql = "SELECT order_no, at_ms, energy_e4 FROM order_samples WHERE tenant_id = $1 AND order_no IN ({in}) \
                   ORDER BY order_no, at_ms";
        let rows = self.all_in(sql, args![tenant], orders).await?;
        let read = |row: &super::Row| {
            Ok(SampleRow {
                order_no: row.text("order_no")?,
                at_ms: row.int("at_ms")?,
                energy_e4: row.int("energy_e4")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Writes bills; re-rating an order replaces its bill.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_bills(&mut self, tenant: TenantId, bills: &[BillRow]) -> Result<(), DbError> {
        let mut last = std::collections::BTreeMap::new();
        for bill in bills {
            last.insert(bill.order_no.as_str(), bill);
        }
        let rows = last
            .into_values()
            .map(|b| args![tenant, &b.order_no, b.total_fen, b.energy_e4, &b.verdict, &b.content, b.created_at_ms]);
        let rows = rows.collect();
        self.insert_rows(
            "INSERT INTO bills (tenant_id, order_no, total_fen, energy_e4, verdict, content, created_at_ms)",
            rows,
            "ON CONFLICT (tenant_id, order_no) DO UPDATE SET total_fen = excluded.total_fen, energy_e4 = excluded.energy_e4, \
             verdict = excluded.verdict, content = excluded.content, created_at_ms = excluded.created_at_ms",
        )
        .await
        .map(drop)
    }

    /// The bill of an order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn bill(&mut self, tenant: TenantId, order_no: &str) -> Result<Option<BillRow>, DbError> {
        let sql = "SELECT order_no, total_fen, energy_e4, verdict, content, created_at_ms FROM bills \
                   WHERE tenant_id = $1 AND order_no = $2";
        let row = self.one(sql, args![tenant, order_no]).await?;
        row.map(|row| {
            Ok(BillRow {
                order_no: row.text("order_no")?,
                total_fen: row.int("total_fen")?,
                energy_e4: row.int("energy_e4")?,
                verdict: row.text("verdict")?,
                content: row.text("content")?,
                created_at_ms: row.int("created_at_ms")?,
            })
        })
        .transpose()
    }

    /// Books amounts. An order is booked once, ever: a second booking is an error, not an overwrite.
    ///
    /// # Errors
    /// What the database says; a unique violation for a second booking.
    pub async fn book(&mut self, tenant: TenantId, entries: &[LedgerRow]) -> Result<(), DbError> {
        let rows = entries.iter().map(|e| args![tenant, &e.order_no, &e.account, e.amount_fen, "CNY", e.booked_at_ms]);
        let rows = rows.collect();
        let sql = "INSERT INTO ledger (tenant_id, order_no, account, amount_fen, currency, booked_at_ms)";
        self.insert_rows(sql, rows, "").await.map(drop)
    }
}

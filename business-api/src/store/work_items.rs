//! Work items: what a person has to look at, and what became of it.

use std::collections::BTreeSet;

use super::{DbError, Row, TenantId, Tx, args};
use crate::order::WorkItem;

/// A new work item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkItemRow {
    pub kind: WorkItem,
    pub order_no: Option<String>,
    pub charger: String,
    pub detail: String,
}

/// That a work item is done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// UTC ms.
    pub at_ms: i64,
    pub by: String,
    pub because: String,
}

/// A work item as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredItem {
    /// A UUID.
    pub id: String,
    /// A code of [`WorkItem`].
    pub kind: String,
    pub order_no: Option<String>,
    pub charger: String,
    pub detail: String,
    /// UTC ms.
    pub opened_at_ms: i64,
    pub closed: Option<Closed>,
}

/// Filters of a list; empty text = any.
#[derive(Clone, Debug, Default)]
pub struct WorkItemFilter {
    pub open: Option<bool>,
    pub kind: String,
    pub order_no: String,
    pub charger: String,
}

const COLUMNS: &str = "item_id, kind, order_no, charger, detail, created_at_ms, closed_at_ms, closed_by, closed_because \
    FROM work_items";

fn item(row: &Row) -> Result<StoredItem, DbError> {
    let closed = row.opt_int("closed_at_ms")?.zip(row.opt_text("closed_by")?).zip(row.opt_text("closed_because")?);
    Ok(StoredItem {
        id: row.text("item_id")?,
        kind: row.text("kind")?,
        order_no: row.opt_text("order_no")?,
        charger: row.text("charger")?,
        detail: row.text("detail")?,
        opened_at_ms: row.int("created_at_ms")?,
        closed: closed.map(|((at_ms, by), because)| Closed { at_ms, by, because }),
    })
}

impl Tx {
    /// Opens work items. An order has at most one that is open of a kind.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open_work_items(
        &mut self,
        tenant: TenantId,
        items: &[&WorkItemRow],
        now_ms: i64,
    ) -> Result<(), DbError> {
        let orders: Vec<String> = items.iter().filter_map(|item| item.order_no.clone()).collect();
        let sql = "SELECT order_no, kind FROM work_items WHERE tenant_id = $1 AND closed_at_ms IS NULL AND order_no IN ({in})";
        let mut there = BTreeSet::new();
        for row in self.all_in(sql, args![tenant], &orders).await? {
            there.insert((row.text("order_no")?, row.text("kind")?));
        }
        let is_new = |item: &&&WorkItemRow| {
            let of_order = item.order_no.clone().map(|order_no| (order_no, item.kind.code().to_owned()));
            of_order.is_none_or(|of_order| there.insert(of_order))
        };
        let rows = items.iter().filter(is_new).map(|item| {
            let id = uuid::Uuid::now_v7().to_string();
            args![tenant, id, item.kind.code(), item.order_no.clone(), &item.charger, &item.detail, now_ms]
        });
        let rows = rows.collect();
        let sql = "INSERT INTO work_items (tenant_id, item_id, kind, order_no, charger, detail, created_at_ms)";
        self.insert_rows(sql, rows, "").await.map(drop)
    }

    /// Work items before (`opened_at_ms`, `id`), newest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn work_items(
        &mut self,
        tenant: TenantId,
        filter: &WorkItemFilter,
        (opened_at_ms, id): (i64, &str),
        limit: i64,
    ) -> Result<Vec<StoredItem>, DbError> {
        let sql = format!(
            "SELECT {COLUMNS} WHERE tenant_id = $1 AND (created_at_ms, item_id) < ($2, $3) \
             AND ($4 = -1 OR CASE WHEN closed_at_ms IS NULL THEN 1 ELSE 0 END = $4) AND ($5 = '' OR kind = $5) \
             AND ($6 = '' OR order_no = $6) AND ($7 = '' OR charger = $7) \
             ORDER BY created_at_ms DESC, item_id DESC LIMIT $8"
        );
        let (f, open) = (filter, filter.open.map_or(-1, i64::from));
        let args = args![tenant, opened_at_ms, id, open, &f.kind, &f.order_no, &f.charger, limit];
        self.all(&sql, args).await?.iter().map(item).collect()
    }

    /// A work item.
    ///
    /// # Errors
    /// What the database says.
    pub async fn work_item(&mut self, tenant: TenantId, id: &str) -> Result<Option<StoredItem>, DbError> {
        let sql = format!("SELECT {COLUMNS} WHERE tenant_id = $1 AND item_id = $2");
        self.one(&sql, args![tenant, id]).await?.as_ref().map(item).transpose()
    }

    /// Writes down that a work item is done with; false when it was before.
    ///
    /// # Errors
    /// What the database says.
    pub async fn close_work_item(&mut self, tenant: TenantId, id: &str, closed: &Closed) -> Result<bool, DbError> {
        let sql = "UPDATE work_items SET closed_at_ms = $3, closed_by = $4, closed_because = $5 \
                   WHERE tenant_id = $1 AND item_id = $2 AND closed_at_ms IS NULL";
        Ok(self.execute(sql, args![tenant, id, closed.at_ms, &closed.by, &closed.because]).await? == 1)
    }

    /// Closes what is open about orders being held, since they no longer are, or for another reason.
    ///
    /// # Errors
    /// What the database says.
    pub async fn close_held_items(&mut self, tenant: TenantId, order_no: &str, closed: &Closed) -> Result<(), DbError> {
        let sql = "UPDATE work_items SET closed_at_ms = $3, closed_by = $4, closed_because = $5 \
                   WHERE tenant_id = $1 AND order_no = $2 AND closed_at_ms IS NULL AND kind <> $6";
        let conflict = WorkItem::RecordConflict.code();
        self.execute(sql, args![tenant, order_no, closed.at_ms, &closed.by, &closed.because, conflict]).await.map(drop)
    }

    /// How many work items are open, by kind.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open_work_items_by_kind(&mut self, tenant: TenantId) -> Result<Vec<(String, i64)>, DbError> {
        let sql = "SELECT kind, COUNT(*) AS items FROM work_items WHERE tenant_id = $1 AND closed_at_ms IS NULL GROUP BY kind";
        let rows = self.all(sql, args![tenant]).await?;
        rows.iter().map(|row| Ok((row.text("kind")?, row.int("items")?))).collect()
    }
}

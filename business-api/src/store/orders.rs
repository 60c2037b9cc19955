//! Orders as rows: columns are what queries ask for, `facts` is what the state machine knows.

use serde::{Deserialize, Serialize};

use super::{DbError, Row, TenantId, Tx, args};
use crate::order::{Estimate, ExceptionCode, Order, State, TimelineEntry, TimerKind};

/// A timer that an order waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    pub kind: TimerKind,
    /// UTC ms on the platform's clock.
    pub at_ms: i64,
}

/// An estimate that somebody asked for and nobody has approved yet (T22).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EstimateAsked {
    /// `approved_by` is empty.
    pub estimate: Estimate,
    /// Who pays; the order's payer where it has one.
    pub account: String,
    /// When it was asked for, UTC ms.
    pub at_ms: i64,
    /// Why the order was held then. Held for another reason it is another question.
    pub exception: ExceptionCode,
}

/// What is stored of an order beside the columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub order: Order,
    /// Timers that it waits for, at most one per kind.
    pub timers: Vec<Timer>,
    /// Lines in its timeline.
    pub lines: u32,
    /// Connection and number of the last event that made a remark on the timeline.
    #[serde(default)]
    pub remarked: Option<(u64, u64)>,
    /// Samples kept.
    pub samples: u32,
    /// Instant and energy of the last sample kept.
    pub last_sample: Option<(i64, i64)>,
    /// The record is here, and the bill waits for live data that may still be on its way: since when (platform clock) .
    pub waits_for_samples_since_ms: Option<i64>,
    /// Why billing held it, for the work item.
    #[serde(default)]
    pub held_because: String,
    /// Sum of the bill in parts, for lists: electricity, service (after discount), everything else, fen.
    pub fees_fen: Option<(i64, i64, i64)>,
    /// The how-manieth session of its charger it is under its number, from 0.
    #[serde(default)]
    pub session_use: u32,
    /// The estimate that waits for somebody else's approval.
    #[serde(default)]
    pub estimate_asked: Option<EstimateAsked>,
    /// A reading from within the session came after the bill.
    #[serde(default)]
    pub sample_after_bill: bool,
}

/// An order and its place in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    pub facts: Facts,
    pub station: String,
    /// Optimistic lock: what is stored; 0 = not stored yet.
    pub version: i64,
}

impl Facts {
    /// Of a new order.
    #[must_use]
    pub fn new(order: Order) -> Self {
        Self {
            order,
            timers: Vec::new(),
            lines: 0,
            remarked: None,
            samples: 0,
            last_sample: None,
            waits_for_samples_since_ms: None,
            held_because: String::new(),
            fees_fen: None,
            session_use: 0,
            estimate_asked: None,
            sample_after_bill: false,
        }
    }

    fn due_at_ms(&self) -> Option<i64> {
        let timers = self.timers.iter().map(|timer| timer.at_ms);
        timers.chain(self.waits_for_samples_since_ms).min()
    }
}

/// A line to be appended to an order's timeline.
#[derive(Clone, Debug)]
pub struct Line {
    pub order_no: String,
    /// From 1.
    pub seq: u32,
    pub entry: TimelineEntry,
}

/// Filters of a list of orders; empty text = any.
#[derive(Clone, Debug, Default)]
pub struct OrderFilter {
    pub state: String,
    pub exception_code: String,
    pub record_status: String,
    pub charger: String,
    pub station: String,
    pub account: String,
    /// Created at or after, UTC ms.
    pub from_ms: i64,
    /// Created before, UTC ms.
    pub to_ms: i64,
}

const COLUMNS: &str = "version, station, facts FROM orders";

fn order(row: &Row) -> Result<OrderRow, DbError> {
    let facts = row.text("facts")?;
    let facts = serde_json::from_str(&facts).map_err(|error| DbError::Unreadable(format!("order: {error}")))?;
    Ok(OrderRow { facts, station: row.text("station")?, version: row.int("version")? })
}

impl Tx {
    /// One order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn order(&mut self, tenant: TenantId, order_no: &str) -> Result<Option<OrderRow>, DbError> {
        let sql = format!("SELECT {COLUMNS} WHERE tenant_id = $1 AND order_no = $2");
        self.one(&sql, args![tenant, order_no]).await?.as_ref().map(order).transpose()
    }

    /// Orders by number.
    ///
    /// # Errors
    /// What the database says.
    pub async fn orders_of(&mut self, tenant: TenantId, numbers: &[String]) -> Result<Vec<OrderRow>, DbError> {
        let sql = format!("SELECT {COLUMNS} WHERE tenant_id = $1 AND order_no IN ({{in}})");
        self.all_in(&sql, args![tenant], numbers).await?.iter().map(order).collect()
    }

    /// Orders of chargers whose session may still be going on, or whose record is being settled.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open_orders(&mut self, tenant: TenantId, chargers: &[String]) -> Result<Vec<OrderRow>, DbError> {
        let sql = format!(
            "SELECT {COLUMNS} WHERE tenant_id = $1 AND open = 1 AND charger IN ({{in}}) ORDER BY created_at_ms"
        );
        self.all_in(&sql, args![tenant], chargers).await?.iter().map(order).collect()
    }

    /// Orders of sessions, whatever their state and charger.
    ///
    /// # Errors
    /// What the database says.
    pub async fn orders_of_sessions(
        &mut self,
        tenant: TenantId,
        sessions: &[String],
    ) -> Result<Vec<OrderRow>, DbError> {
        let sql = format!("SELECT {COLUMNS} WHERE tenant_id = $1 AND session IN ({{in}})");
        self.all_in(&sql, args![tenant], sessions).await?.iter().map(order).collect()
    }

    /// Orders that an OCPP idTag names, whatever their state and charger. Only tags that name an order begin with `R` and have
    /// 20 characters; a driver's own tag may be on thousands of orders and is not asked for.
    ///
    /// # Errors
    /// What the database says.
    pub async fn orders_of_tags(&mut self, tenant: TenantId, tags: &[String]) -> Result<Vec<OrderRow>, DbError> {
        let sql = format!("SELECT {COLUMNS} WHERE tenant_id = $1 AND id_tag IN ({{in}})");
        self.all_in(&sql, args![tenant], tags).await?.iter().map(order).collect()
    }

    /// Whether a payer has an order that could not be collected.
    ///
    /// # Errors
    /// What the database says.
    pub async fn in_arrears(&mut self, tenant: TenantId, account: &str) -> Result<bool, DbError> {
        let sql = "SELECT 1 AS found FROM orders WHERE tenant_id = $1 AND account = $2 AND state = 'UNPAID' LIMIT 1";
        Ok(self.one(sql, args![tenant, account]).await?.is_some())
    }

    /// Orders with a timer at or before `now_ms`, the oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn due_orders(&mut self, tenant: TenantId, now_ms: i64, limit: i64) -> Result<Vec<OrderRow>, DbError> {
        let sql = format!("SELECT {COLUMNS} WHERE tenant_id = $1 AND due_at_ms <= $2 ORDER BY due_at_ms LIMIT $3");
        self.all(&sql, args![tenant, now_ms, limit]).await?.iter().map(order).collect()
    }

    /// Orders created before (`created_at_ms`, `order_no`), newest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn orders(
        &mut self,
        tenant: TenantId,
        filter: &OrderFilter,
        (created_at_ms, order_no): (i64, &str),
        limit: i64,
    ) -> Result<Vec<OrderRow>, DbError> {
        let sql = format!(
            "SELECT {COLUMNS} WHERE tenant_id = $1 AND (created_at_ms < $2 OR (created_at_ms = $2 AND order_no < $3)) \
             AND created_at_ms >= $4 AND created_at_ms < $5 AND ($6 = '' OR state = $6) AND ($7 = '' OR charger = $7) \
             AND ($8 = '' OR station = $8) AND ($9 = '' OR account = $9) AND ($10 = '' OR exception_code = $10) \
             AND ($11 = '' OR record_status = $11) ORDER BY created_at_ms DESC, order_no DESC LIMIT $12"
        );
        let f = filter;
        let args = args![
            tenant,
            created_at_ms,
            order_no,
            f.from_ms,
            f.to_ms,
            &f.state,
            &f.charger,
            &f.station,
            &f.account,
            &f.exception_code,
            &f.record_status,
            limit
        ];
        self.all(&sql, args).await?.iter().map(order).collect()
    }

    /// Writes orders that were read at their `version` (or are new, version 0) and raises the version.
    ///
    /// # Errors
    /// [`DbError::Changed`] when one of them was written by somebody else meanwhile.
    pub async fn put_orders(&mut self, tenant: TenantId, orders: &[&OrderRow], now_ms: i64) -> Result<(), DbError> {
        let mut rows = Vec::with_capacity(orders.len());
        for row in orders {
            let (facts, o) = (&row.facts, &row.facts.order);
            let text = serde_json::to_string(facts).map_err(|error| DbError::Unreadable(format!("order: {error}")))?;
            rows.push(args![
                tenant,
                &o.order_no,
                row.version + 1,
                o.state.name(),
                o.exception.map(|code| code.name()),
                &row.station,
                &o.charger,
                o.connector,
                o.session.clone(),
                facts.session_use,
                o.id_tag.clone(),
                o.start_mode.name(),
                o.payer.clone(),
                o.tariff.clone().unwrap_or_default(),
                o.state.occupies_connector() || o.state == State::Settling,
                o.created_at_ms,
                o.started_at_ms,
                o.ended_at_ms,
                o.settled.as_ref().map(|_| now_ms),
                o.settled.map(|settled| settled.energy.0),
                o.settled.map(|settled| settled.total.0),
                facts.due_at_ms(),
                o.record_status.name(),
                text,
                now_ms
            ]);
        }
        let wanted = rows.len() as u64;
        let written = self
            .insert_rows(
                "INSERT INTO orders (tenant_id, order_no, version, state, exception_code, station, charger, connector, session, \
                 session_use, id_tag, start_mode, account, tariff, open, created_at_ms, started_at_ms, ended_at_ms, settled_at_ms, energy_e4, \
                 total_fen, due_at_ms, record_status, facts, updated_at_ms)",
                rows,
                "ON CONFLICT (tenant_id, order_no) DO UPDATE SET version = excluded.version, state = excluded.state, \
                 exception_code = excluded.exception_code, connector = excluded.connector, session = excluded.session, session_use = excluded.session_use, id_tag = excluded.id_tag, \
                 account = excluded.account, open = excluded.open, started_at_ms = excluded.started_at_ms, \
                 ended_at_ms = excluded.ended_at_ms, settled_at_ms = COALESCE(orders.settled_at_ms, excluded.settled_at_ms), \
                 energy_e4 = excluded.energy_e4, total_fen = excluded.total_fen, due_at_ms = excluded.due_at_ms, \
                 record_status = excluded.record_status, \
                 facts = excluded.facts, updated_at_ms = excluded.updated_at_ms WHERE orders.version = excluded.version - 1",
            )
            .await?;
        if written == wanted { Ok(()) } else { Err(DbError::Changed("order")) }
    }

    /// Appends lines to timelines.
    ///
    /// # Errors
    /// What the database says.
    pub async fn append_lines(&mut self, tenant: TenantId, lines: &[Line]) -> Result<(), DbError> {
        let rows = lines.iter().map(|line| {
            let entry = &line.entry;
            let from = entry.from.map(|state| state.name());
            args![
                tenant,
                &line.order_no,
                line.seq,
                entry.at_ms,
                &entry.what,
                from,
                entry.to.name(),
                &entry.transition,
                &entry.detail
            ]
        });
        let rows = rows.collect();
        self.insert_rows(
            "INSERT INTO order_timeline (tenant_id, order_no, seq, at_ms, event, from_state, to_state, transition, detail)",
            rows,
            "",
        )
        .await
        .map(drop)
    }

    /// Lines of the timeline of an order after line `after`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lines(
        &mut self,
        tenant: TenantId,
        order_no: &str,
        after: u32,
        limit: i64,
    ) -> Result<Vec<Line>, DbError> {
        let sql = "SELECT seq, at_ms, event, from_state, to_state, transition, detail FROM order_timeline \
                   WHERE tenant_id = $1 AND order_no = $2 AND seq > $3 ORDER BY seq LIMIT $4";
        let state =
            |name: String| State::from_name(&name).ok_or_else(|| DbError::Unreadable(format!("order state {name}")));
        let rows = self.all(sql, args![tenant, order_no, after, limit]).await?;
        let read = |row: &Row| {
            let entry = TimelineEntry {
                at_ms: row.int("at_ms")?,
                what: row.text("event")?,
                transition: row.text("transition")?,
                from: row.opt_text("from_state")?.map(state).transpose()?,
                to: state(row.text("to_state")?)?,
                detail: row.text("detail")?,
            };
            Ok(Line { order_no: order_no.to_owned(), seq: row.small("seq")?, entry })
        };
        rows.iter().map(read).collect()
    }
}

//! Commands to chargers and what became of them.

use super::{DbError, Row, TenantId, Tx, args};

/// A command as REST shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRow {
    /// UUIDv7 text.
    pub command_id: String,
    pub charger: String,
    pub connector: u32,
    /// start_charging, stop_charging, reboot, sync_time, set_tariff, update_balance, read_live_data, send_ocpp_call.
    pub kind: String,
    pub order_no: Option<String>,
    /// pending, accepted, rejected, no_answer, connection_lost, unsupported, expired, queue_full.
    pub state: String,
    /// The charger's own word.
    pub code: String,
    /// JSON.
    pub arguments: String,
    pub issued_at_ms: i64,
    pub expires_at_ms: i64,
    pub answered_at_ms: Option<i64>,
}

const COLUMNS: &str = "command_id, charger, connector, kind, order_no, state, code, arguments, issued_at_ms, expires_at_ms, \
                       answered_at_ms";

fn command(row: &Row) -> Result<CommandRow, DbError> {
    Ok(CommandRow {
        command_id: row.text("command_id")?,
        charger: row.text("charger")?,
        connector: row.small("connector")?,
        kind: row.text("kind")?,
        order_no: row.opt_text("order_no")?,
        state: row.text("state")?,
        code: row.text("code")?,
        arguments: row.text("arguments")?,
        issued_at_ms: row.int("issued_at_ms")?,
        expires_at_ms: row.int("expires_at_ms")?,
        answered_at_ms: row.opt_int("answered_at_ms")?,
    })
}

impl Tx {
    /// Adds commands, or writes down the answers of those that are there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_commands(&mut self, tenant: TenantId, commands: &[&CommandRow]) -> Result<(), DbError> {
        let rows = commands.iter().map(|c| {
            args![
                tenant,
                &c.command_id,
                &c.charger,
                c.connector,
                &c.kind,
                c.order_no.clone(),
                &c.state,
                &c.code,
                &c.arguments,
                c.issued_at_ms,
                c.expires_at_ms,
                c.answered_at_ms
            ]
        });
        let rows = rows.collect();
        self.insert_rows(
            "INSERT INTO commands (tenant_id, command_id, charger, connector, kind, order_no, state, code, arguments, \
             issued_at_ms, expires_at_ms, answered_at_ms)",
            rows,
            "ON CONFLICT (tenant_id, command_id) DO UPDATE SET state = excluded.state, code = excluded.code, \
             answered_at_ms = excluded.answered_at_ms",
        )
        .await
        .map(drop)
    }

    /// Commands by id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn commands_of(&mut self, tenant: TenantId, ids: &[String]) -> Result<Vec<CommandRow>, DbError> {
        let sql = format!("SELECT {COLUMNS} FROM commands WHERE tenant_id = $1 AND command_id IN ({{in}})");
        self.all_in(&sql, args![tenant], ids).await?.iter().map(command).collect()
    }

    /// Commands to a charger, newest first, older than (`issued_at_ms`, `command_id`).
    ///
    /// # Errors
    /// What the database says.
    pub async fn commands_to(
        &mut self,
        tenant: TenantId,
        charger: &str,
        (issued_at_ms, command_id): (i64, &str),
        limit: i64,
    ) -> Result<Vec<CommandRow>, DbError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM commands WHERE tenant_id = $1 AND charger = $2 \
             AND (issued_at_ms < $3 OR (issued_at_ms = $3 AND command_id < $4)) ORDER BY issued_at_ms DESC, command_id DESC LIMIT $5"
        );
        self.all(&sql, args![tenant, charger, issued_at_ms, command_id, limit]).await?.iter().map(command).collect()
    }
}

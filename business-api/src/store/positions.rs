//! How far each topic partition was applied. The truth: the log's own committed offset only saves re-reading.

use std::collections::HashMap;

use events::{log::Position, topic::Topic};

use super::{DbError, Tx, args};

/// Last applied offset per (topic, partition).
pub type Positions = HashMap<(Topic, i32), i64>;

impl Tx {
    /// Where a group stands.
    ///
    /// # Errors
    /// What the database says.
    pub async fn positions(&mut self, group: &str) -> Result<Positions, DbError> {
        let sql = "SELECT topic, log_partition, log_offset FROM positions WHERE consumer_group = $1";
        let mut positions = Positions::new();
        for row in self.all(sql, args![group]).await? {
            let topic = row.text("topic")?;
            let topic = Topic::from_name(&topic).ok_or_else(|| DbError::Unreadable(format!("position of {topic}")))?;
            let partition = i32::try_from(row.int("log_partition")?)
                .map_err(|_| DbError::Unreadable("position partition".to_owned()))?;
            positions.insert((topic, partition), row.int("log_offset")?);
        }
        Ok(positions)
    }

    /// Moves a group from `before` to `after`, if it still stands there. The row stays locked until the transaction ends, so
    /// two consumers that both got the partition cannot both apply it.
    ///
    /// # Errors
    /// [`DbError::Changed`] when somebody else moved it meanwhile.
    pub async fn move_position(&mut self, group: &str, before: Option<i64>, after: Position) -> Result<(), DbError> {
        let (topic, partition) = (after.topic.name(), i64::from(after.partition));
        let moved = match before {
            Some(before) => {
                let sql = "UPDATE positions SET log_offset = $5 \
                           WHERE consumer_group = $1 AND topic = $2 AND log_partition = $3 AND log_offset = $4";
                self.execute(sql, args![group, topic, partition, before, after.offset]).await?
            }
            None => {
                let sql = "INSERT INTO positions (consumer_group, topic, log_partition, log_offset) VALUES ($1, $2, $3, $4) \
                           ON CONFLICT (consumer_group, topic, log_partition) DO NOTHING";
                self.execute(sql, args![group, topic, partition, after.offset]).await?
            }
        };
        if moved == 1 { Ok(()) } else { Err(DbError::Changed("position")) }
    }
}

//! How far each topic partition was applied. The truth: the log's own committed offset only saves re-reading.

use std::collections::HashMap;

use events::{log::Position, topic::Topic};

use super::{DbError, Tx, args};

/// Where one partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stood {
    /// Of the last record applied; -1 = none yet.
    pub offset: i64,
    /// What tells that record from every other; `None` = not known.
    pub seal: Option<i64>,
}

/// By (topic, partition).
pub type Positions = HashMap<(Topic, i32), Stood>;

/// As the log is asked for them, in their order.
#[must_use]
pub fn stands(positions: &Positions) -> Vec<Position> {
    let at =
        |(&(topic, partition), stood): (&(Topic, i32), &Stood)| Position { topic, partition, offset: stood.offset };
    let mut stands: Vec<_> = positions.iter().map(at).collect();
    stands.sort();
    stands
}

impl Tx {
    /// Where a group stands.
    ///
    /// # Errors
    /// What the database says.
    pub async fn positions(&mut self, group: &str) -> Result<Positions, DbError> {
        let sql = "SELECT topic, log_partition, log_offset, seal FROM positions WHERE consumer_group = $1";
        let mut positions = Positions::new();
        for row in self.all(sql, args![group]).await? {
            let topic = row.text("topic")?;
            let topic = Topic::from_name(&topic).ok_or_else(|| DbError::Unreadable(format!("position of {topic}")))?;
            let partition = i32::try_from(row.int("log_partition")?)
                .map_err(|_| DbError::Unreadable("position partition".to_owned()))?;
            positions.insert((topic, partition), Stood { offset: row.int("log_offset")?, seal: row.opt_int("seal")? });
        }
        Ok(positions)
    }

    /// Moves a group, which stood at `before`, past each of the `ends` (the last record of a partition, and its seal) that is newer.
    /// True when one was.
    ///
    /// # Errors
    /// As [`Tx::move_position`].
    pub async fn move_forward(
        &mut self,
        group: &str,
        before: &Positions,
        ends: &[(Position, i64)],
    ) -> Result<bool, DbError> {
        let mut moved = false;
        for (at, seal) in ends {
            let stood = before.get(&(at.topic, at.partition)).map(|stood| stood.offset);
            if stood.is_none_or(|offset| at.offset > offset) {
                self.move_position(group, stood, *at, Some(*seal)).await?;
                moved = true;
            }
        }
        Ok(moved)
    }

    /// Moves a group from the offset `before` to `after`, if it still stands there. The row stays locked until the transaction ends,
    /// so two consumers that both got the partition cannot both apply it. `seal` is that of the record at `after`.
    ///
    /// # Errors
    /// [`DbError::Changed`] when somebody else moved it meanwhile.
    pub async fn move_position(
        &mut self,
        group: &str,
        before: Option<i64>,
        after: Position,
        seal: Option<i64>,
    ) -> Result<(), DbError> {
        let (topic, partition) = (after.topic.name(), i64::from(after.partition));
        let moved = match before {
            Some(before) => {
                let sql = "UPDATE positions SET log_offset = $5, seal = $6 \
                           WHERE consumer_group = $1 AND topic = $2 AND log_partition = $3 AND log_offset = $4";
                self.execute(sql, args![group, topic, partition, before, after.offset, seal]).await?
            }
            None => {
                let sql = "INSERT INTO positions (consumer_group, topic, log_partition, log_offset, seal) \
                           VALUES ($1, $2, $3, $4, $5) \
                           ON CONFLICT (consumer_group, topic, log_partition) DO NOTHING";
                self.execute(sql, args![group, topic, partition, after.offset, seal]).await?
            }
        };
        if moved == 1 { Ok(()) } else { Err(DbError::Changed("position")) }
    }
}

//! What nodes that share a database need of one another: signs of life, and a way to ask another
//! one to end a session. Times are the database server's, so that the nodes' clocks do not matter.
//! Nothing here waits for a batch of records: a node whose batch is held up is alive.

use std::time::Duration;

use rustsocks_sessions::SessionId;
use rustsocks_sessions::clock::millis;
use uuid::Uuid;

use super::ServerStore;
use crate::row::Columns as _;
use crate::sql::Statement;
use crate::store::StoreError;

/// A node that shares the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Its name.
    pub node_id: String,
    /// The run of the program that last gave a sign of life.
    pub run_id: String,
    /// The program's version.
    pub version: String,
    /// Milliseconds since the last sign of life, by the server's clock.
    pub silent_ms: u64,
}

/// One node's wish that another one end a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRow {
    /// The command.
    pub command_id: String,
    /// The session to end.
    pub session_id: SessionId,
    /// What goes into the record beside the reason.
    pub detail: String,
}

impl ServerStore {
    fn statement(&self, text: &str) -> Statement {
        Statement::new(self.dialect, text)
    }

    /// Every node that has not left, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        let (run, age) = (self.dialect.id_text("run_id"), self.dialect.age_of("heartbeat_at"));
        let text =
            format!("SELECT node_id, {run}, version, {age} AS silent_ms FROM nodes ORDER BY 1");
        let rows = self.read_aside(self.statement(&text)).await?;
        rows.iter()
            .map(|row| {
                let text = |column| row.text(column).map(Option::unwrap_or_default);
                let silent = row.number("silent_ms")?.unwrap_or(0);
                Ok(NodeRow {
                    node_id: text("node_id")?,
                    run_id: text("run_id")?,
                    version: text("version")?,
                    silent_ms: u64::try_from(silent).unwrap_or(0),
                })
            })
            .collect()
    }

    /// Gives a sign of life of this run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn heartbeat(&self, node: &str, run: Uuid, version: &str) -> Result<(), StoreError> {
        let now = self.dialect.clock();
        let columns = "node_id, run_id, version, started_at, heartbeat_at";
        let mut sql = self.statement(&format!("INSERT INTO nodes ({columns}) VALUES ("));
        sql.text(node).push(", ").id(run.into()).push(", ").text(version);
        sql.push(&format!(", {now}, {now})"));
        sql.push(self.dialect.heartbeat_tail());
        self.execute_aside(sql).await.map(drop)
    }

    /// Takes a node off the list: it has stopped, and nothing of it is open.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leave(&self, node: &str, run: Uuid) -> Result<(), StoreError> {
        let mut sql = self.statement("DELETE FROM nodes WHERE node_id = ");
        sql.text(node).push(" AND run_id = ").id(run.into());
        self.execute_aside(sql).await.map(drop)
    }

    /// The nodes that have open rows and gave no sign of life for the lease.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lapsed(&self, lease: Duration) -> Result<Vec<String>, StoreError> {
        let lapsed = format!(
            "SELECT DISTINCT sessions.node_id AS node_id FROM sessions \
             LEFT JOIN nodes ON nodes.node_id = sessions.node_id \
             WHERE status = 'active' AND {} >= ",
            self.dialect.age_of("COALESCE(nodes.heartbeat_at, sessions.updated_at)")
        );
        let mut sql = self.statement(&lapsed);
        sql.number(millis(lease));
        let rows = self.read_aside(sql).await?;
        rows.iter().map(|row| Ok(row.text("node_id")?.unwrap_or_default())).collect()
    }

    /// Asks a node to end a session; `detail` goes into the record. Returns the command's id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ask_stop(
        &self,
        session: SessionId,
        node: &str,
        detail: &str,
    ) -> Result<Uuid, StoreError> {
        let id = Uuid::now_v7();
        let columns = "command_id, node_id, session_id, detail, created_at";
        let mut sql = self.statement(&format!("INSERT INTO commands ({columns}) VALUES ("));
        sql.id(id.into()).push(", ").text(node).push(", ").id(session).push(", ").text(detail);
        sql.push(&format!(", {})", self.dialect.clock()));
        self.execute_aside(sql).await?;
        Ok(id)
    }

    /// What others ask of a node and it has not answered, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn commands_for(&self, node: &str) -> Result<Vec<CommandRow>, StoreError> {
        let (command, session) =
            (self.dialect.id_text("command_id"), self.dialect.id_text("session_id"));
        let mut sql = self.statement(&format!("SELECT {command}, {session}, detail FROM commands"));
        sql.push(" WHERE answered_at IS NULL AND node_id = ").text(node);
        sql.push(" ORDER BY commands.command_id LIMIT 1000");
        let rows = self.read_aside(sql).await?;
        let mut commands = Vec::new();
        for row in rows {
            let session = row.text("session_id")?.and_then(|id| id.parse().ok());
            let (Some(session_id), Some(command_id)) = (session, row.text("command_id")?) else {
                continue;
            };
            let detail = row.text("detail")?.unwrap_or_default();
            commands.push(CommandRow { command_id, session_id, detail });
        }
        Ok(commands)
    }

    /// Answers a command.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn answer(&self, command: &str, answer: &str) -> Result<(), StoreError> {
        let Ok(command) = Uuid::try_parse(command) else { return Ok(()) };
        let mut sql = self.statement("UPDATE commands SET answer = ");
        sql.text(answer).push(&format!(", answered_at = {}", self.dialect.clock()));
        sql.push(" WHERE command_id = ").id(command.into());
        self.execute_aside(sql).await.map(drop)
    }

    /// The answer to a command, once there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn answer_to(&self, command: Uuid) -> Result<Option<String>, StoreError> {
        let mut sql = self.statement("SELECT answer FROM commands WHERE command_id = ");
        sql.id(command.into());
        let rows = self.read_aside(sql).await?;
        Ok(rows.first().map(|row| row.text("answer")).transpose()?.flatten())
    }

    /// Deletes commands that are older than a day.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_commands(&self) -> Result<(), StoreError> {
        let age = self.dialect.age_of("created_at");
        let sql = self.statement(&format!("DELETE FROM commands WHERE {age} > 86400000"));
        self.execute_aside(sql).await.map(drop)
    }
}

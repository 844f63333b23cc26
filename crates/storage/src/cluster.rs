//! This process as one of the nodes that share a database: signs of life, closing what dead nodes
//! left open, and ending sessions that others ask to end.

use std::sync::Arc;
use std::time::Duration;

use rustsocks_sessions::{CloseReason, Table};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::server::ServerStore;
use crate::store::{Answer, Store, StoreError};

/// How often a node gives a sign of life and looks for commands.
const BEAT: Duration = Duration::from_secs(1);

/// How long a start waits for a sign of life of somebody of the same name.
const LISTEN: Duration = Duration::from_millis(2500);

/// How often old commands are forgotten.
const TIDY: Duration = Duration::from_secs(3600);

/// What a node has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipNotice {
    /// Sessions of nodes that gave no sign of life for the lease were closed as crashed.
    Lapsed {
        /// How many.
        sessions: u64,
    },
    /// This node could not give a sign of life for longer than the lease; others have closed
    /// its sessions, which are put right now.
    Returned,
}

/// A node's part in the cluster.
#[derive(Debug)]
pub struct Membership<F> {
    table: Table,
    store: Arc<Store>,
    run: Uuid,
    lease: Duration,
    notice: F,
}

impl<F: Fn(MembershipNotice)> Membership<F> {
    /// Joins under the table's node name; where the store is held up, [`run`](Self::run) does,
    /// once the server is there.
    ///
    /// # Errors
    /// When somebody of the same name is alive, and when the database does not answer.
    pub async fn join(
        table: Table,
        store: Arc<Store>,
        lease: Duration,
        notice: F,
    ) -> Result<Self, StoreError> {
        let run = table.first_id().as_uuid();
        let membership = Self { table, store, run, lease, notice };
        if let Some(server) = membership.store.server().filter(|server| !server.is_held_up()) {
            membership.enter(server).await?;
        }
        Ok(membership)
    }

    async fn enter(&self, server: &ServerStore) -> Result<(), StoreError> {
        server.reach().await?;
        self.refuse_a_double(server).await?;
        self.beat(server).await
    }

    /// A crash leaves a fresh sign of life behind; a double gives new ones.
    async fn refuse_a_double(&self, server: &ServerStore) -> Result<(), StoreError> {
        let node = self.table.node();
        let began = Instant::now();
        let mut last = None;
        while began.elapsed() < LISTEN {
            let nodes = server.nodes().await?;
            let silent = nodes.iter().find(|row| *row.node_id == **node).map(|row| row.silent_ms);
            let Some(silent) = silent else { return Ok(()) };
            if Duration::from_millis(silent) > self.lease {
                return Ok(());
            }
            if last.is_some_and(|last| silent < last) {
                let problem = format!(
                    "another RustSocks that runs on this database has the name {node:?}; give \
                     each one a sessions.node_id of its own"
                );
                return Err(StoreError::Server { problem });
            }
            last = Some(silent);
            tokio::time::sleep(BEAT / 5).await;
        }
        Ok(())
    }

    async fn beat(&self, server: &ServerStore) -> Result<(), StoreError> {
        server.heartbeat(self.table.node(), self.run, env!("CARGO_PKG_VERSION")).await
    }

    /// Does a node's duties until `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        let Some(server) = self.store.server() else { return };
        let mut rounds = tokio::time::interval(BEAT);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut alive, mut looked, mut tidied) = (Instant::now(), Instant::now(), Instant::now());
        while stop.run_until_cancelled(rounds.tick()).await.is_some() {
            if server.is_held_up() {
                // The recorder tells of this, too.
                match self.enter(server).await {
                    Ok(()) => server.admit(),
                    Err(error) => {
                        server.hold_up(&error);
                        continue;
                    }
                }
            }
            // The recorder tells of an outage; here the next round simply tries again.
            if let Err(error) = self.beat(server).await {
                tracing::debug!(%error, "no sign of life");
                continue;
            }
            if alive.elapsed() > self.lease {
                (self.notice)(MembershipNotice::Returned);
                self.table.running().into_iter().for_each(|one| self.table.outbox().pass_on(one));
            }
            alive = Instant::now();
            if let Err(error) = self.obey(server).await {
                tracing::debug!(%error, "no commands");
            }
            if looked.elapsed() >= self.lease / 3 {
                looked = Instant::now();
                self.close_lapsed(server).await;
            }
            if tidied.elapsed() >= TIDY {
                tidied = Instant::now();
                let _next_time = server.forget_commands().await;
            }
        }
    }

    /// Ends the sessions that others ask to end.
    async fn obey(&self, server: &ServerStore) -> Result<(), StoreError> {
        for command in server.commands_for(self.table.node()).await? {
            let session = self.table.get(command.session_id);
            let detail = Some(command.detail.into());
            let stopped = session.is_some_and(|one| one.stop(CloseReason::AdminTerminated, detail));
            let answer = if stopped { Answer::Ending } else { Answer::Ended };
            server.answer(&command.command_id, answer.name()).await?;
        }
        Ok(())
    }

    async fn close_lapsed(&self, server: &ServerStore) {
        let close = async {
            let mut closed = 0;
            for node in server.lapsed(self.lease).await? {
                closed += self.store.close_crashed(&node).await?;
            }
            Ok::<u64, StoreError>(closed)
        };
        match close.await {
            Ok(0) => {}
            Ok(sessions) => (self.notice)(MembershipNotice::Lapsed { sessions }),
            Err(error) => tracing::debug!(%error, "dead nodes could not be looked for"),
        }
    }

    /// Takes this node off the list, once nothing of it is open.
    pub async fn leave(&self) {
        if let Some(server) = self.store.server() {
            // Otherwise the others find out after the lease.
            let _unheard = server.leave(self.table.node(), self.run).await;
        }
    }
}

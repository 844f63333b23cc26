//! What a running process has counted since its start, for those who recompute its ledger.

use std::path::Path;
use std::time::Duration;

use rustsocks_sessions::SessionId;
use rustsocks_storage::Sums;
use serde::Deserialize;

use crate::console::Reach;
use crate::console::fault::Fault;
use crate::console::filter::Query;
use crate::console::http::Http;

/// What a process has counted since its start, without what the store does not have yet.
#[derive(Debug, Deserialize)]
pub(crate) struct Counters {
    pub(crate) node_id: String,
    pub(crate) first_session_id: String,
    pub(crate) uptime_secs: u64,
    pub(crate) file: Option<String>,
    pub(crate) writes: i64,
    pub(crate) sessions: i64,
    pub(crate) failed: i64,
    pub(crate) rejected: i64,
    pub(crate) bytes_sent: i64,
    pub(crate) bytes_received: i64,
    pub(crate) lost: u64,
}

impl Counters {
    /// How long it runs.
    pub(crate) fn up(&self) -> Duration {
        Duration::from_secs(self.uptime_secs)
    }

    /// What its sessions come to.
    pub(crate) fn sums(&self) -> Sums {
        Sums {
            sessions: self.sessions,
            failed: self.failed,
            rejected: self.rejected,
            sent: self.bytes_sent,
            received: self.bytes_received,
        }
    }
}

/// A process that can be asked.
#[derive(Debug)]
pub(crate) struct Process {
    http: Http,
}

impl Process {
    /// The one that is meant, by what was said, else by the configuration file.
    pub(crate) fn of(reach: &Reach, config: Option<&Path>) -> Result<Self, Fault> {
        Ok(Self { http: reach.http(config)? })
    }

    /// What it has counted up to now, and an id before those of its sessions.
    pub(crate) async fn counters(&self) -> Result<(Counters, SessionId), Fault> {
        let json = self.http.get("/api/system/counters", Query::default()).await?;
        let counters: Counters = self.http.read(&json)?;
        let first = counters.first_session_id.parse();
        let first = first.map_err(|_| self.http.foreign("its answer is not understood"))?;
        Ok((counters, first))
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.http.address().fmt(f)
    }
}

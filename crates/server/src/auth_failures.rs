//! Failed authentications as sessions, a flood of them as few.
//!
//! The first failure of a source (of IPv6, a /64) is recorded at once. Those that follow within the window are
//! counted and recorded together, so that guessing fills no disk.

use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rustsocks_access::auth::network_of;
use rustsocks_sessions::{AclOutcome, CloseReason, Identity, Opening, Table};
use tokio::time::Instant;

/// How long failures of one source are gathered into one record.
const WINDOW: Duration = Duration::from_secs(10);

/// Sources gathered at once; beyond it, all further ones share one record.
const MOST_SOURCES: usize = 1024;

#[derive(Debug)]
struct Flood {
    since: Instant,
    last: SocketAddr,
    last_claimed: String,
    unrecorded: u64,
}

/// Turns failed authentications into records.
#[derive(Debug)]
pub(crate) struct AuthFailures {
    table: Table,
    /// By source; none stands for all those beyond the bound.
    floods: Mutex<HashMap<Option<Ipv6Addr>, Flood>>,
}

impl AuthFailures {
    pub(crate) fn new(table: Table) -> Self {
        Self { table, floods: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<Ipv6Addr>, Flood>> {
        self.floods.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Notes one failure.
    pub(crate) fn note(&self, source: SocketAddr, claimed: &str) {
        let mut floods = self.lock();
        let source_key = Some(network_of(source.ip()));
        let key = match floods.len() < MOST_SOURCES || floods.contains_key(&source_key) {
            true => source_key,
            false => None,
        };
        if let Some(flood) = floods.get_mut(&key) {
            flood.unrecorded += 1;
            flood.last = source;
            claimed.clone_into(&mut flood.last_claimed);
            return;
        }
        let since = Instant::now();
        let flood = Flood { since, last: source, last_claimed: claimed.to_owned(), unrecorded: 0 };
        floods.insert(key, flood);
        drop(floods);
        self.record(source, format!("claimed to be {claimed:?}"));
    }

    /// Records what was gathered in windows that are over.
    pub(crate) fn sweep(&self) {
        self.release(|flood| flood.since.elapsed() >= WINDOW);
    }

    /// Records everything that was gathered.
    pub(crate) fn flush(&self) {
        self.release(|_| true);
    }

    fn release(&self, is_due: impl Fn(&Flood) -> bool) {
        let due: Vec<Flood> =
            self.lock().extract_if(|_, flood| is_due(flood)).map(|(_, flood)| flood).collect();
        for Flood { last, last_claimed, unrecorded, .. } in due {
            if unrecorded > 0 {
                let failures = if unrecorded == 1 { "failure" } else { "failures" };
                let detail = format!(
                    "{unrecorded} more {failures} within {} s, the last claimed to be {last_claimed:?}",
                    WINDOW.as_secs()
                );
                self.record(last, detail);
            }
        }
    }

    fn record(&self, source: SocketAddr, detail: String) {
        let session = self.table.open(Opening {
            identity: Identity::Refused,
            source,
            target: None,
            command: None,
            acl: AclOutcome::Off,
        });
        session.finish(CloseReason::AuthFailed, Some(detail.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustsocks_sessions::{Clock, Rules};

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_failures_becomes_two_records_that_count_them_all() {
        let table = Table::new(Clock::system(), "node".into(), Rules::default());
        let failures = AuthFailures::new(table.clone());
        let source: SocketAddr = "192.0.2.1:1000".parse().unwrap();
        for _ in 0..500 {
            failures.note(source, "mallory\n");
        }
        failures.sweep();
        assert_eq!(table.outbox().len(), 1);
        tokio::time::advance(WINDOW).await;
        failures.sweep();
        failures.flush();
        let records: Vec<_> =
            table.outbox().take(10).iter().map(|session| session.snapshot()).collect();
        let details: Vec<_> = records.iter().filter_map(|r| r.close_detail.as_deref()).collect();
        assert_eq!(
            details,
            [
                r#"claimed to be "mallory\n""#,
                r#"499 more failures within 10 s, the last claimed to be "mallory\n""#
            ]
        );
        assert!(records.iter().all(|record| record.user.is_empty()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_addresses_of_one_ipv6_subscriber_are_one_source() {
        let table = Table::new(Clock::system(), "node".into(), Rules::default());
        let failures = AuthFailures::new(table.clone());
        for number in 0..500_u128 {
            let address = (0x2001_0db8_u128 << 96) + number;
            failures.note((std::net::Ipv6Addr::from(address), 1).into(), "mallory");
        }
        failures.flush();
        assert_eq!(table.outbox().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn many_sources_cost_bounded_memory() {
        let table = Table::new(Clock::system(), "node".into(), Rules::default());
        let failures = AuthFailures::new(table.clone());
        for number in 0..5000_u32 {
            failures.note((std::net::Ipv4Addr::from(number), 1).into(), "x");
        }
        assert!(failures.lock().len() <= MOST_SOURCES + 1);
        failures.flush();
        assert_eq!(table.outbox().len(), MOST_SOURCES + 2);
    }
}

//! The metrics page, with the families of every crate.

use rustsocks_api::Ledger;
use rustsocks_server::Server;
use rustsocks_sessions::Table;
use rustsocks_telemetry::Events;
use rustsocks_telemetry::metrics::Metrics;

/// The page, if it is wanted.
pub(crate) fn page<T>(
    wanted: bool,
    server: &Server,
    table: &Table,
    events: &Events,
    ledger: Option<&(Ledger, T)>,
) -> Option<Metrics> {
    wanted.then(|| {
        Metrics::new(|registry| {
            rustsocks_sessions::metrics::register(registry, table);
            rustsocks_server::metrics::register(registry, server);
            rustsocks_telemetry::metrics::register_events(registry, events);
            if let Some((ledger, _)) = ledger {
                let figures = std::sync::Arc::clone(&ledger.figures);
                let journal = ledger.journal.clone();
                let quarantined = ledger.store.quarantined().is_some();
                rustsocks_storage::metrics::register(
                    registry,
                    table,
                    figures,
                    journal,
                    quarantined,
                );
            }
        })
    })
}

//! Occurrences put into words: as operator events, and in the log where they are rare.

use rustsocks_access::acl::{AclError, ReloadReport};
use rustsocks_server::Notice;
use rustsocks_server::notice::TurnedAway;
use rustsocks_storage::StoreNotice;
use rustsocks_telemetry::{Category, Events, Occurrence, Severity};

/// Words for what the data plane reports.
pub(crate) fn from_server(events: &Events, notice: Notice) {
    let occurrence = match notice {
        Notice::AcceptFailed(error) => occurrence(
            Severity::Error,
            Category::Listener,
            "clients cannot be accepted; raise the limit of open files (ulimit -n)",
            [("error", error.to_string())],
        ),
        Notice::TurnedAway(TurnedAway::MaxConnections) => occurrence(
            Severity::Warning,
            Category::Listener,
            "clients are turned away: max_connections is reached",
            [],
        ),
        Notice::TurnedAway(TurnedAway::LedgerFull) => occurrence(
            Severity::Error,
            Category::Storage,
            "clients are turned away: too many records wait for the store",
            [],
        ),
        Notice::UpstreamFailed { target, reason } => occurrence(
            Severity::Warning,
            Category::ConnectionPool,
            "an outgoing connection failed",
            [("destination", target.to_string()), ("reason", reason.name().into())],
        ),
        Notice::AuthStorm { source } => occurrence(
            Severity::Warning,
            Category::Security,
            "a source is not heard for a while after too many failed logins",
            [("source", source.to_string())],
        ),
        Notice::PoolDrop { destination, limit } => occurrence(
            Severity::Info,
            Category::ConnectionPool,
            "a destination would use more spare connections than it may have",
            [("destination", destination.to_string()), ("max_idle_per_dest", limit.to_string())],
        ),
        Notice::PoolEviction { destination, limit } => occurrence(
            Severity::Info,
            Category::ConnectionPool,
            "a spare connection was closed to make room for another",
            [("destination", destination.to_string()), ("max_total_idle", limit.to_string())],
        ),
        Notice::AclRevoked { sessions } => {
            tracing::info!(sessions, "ended sessions that the access rules no longer allow");
            occurrence(
                Severity::Info,
                Category::Acl,
                "sessions were ended because the access rules changed",
                [("sessions", sessions.to_string())],
            )
        }
    };
    events.raise(occurrence);
}

/// Words for what the recorder reports.
pub(crate) fn from_store(events: &Events, notice: StoreNotice) {
    let occurrence = match notice {
        StoreNotice::Degraded { error, waiting } => {
            tracing::error!(%error, waiting, "records cannot be saved; they wait in memory");
            occurrence(
                Severity::Error,
                Category::Storage,
                "records cannot be saved; they wait in memory",
                [("error", error), ("waiting", waiting.to_string())],
            )
        }
        StoreNotice::Recovered { after } => {
            let seconds = after.as_secs();
            tracing::info!(seconds, "records are saved again");
            occurrence(
                Severity::Info,
                Category::Storage,
                "records are saved again",
                [("seconds", seconds.to_string())],
            )
        }
    };
    events.raise(occurrence);
}

/// Words for a reload of the access rules.
pub(crate) fn from_reload(events: &Events, reload: Result<ReloadReport, AclError>) {
    match reload {
        Ok(report) => {
            tracing::info!(rules = report.rules, changed = report.changed, "access rules loaded");
        }
        Err(error) => {
            tracing::error!(%error, "the access rules could not be reloaded; the old ones stay");
            events.raise(occurrence(
                Severity::Error,
                Category::Acl,
                "the access rules could not be reloaded; the old ones stay",
                [("error", error.to_string())],
            ));
        }
    }
}

/// Words for a reload of the users.
pub(crate) fn from_users(events: &Events, reload: anyhow::Result<usize>) {
    match reload {
        Ok(users) => tracing::info!(users, "users loaded"),
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(%error, "the users could not be reloaded; the old ones stay");
            events.raise(occurrence(
                Severity::Error,
                Category::Security,
                "the users could not be reloaded; the old ones stay",
                [("error", error)],
            ));
        }
    }
}

fn occurrence<const N: usize>(
    severity: Severity,
    category: Category,
    message: &str,
    details: [(&'static str, String); N],
) -> Occurrence {
    Occurrence { severity, category, message: message.into(), details: details.into() }
}

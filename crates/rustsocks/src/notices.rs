//! Occurrences put into words: as operator events, and in the log where they are rare.

#[cfg(feature = "database")]
use std::path::Path;

use rustsocks_access::acl::{AclError, ReloadReport};
use rustsocks_journal::{JournalNotice, Writing};
use rustsocks_server::Notice;
use rustsocks_server::notice::TurnedAway;
use rustsocks_sessions::clock::Step;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use rustsocks_storage::MembershipNotice;
#[cfg(feature = "database")]
use rustsocks_storage::OpeningNotice;
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
    let (severity, message, details) = match notice {
        StoreNotice::Degraded { error, waiting } => (
            Severity::Error,
            "records cannot be saved; they wait",
            vec![("error", error), ("waiting", waiting.to_string())],
        ),
        StoreNotice::Recovered { after } => (
            Severity::Info,
            "records are saved again",
            vec![("seconds", after.as_secs().to_string())],
        ),
        StoreNotice::Replayed(report) => (
            if report.gaps > 0 || report.crashed > 0 { Severity::Warning } else { Severity::Info },
            match report.gaps {
                0 => "the last run left a journal; what is in it is in the store now",
                _ => "the last run left a damaged journal; what can be read is in the store now",
            },
            vec![
                ("ended", report.ended.to_string()),
                ("crashed", report.crashed.to_string()),
                ("unreadable_bytes", report.skipped.to_string()),
            ],
        ),
        StoreNotice::Crashed(sessions) => (
            Severity::Warning,
            "sessions that the store had as running are closed as crashed",
            vec![("sessions", sessions.to_string())],
        ),
        StoreNotice::Unreadable { path, error } => (
            Severity::Error,
            "a segment of the journal cannot be replayed; it is left where it is",
            vec![("path", path.display().to_string()), ("error", error)],
        ),
    };
    tell(events, severity, message, details);
}

/// Words for what happened to a SQLite file on the way to its use.
#[cfg(feature = "database")]
pub(crate) fn from_opening(events: &Events, path: &Path, notice: &OpeningNotice) {
    let path = ("path", path.display().to_string());
    match notice {
        OpeningNotice::Quarantined { to, why } => tell(
            events,
            Severity::Error,
            "the database is damaged or none; it was moved aside and a new one begun (a mistyped \
             path or an encrypted file looks the same)",
            vec![path, ("moved_to", to.display().to_string()), ("error", why.clone())],
        ),
        OpeningNotice::UncleanStop => tell(
            events,
            Severity::Info,
            "the last run did not stop in order; the database was checked and is sound",
            vec![path],
        ),
        OpeningNotice::Migrated { from, to, snapshot } => tell(
            events,
            Severity::Info,
            "the database's schema was brought up to date",
            vec![
                path,
                ("from", format!("{from:?}")),
                ("to", to.to_string()),
                (
                    "snapshot",
                    snapshot.as_ref().map_or_else(String::new, |at| at.display().to_string()),
                ),
            ],
        ),
        OpeningNotice::MadeAgain { what } => tell(
            events,
            Severity::Info,
            "indexes or views of the database were gone or changed; they were made again",
            vec![path, ("names", what.join(", "))],
        ),
        OpeningNotice::FellBack { why } => tell(
            events,
            Severity::Warning,
            "there can be no write-ahead log there; the slower DELETE journal is used",
            vec![path, ("error", why.clone())],
        ),
    }
}

/// Words for what happens among the nodes that share a database.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) fn from_membership(events: &Events, notice: MembershipNotice) {
    match notice {
        MembershipNotice::Lapsed { sessions } => tell(
            events,
            Severity::Warning,
            "a node gave no sign of life; its open sessions are closed as crashed",
            vec![("sessions", sessions.to_string())],
        ),
        MembershipNotice::Returned => tell(
            events,
            Severity::Warning,
            "this node was cut off from the database for longer than the lease",
            vec![],
        ),
    }
}

/// Words for a step of the wall clock.
pub(crate) fn from_clock(events: &Events, step: Step) {
    let (severity, message, length) = match step {
        Step::Back(length) => (
            Severity::Warning,
            "the wall clock was set back; running sessions keep the time that they began with",
            length,
        ),
        Step::Forward(length) => (
            Severity::Info,
            "the wall clock was set forward, or the machine slept; running sessions keep the time \
             that they began with",
            length,
        ),
    };
    tell(events, severity, message, vec![("seconds", length.as_secs().to_string())]);
}

/// Words for what the journal reports.
pub(crate) fn from_journal(events: &Events, notice: &JournalNotice) {
    let (severity, message, details) = match notice {
        JournalNotice::Filling { bytes, max_bytes } => (
            Severity::Warning,
            "the journal fills up: the store has not taken records for long",
            vec![("bytes", bytes.to_string()), ("max_bytes", max_bytes.to_string())],
        ),
        JournalNotice::Stopped(Writing::Failed(error)) => (
            Severity::Error,
            "the journal cannot be written; records wait in memory alone",
            vec![("error", error.clone())],
        ),
        JournalNotice::Stopped(_) => {
            (Severity::Error, "the journal is full; records wait in memory alone", vec![])
        }
        JournalNotice::Resumed => (Severity::Info, "the journal is written again", vec![]),
        JournalNotice::Losing => (
            Severity::Error,
            "records are being lost: neither the store nor the journal takes them",
            vec![],
        ),
    };
    tell(events, severity, message, details);
}

/// One line in the log and one event, of the same words.
fn tell(
    events: &Events,
    severity: Severity,
    message: &'static str,
    details: Vec<(&'static str, String)>,
) {
    let shown: Vec<String> =
        details.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let shown = shown.join(", ");
    match severity {
        Severity::Error => tracing::error!(details = %shown, "{message}"),
        Severity::Warning => tracing::warn!(details = %shown, "{message}"),
        Severity::Info => tracing::info!(details = %shown, "{message}"),
    }
    let message = message.into();
    events.raise(Occurrence {
        severity,
        category: Category::Storage,
        message,
        details: details.into_iter().collect(),
    });
}

/// Words for a reload of the access rules.
pub(crate) fn from_reload(events: &Events, reload: &Result<ReloadReport, AclError>) {
    match reload {
        Ok(report) => {
            tracing::info!(rules = report.rules, changed = report.changed, "access rules loaded");
        }
        // There are none to be loaded.
        Err(AclError::Off) => {}
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

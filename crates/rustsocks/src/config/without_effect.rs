//! Settings that are sound and change nothing beside the others: whoever set one believes in it.

use super::file;
use super::ledger::{Engine, engine_of};
use super::place::Source;

/// Adds a warning for each.
pub(super) fn warn(file: &file::File, source: &Source<'_>, warnings: &mut Vec<String>) {
    let is_set = |section: &str, key: &str| source.place_of(section, key, 0).is_some();
    let sessions = &file.sessions;
    let mut say =
        |setting: &str, why: &str| warnings.push(format!("{setting} has no effect: {why}"));
    if file.metrics.enabled == Some(true) && !sessions.stats_api_enabled {
        say("metrics.enabled", "the page is the API's, and sessions.stats_api_enabled is false");
    }
    if file.auth.socks_method == "none" && !file.auth.users.is_empty() {
        say("auth.users", "nobody is asked to log in; set auth.socks_method to \"userpass\"");
    }
    if !sessions.enabled {
        return;
    }
    if sessions.archive_dir.is_some() && sessions.retention_days == 0 {
        say("sessions.archive_dir", "what is never deleted (retention_days = 0) is not archived");
    }
    let engine = engine_of(sessions);
    if engine == Some(Engine::Memory) {
        for key in ["durability", "journal_dir", "journal_max_bytes", "on_journal_full"] {
            if is_set("sessions", key) {
                say(&format!("sessions.{key}"), "storage = \"memory\" keeps nothing on disk");
            }
        }
    }
    let has_server = matches!(engine, Some(Engine::MySql | Engine::Postgres));
    if sessions.database_ca_file.is_some() && !has_server {
        say("sessions.database_ca_file", "there is no database server");
    }
}

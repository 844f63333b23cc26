//! The part of the configuration that says how the metrics history is taken and kept.

use std::time::Duration;

use rustsocks_storage::points::MOST_POINTS;

use super::checks::{HOURS_MAX, Section};
use super::fault::Fault;
use super::ledger::{ENGINES, storage_name};
use super::place::Source;
use super::{HistoryConfig, file};
use crate::features;

/// The longest distance of two points: an hour.
const INTERVAL_MAX: i64 = 3600;

/// How the metrics history is taken; none where metrics are off.
pub(super) fn history(
    file: &file::File,
    source: &Source<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<HistoryConfig>, Fault> {
    let form = &file.metrics;
    let section = Section::new(source, "metrics");
    let every = form.collection_interval_secs;
    let every = section.number("collection_interval_secs", every, 1..=INTERVAL_MAX)?;
    let hours = section.number("retention_hours", form.retention_hours, 1..=HOURS_MAX)?;
    let cleanup = form.cleanup_interval_hours;
    let cleanup = section.number("cleanup_interval_hours", cleanup, 1..=HOURS_MAX)?;
    let persist = persist(file, &section, warnings)?;
    let most = MOST_POINTS as u64 * every / 3600;
    if hours > most {
        warnings.push(format!(
            "metrics.retention_hours: at one point each {every} s, {most} of the {hours} hours are \
             kept; raise collection_interval_secs for more"
        ));
    }
    let config = HistoryConfig {
        interval: Duration::from_secs(every),
        keep: Duration::from_secs(hours.min(most) * 3600),
        cleanup_interval: Duration::from_secs(cleanup * 3600),
        persist,
    };
    Ok(form.enabled.unwrap_or(features::METRICS).then_some(config))
}

/// Whether the history is kept in the ledger's database: wherever there is one, unless the file
/// says "memory". It has no database of its own.
fn persist(
    file: &file::File,
    section: &Section<'_>,
    warnings: &mut Vec<String>,
) -> Result<bool, Fault> {
    let ledger = storage_name(&file.sessions);
    let has_database = file.sessions.enabled && ledger != "memory";
    let Some(wish) = file.metrics.storage.as_deref() else { return Ok(has_database) };
    section.word("storage", wish, &ENGINES)?;
    if wish == "memory" {
        return Ok(false);
    }
    if !has_database {
        warnings.push(format!(
            "metrics.storage = \"{wish}\": there is no database without one in [sessions]; the \
             metrics history is kept in memory"
        ));
    } else if wish != ledger {
        warnings.push(format!(
            "metrics.storage = \"{wish}\": the metrics history is kept beside the sessions, in \
             storage = \"{ledger}\""
        ));
    }
    Ok(has_database)
}

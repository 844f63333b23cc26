//! `rustsocks db …`: what an operator does to the ledger by hand. A SQLite file is looked after in
//! every way; a database server is looked at, and has tools of its own for the rest.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use rustsocks_sessions::{Clock, SessionId};
use rustsocks_storage::sqlite::schema::Schema;
use rustsocks_storage::sqlite::upkeep;
use rustsocks_storage::verify::{self, Run};
use rustsocks_storage::{Store, StoreError, Sums};
use tokio::time::Instant;

use crate::cli::{complain, load, say};
use crate::config::{DatabaseConfig, Durability, FileConfig, StorageConfig};
use crate::console::{Counters, Process, Reach};
use crate::storage::sqlite::options;

/// A problem was found.
const FOUND: u8 = 1;
/// The command could not do its work.
const FAILED: u8 = 4;

/// How long to try to read the rows at the moment of which a running process speaks.
const SAME_MOMENT_WITHIN: Duration = Duration::from_secs(10);

/// The pause between two of these tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(crate) struct Db {
    /// The SQLite file, instead of the one that the configuration names.
    #[arg(long, value_name = "FILE", global = true)]
    database: Option<PathBuf>,
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Debug, Subcommand)]
enum DbCommand {
    /// Look through the file, every index entry too, or ask the database server; exits with 0
    /// (sound) or 1. RustSocks may run.
    Check,
    /// Copy the file to a new one, and verify the copy. RustSocks may run.
    Backup {
        /// The new file.
        file: PathBuf,
    },
    /// Recompute every row, and compare rows, rollups and what a running RustSocks has counted
    /// since its start; exits with 0, or 1 and the first that disagrees. RustSocks may run.
    Verify {
        #[command(flatten)]
        reach: Reach,
    },
    /// Pack the file. RustSocks may not run.
    Vacuum,
    /// Bring the schema up to date, after a snapshot. RustSocks may not run.
    Migrate {
        /// Only tell what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

/// The configuration that a command goes by.
struct Origin<'a> {
    file: Option<&'a Path>,
    /// How long records are kept.
    keep: Option<Duration>,
}

/// Runs a `db` command.
pub(crate) fn run(db: Db, config: Option<&Path>) -> ExitCode {
    if let Some(path) = db.database {
        let file = FileConfig { path, durability: Durability::Full, backup_keep: 3 };
        return finish(on_file(&file, db.command, None));
    }
    let config_file = config;
    let config = match load(config_file) {
        Err(code) => return code,
        Ok(config) => config,
    };
    let Some(ledger) = config.ledger else {
        return complain(&"this configuration has no database");
    };
    let origin = Origin { file: config_file, keep: ledger.keep };
    match ledger.storage {
        StorageConfig::Sqlite(file) => finish(on_file(&file, db.command, Some(&origin))),
        StorageConfig::Server(server) => {
            finish(on_server(&server, &config.node, db.command, &origin))
        }
        StorageConfig::Memory { .. } => complain(&"this configuration has no database"),
    }
}

/// Runs a command to its end and says what it says.
fn finish(work: impl Future<Output = Outcome>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error),
    };
    match runtime.block_on(work) {
        Ok((text, code)) => say(&text, code),
        Err(error) => {
            complain(&error);
            ExitCode::from(FAILED)
        }
    }
}

async fn on_server(
    server: &DatabaseConfig,
    node: &str,
    command: DbCommand,
    origin: &Origin<'_>,
) -> Outcome {
    let store = match command {
        DbCommand::Check | DbCommand::Verify { .. } => {
            crate::storage::server::open(server, node, false).await?
        }
        _ => {
            let problem = "that is for SQLite files; use the database server's own tools".into();
            return Err(StoreError::Server { problem });
        }
    };
    let outcome = match command {
        DbCommand::Verify { reach } => {
            let sums = verify::verify(&store).await?;
            Ok(shown_sums(&sums, &compare(&reach, origin, Rows::On(&store)).await?))
        }
        _ => {
            let (engine, sessions) = (store.engine(), store.count().await?);
            Ok((format!("{engine}: answers\nsessions: {sessions}\n"), ExitCode::SUCCESS))
        }
    };
    store.close().await;
    outcome
}

async fn on_file(file: &FileConfig, command: DbCommand, origin: Option<&Origin<'_>>) -> Outcome {
    match command {
        DbCommand::Check => check(file).await,
        DbCommand::Backup { file: to } => {
            upkeep::backup(&file.path, &to).await?;
            Ok((format!("{}: copied and verified\n", to.display()), ExitCode::SUCCESS))
        }
        DbCommand::Verify { reach } => {
            let sums = upkeep::verify(&file.path).await?;
            let comparison = match origin {
                Some(origin) => compare(&reach, origin, Rows::In(&file.path)).await?,
                None => Comparison::None("--database says nothing of one".to_owned()),
            };
            Ok(shown_sums(&sums, &comparison))
        }
        DbCommand::Vacuum => {
            let (before, after) = upkeep::vacuum(&file.path).await?;
            let path = file.path.display();
            Ok((format!("{path}: {before} bytes before, {after} after\n"), ExitCode::SUCCESS))
        }
        DbCommand::Migrate { dry_run } => migrate(file, dry_run).await,
    }
}

/// What comparing a running process with its rows gives.
enum Comparison {
    /// It was not made, for this reason.
    None(String),
    /// It was made, of one moment.
    Made {
        /// Where the process was asked.
        process: String,
        counted: Sums,
        rows: Sums,
        /// Records that the process has lost.
        lost: u64,
    },
}

/// Where the rows are.
enum Rows<'a> {
    In(&'a Path),
    On(&'a Store),
}

impl Rows<'_> {
    /// Whether a process writes here.
    async fn are_of(&self, counters: &Counters, first: SessionId) -> Result<bool, StoreError> {
        match self {
            Self::In(path) => Ok(std::fs::canonicalize(path)
                .is_ok_and(|path| counters.file == Some(path.display().to_string()))),
            Self::On(store) => store.is_of_run(&counters.node_id, first).await,
        }
    }

    /// What those of a node give from a session on.
    async fn of_run(&self, node: &str, first: SessionId) -> Result<Run, StoreError> {
        match self {
            Self::In(path) => upkeep::rows_of_run(path, node, first).await,
            Self::On(store) => store.rows_of_run(node, first).await,
        }
    }
}

/// Compares what a running process has counted since its start with the rows of its run.
async fn compare(
    reach: &Reach,
    origin: &Origin<'_>,
    rows: Rows<'_>,
) -> Result<Comparison, StoreError> {
    let process = match Process::of(reach, origin.file) {
        Ok(process) => process,
        Err(fault) => return Ok(Comparison::None(fault.to_string())),
    };
    let not = |why: &str| Ok(Comparison::None(format!("{process} {why}")));
    let began = Instant::now();
    loop {
        let (counters, first) = match process.counters().await {
            Ok(answer) => answer,
            Err(fault) => return Ok(Comparison::None(fault.to_string())),
        };
        if origin.keep.is_some_and(|keep| counters.up() >= keep) {
            return not("runs for longer than records are kept");
        }
        if !rows.are_of(&counters, first).await? {
            return not("writes into another database");
        }
        let found = rows.of_run(&counters.node_id, first).await?;
        // The same number of writes: the same moment.
        if found.writes == counters.writes {
            let (process, counted) = (process.to_string(), counters.sums());
            let (rows, lost) = (found.sums, counters.lost);
            return Ok(Comparison::Made { process, counted, rows, lost });
        }
        if began.elapsed() > SAME_MOMENT_WITHIN {
            return not("writes too often to be compared");
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
}

type Outcome = Result<(String, ExitCode), StoreError>;

fn shown(schema: Schema) -> String {
    match schema {
        Schema::Empty => "none".into(),
        Schema::Published => "that of RustSocks 0.9".into(),
        Schema::Version(version) => format!("version {version}"),
    }
}

async fn check(file: &FileConfig) -> Outcome {
    let findings = upkeep::look(&file.path).await?;
    let path = file.path.display();
    if let Some(damage) = findings.damage {
        let advice = "stop the server, keep the file, and try `sqlite3 FILE .recover`";
        return Ok((format!("{path}: damaged: {damage}\n{advice}\n"), ExitCode::from(FOUND)));
    }
    let mut text = format!("{path}: sound\n");
    let schema = findings.schema.map_or_else(|| "none".into(), shown);
    let _in_memory = writeln!(text, "schema: {schema} (this program's is {})", findings.newest);
    let _in_memory = writeln!(text, "journal mode: {}", findings.journal_mode);
    for (status, count) in findings.sessions {
        let _in_memory = writeln!(text, "{status}: {count}");
    }
    Ok((text, ExitCode::SUCCESS))
}

fn shown_sums(sums: &verify::Sums, comparison: &Comparison) -> (String, ExitCode) {
    let mut text = format!("sessions: {}\n", sums.sessions);
    for (status, count) in &sums.by_status {
        let _in_memory = writeln!(text, "{status}: {count}");
    }
    let _in_memory = writeln!(
        text,
        "bytes sent: {}\nbytes received: {}\npackets sent: {}\npackets received: {}",
        sums.bytes_sent, sums.bytes_received, sums.packets_sent, sums.packets_received
    );
    let _in_memory = match &sums.first_wrong {
        None => writeln!(text, "every row agrees with itself"),
        Some(first) => writeln!(
            text,
            "rows that contradict themselves: {}; the first is session {}: {}",
            sums.wrong, first.session_id, first.problem
        ),
    };
    let wrong = &sums.wrong_rollups;
    let _in_memory = match &wrong.first {
        None => writeln!(text, "the rollups are what counting the rows gives"),
        Some(first) => writeln!(
            text,
            "rollups that differ from what counting the rows gives: {}; the first is {first}",
            wrong.count
        ),
    };
    let agrees = put_comparison(&mut text, comparison);
    let sound = sums.first_wrong.is_none() && wrong.first.is_none() && agrees;
    (text, if sound { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

/// Says what the comparison gives; tells whether nothing is wrong, as far as it was made.
fn put_comparison(text: &mut String, comparison: &Comparison) -> bool {
    let (process, counted, rows, lost) = match comparison {
        Comparison::None(why) => {
            let _in_memory = writeln!(text, "not compared with a running process: {why}");
            return true;
        }
        Comparison::Made { process, counted, rows, lost } => (process, counted, rows, *lost),
    };
    let _in_memory = match counted == rows {
        true => writeln!(text, "{process} has counted what the rows give since its start: {rows}"),
        false => writeln!(
            text,
            "{process} has counted since its start: {counted}; the rows since then give: {rows}"
        ),
    };
    if lost > 0 {
        let _in_memory = writeln!(text, "{process} has lost records: {lost}");
    }
    counted == rows && lost == 0
}

async fn migrate(file: &FileConfig, dry_run: bool) -> Outcome {
    let now = Clock::system().now().wall;
    let migrations = match dry_run {
        true => upkeep::pending(&file.path).await?,
        false => upkeep::migrate(&options(file, now)).await?,
    };
    let mut text = format!("{}: schema {}\n", file.path.display(), shown(migrations.from));
    let word = if dry_run { "pending" } else { "done" };
    for (version, name) in &migrations.pending {
        let _in_memory = writeln!(text, "{word}: {version} {name}");
    }
    if migrations.pending.is_empty() {
        text.push_str("nothing to do\n");
    }
    if let Some(snapshot) = &migrations.snapshot {
        let _in_memory = writeln!(text, "the file as it was: {}", snapshot.display());
    }
    Ok((text, ExitCode::SUCCESS))
}

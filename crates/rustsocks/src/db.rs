//! `rustsocks db …`: what an operator does to the ledger by hand. A SQLite file is looked after in
//! every way; a database server is looked at, and has tools of its own for the rest.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use rustsocks_sessions::Clock;
use rustsocks_storage::StoreError;
use rustsocks_storage::sqlite::schema::Schema;
use rustsocks_storage::sqlite::upkeep;
use rustsocks_storage::verify::Sums;

use crate::cli::{complain, load, say};
use crate::config::{DatabaseConfig, Durability, FileConfig, StorageConfig};
use crate::storage::sqlite::options;

/// A problem was found.
const FOUND: u8 = 1;
/// The command could not do its work.
const FAILED: u8 = 4;

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
    /// Recompute every row; exits with 0, or 1 and the first row that contradicts itself.
    /// RustSocks may run.
    Verify,
    /// Pack the file. RustSocks may not run.
    Vacuum,
    /// Bring the schema up to date, after a snapshot. RustSocks may not run.
    Migrate {
        /// Only tell what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs a `db` command.
pub(crate) fn run(db: Db, config: Option<&std::path::Path>) -> ExitCode {
    let file = match db.database {
        Some(path) => FileConfig { path, durability: Durability::Full, backup_keep: 3 },
        None => {
            let config = match load(config) {
                Err(code) => return code,
                Ok(config) => config,
            };
            match config.ledger.map(|ledger| ledger.storage) {
                Some(StorageConfig::Sqlite(file)) => file,
                Some(StorageConfig::Server(server)) => {
                    return finish(on_server(&server, &config.node, &db.command));
                }
                _ => return complain(&"this configuration has no database"),
            }
        }
    };
    finish(on_file(&file, db.command))
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

async fn on_server(server: &DatabaseConfig, node: &str, command: &DbCommand) -> Outcome {
    let store = match command {
        DbCommand::Check | DbCommand::Verify => {
            crate::storage::server::open(server, node, false).await?
        }
        _ => {
            let problem = "that is for SQLite files; use the database server's own tools".into();
            return Err(StoreError::Server { problem });
        }
    };
    let outcome = match command {
        DbCommand::Verify => Ok(shown_sums(&rustsocks_storage::verify::verify(&store).await?)),
        _ => {
            let (engine, sessions) = (store.engine(), store.count().await?);
            Ok((format!("{engine}: answers\nsessions: {sessions}\n"), ExitCode::SUCCESS))
        }
    };
    store.close().await;
    outcome
}

async fn on_file(file: &FileConfig, command: DbCommand) -> Outcome {
    match command {
        DbCommand::Check => check(file).await,
        DbCommand::Backup { file: to } => {
            upkeep::backup(&file.path, &to).await?;
            Ok((format!("{}: copied and verified\n", to.display()), ExitCode::SUCCESS))
        }
        DbCommand::Verify => Ok(shown_sums(&upkeep::verify(&file.path).await?)),
        DbCommand::Vacuum => {
            let (before, after) = upkeep::vacuum(&file.path).await?;
            let path = file.path.display();
            Ok((format!("{path}: {before} bytes before, {after} after\n"), ExitCode::SUCCESS))
        }
        DbCommand::Migrate { dry_run } => migrate(file, dry_run).await,
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

fn shown_sums(sums: &Sums) -> (String, ExitCode) {
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
    let sound = sums.first_wrong.is_none() && wrong.first.is_none();
    (text, if sound { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
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

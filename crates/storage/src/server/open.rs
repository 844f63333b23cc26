//! Meeting a server: who it is, whether it is fit, and what is wrong in words for a person.

use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, ConnectOptions as _};
use tokio::time::timeout;

use super::CONNECT;
use crate::row::Columns as _;
use crate::sql::Dialect;
use crate::store::StoreError;

fn refuse(problem: impl Into<String>) -> StoreError {
    StoreError::Server { problem: problem.into() }
}

fn away(problem: impl Into<String>) -> StoreError {
    StoreError::Away { problem: problem.into() }
}

pub(super) fn bad_url() -> StoreError {
    refuse("not a URL; write \"postgres://user:password@host:5432/database\" or \"mysql://…\"")
}

/// The language that a URL's server speaks.
pub(super) fn dialect(url: &str) -> Result<Dialect, StoreError> {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        #[cfg(feature = "mysql")]
        Some("mysql" | "mariadb") => Ok(Dialect::MySql),
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => Ok(Dialect::Postgres),
        _ => Err(bad_url()),
    }
}

pub(super) async fn connect(options: &AnyConnectOptions) -> Result<AnyConnection, StoreError> {
    match timeout(CONNECT, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(in_words(error.into())),
        Err(_) => Err(silent()),
    }
}

/// The server takes a connection, or not even that, and says nothing.
pub(super) fn silent() -> StoreError {
    away("the server does not answer; check host, port and firewall")
}

/// What an error means that came before the server was of any use.
pub(super) fn in_words(error: StoreError) -> StoreError {
    let StoreError::Database(error) = error else { return error };
    let database = match error {
        sqlx::Error::Io(error) => {
            return away(format!("the server cannot be reached: {error}; check host and port"));
        }
        sqlx::Error::Tls(error) => {
            return refuse(format!("TLS to the server failed: {error}; check the CA file"));
        }
        // What it says quotes the part of the URL that is wrong, and so perhaps the password.
        sqlx::Error::Configuration(_) => {
            return refuse("the URL is wrong; check its port and what follows the question mark");
        }
        sqlx::Error::Protocol(_) => {
            return refuse("what answers there is no such database server; check host and port");
        }
        sqlx::Error::Database(error) => error,
        error => return StoreError::Database(error),
    };
    if takes_nobody_yet(&*database) {
        return away(format!("the server says: {}", database.message()));
    }
    match remedy(&*database) {
        Some(remedy) => refuse(format!("the server says: {}; {remedy}", database.message())),
        None => StoreError::Database(sqlx::Error::Database(database)),
    }
}

/// Whether a server that refuses this may take the same connection a while later: it starts or
/// stops, or has as many connections as it may.
fn takes_nobody_yet(error: &dyn DatabaseError) -> bool {
    match (mysql_number(error), error.code().as_deref()) {
        (Some(number), _) => matches!(number, 1040 | 1053 | 1203),
        (None, code) => matches!(code, Some("57P01" | "57P02" | "57P03" | "53300")),
    }
}

/// What to do about a server's refusal.
fn remedy(error: &dyn DatabaseError) -> Option<&'static str> {
    match (mysql_number(error), error.code().as_deref()) {
        (Some(1045 | 1698), _) | (None, Some("28P01" | "28000")) => {
            Some("check user and password in the URL")
        }
        (Some(1049), _) | (None, Some("3D000")) => {
            Some("create the database, or correct its name in the URL")
        }
        (Some(1044 | 1142 | 1143), _) => {
            Some("grant the user all rights on the database, views among them")
        }
        (None, Some("42501")) => {
            Some("grant the user CREATE on the schema, and all rights on its tables")
        }
        _ => None,
    }
}

/// The number of an error, where it is a MySQL server's.
#[cfg(feature = "mysql")]
fn mysql_number(error: &dyn DatabaseError) -> Option<u16> {
    let error = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>();
    error.map(sqlx::mysql::MySqlDatabaseError::number)
}

/// No such server can be spoken to.
#[cfg(not(feature = "mysql"))]
fn mysql_number(_error: &dyn DatabaseError) -> Option<u16> {
    None
}

/// What [`Dialect::moment`] needs of MariaDB and MySQL, whose operator may have chosen another default.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
const ONE_MOMENT: &str = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";

/// Asks who the server is. Gives the engine's name, and what to tell each connection first.
pub(super) async fn meet(
    connection: &mut AnyConnection,
    dialect: Dialect,
    limit: Duration,
) -> Result<(&'static str, Vec<String>), StoreError> {
    let text = match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => "SELECT current_setting('server_version') AS version",
        #[cfg(any(feature = "sqlite", feature = "mysql"))]
        _ => "SELECT VERSION() AS version",
    };
    let row = sqlx::query(text).fetch_one(connection).await?;
    let version = row.text("version")?.unwrap_or_default();
    let seconds = limit.as_secs();
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => {
            at_least("PostgreSQL", &version, &[13])?;
            let words =
                [format!("SET statement_timeout = '{seconds}s'"), "SET TIME ZONE 'UTC'".into()];
            Ok(("postgres", words.into()))
        }
        #[cfg(feature = "mysql")]
        Dialect::MySql if version.contains("MariaDB") => {
            // Some proxies and old replicas put "5.5.5-" before the real number.
            at_least("MariaDB", version.trim_start_matches("5.5.5-"), &[10, 5])?;
            let words = [
                format!("SET SESSION max_statement_time = {seconds}"),
                format!("SET SESSION innodb_lock_wait_timeout = {seconds}"),
                ONE_MOMENT.into(),
            ];
            Ok(("mariadb", words.into()))
        }
        #[cfg(any(feature = "sqlite", feature = "mysql"))]
        _ => {
            at_least("MySQL", &version, &[8, 0])?;
            let words = [
                format!("SET SESSION max_execution_time = {}", seconds * 1000),
                format!("SET SESSION innodb_lock_wait_timeout = {seconds}"),
                ONE_MOMENT.into(),
            ];
            Ok(("mysql", words.into()))
        }
    }
}

/// Refuses a server that is too old to be known to work.
fn at_least(name: &str, version: &str, least: &[u32]) -> Result<(), StoreError> {
    let numbers = version.split(['.', '-', ' ']).map_while(|part| part.parse::<u32>().ok());
    let found: Vec<u32> = numbers.collect();
    if found.as_slice() >= least {
        return Ok(());
    }
    let least: Vec<String> = least.iter().map(u32::to_string).collect();
    let least = least.join(".");
    Err(refuse(format!("the server is {name} {version}; {name} {least} or newer is needed")))
}

/// Brings the schema up to date.
pub(super) async fn migrate(
    connection: &mut AnyConnection,
    dialect: Dialect,
    lock: bool,
) -> Result<(), StoreError> {
    let mut migrator = Migrator::with_migrations(dialect.migrations());
    migrator.set_locking(lock);
    // `run` takes what no future that moves between threads may hold.
    match migrator.run_direct(None, connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(version)) => Err(refuse(format!(
            "a newer RustSocks has brought the schema to version {version}; run that one, or \
             give this one a database of its own"
        ))),
        Err(MigrateError::Dirty(version)) => Err(refuse(format!(
            "step {version} of the schema was begun and broke off, which this server cannot undo: \
             where no records are in the database yet, drop its tables and views, else restore it \
             from before; then start again as a user with all rights on it"
        ))),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
            Err(in_words(error.into()))
        }
        Err(error) => Err(StoreError::Migration(error)),
    }
}

/// Prepares a connection for writing, whatever the server's default is: a write that has waited for
/// another sees what that did, and on MariaDB and MySQL no gaps between rows are locked, which two
/// nodes that save new sessions would wait for.
pub(super) async fn make_writer(
    connection: &mut AnyConnection,
    dialect: Dialect,
) -> Result<(), StoreError> {
    let words = match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => {
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
        }
        #[cfg(any(feature = "sqlite", feature = "mysql"))]
        _ => "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    };
    sqlx::Executor::execute(connection, words).await?;
    Ok(())
}

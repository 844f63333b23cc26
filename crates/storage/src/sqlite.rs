//! One SQLite file: one connection that writes, a few that read.
//!
//! The write-ahead log lets readers go on while the writer commits, and the other way round.
//! What happens to a file before it is trusted is in [`SqliteStore::open`].

mod check;
mod history;
mod place;
mod points;
mod save;
pub mod schema;
mod snapshot;
mod threads;
pub mod upkeep;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use rustsocks_sessions::{Record, SessionId};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::Mutex;

use self::check::Verdict;
use self::place::{Lock, refuse};
use self::schema::{Schema, Shape};
use crate::booking::Booking;
use crate::filter::{Filter, Part, Slice, Sort, Total};
use crate::memory::Usage;
use crate::rollup::Booked;
use crate::row::{Columns as _, explained, found, part, record, usage, wrong_rollups};
use crate::sql::{self, Dialect};
use crate::store::StoreError;
use crate::verify::{Run, WrongRollups};
use crate::windows::{Found, Wanted};

/// The name of the threads that read, each for a connection.
const READER_THREAD: &str = "sqlite-reads";

/// The first release without the WAL-reset defect, which can corrupt a file that several
/// connections use.
const SQLITE_LEAST: [u32; 3] = [3, 51, 3];

/// Connections that read.
const READERS: u32 = 4;

/// Files up to this size are looked through entirely at each start: that takes a blink.
const SMALL: u64 = 64 << 20;

/// Who writes, for the rollups' version: a file has one writer.
const WRITER: &str = "";

/// How long to wait for a lock that another process holds, before the try counts as failed.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// What a commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process and of the machine's power: synced at each batch.
    #[default]
    Full,
    /// The death of the process; a power loss may take the newest batches, never the file.
    Normal,
}

/// Where and how.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file; missing parent folders are made.
    pub path: PathBuf,
    /// What a commit survives.
    pub durability: Durability,
    /// Snapshots to keep, of those that are made before the schema changes; at least one.
    pub backup_keep: usize,
    /// The wall clock, for the names of files set aside.
    pub now: Timestamp,
    /// The niceness of the threads that read (setpriority(2)); none leaves it as it is.
    pub readers_niceness: Option<i32>,
}

/// What happened while a file was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpeningNotice {
    /// The file was damaged or no database; it lies there now, and a new one took its place.
    Quarantined {
        /// Its new name.
        to: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The last process did not stop in order; the file was looked through and is sound.
    UncleanStop,
    /// The schema was brought up to date.
    Migrated {
        /// What it was.
        from: Schema,
        /// The version it has now.
        to: i64,
        /// Where the file as it was lies, unless there was nothing in it.
        snapshot: Option<PathBuf>,
    },
    /// Indexes or views were gone or changed, and were made again.
    MadeAgain {
        /// Their names.
        what: Vec<String>,
    },
    /// There can be no write-ahead log there; the slower DELETE journal is used.
    FellBack {
        /// Why.
        why: String,
    },
}

/// The SQLite store.
#[derive(Debug)]
pub struct SqliteStore {
    options: SqliteConnectOptions,
    /// None after a failure, until the next write connects anew.
    writer: Mutex<Option<SqliteConnection>>,
    readers: SqlitePool,
    statements: save::Statements,
    /// Given back when the store is closed.
    lock: Mutex<Option<Lock>>,
    quarantined: Option<PathBuf>,
}

/// Why a file cannot be used now, or what to put in its place.
enum Unfit {
    Damaged(String),
    Error(StoreError),
}

impl Unfit {
    fn of(path: &Path, error: sqlx::Error) -> Self {
        match check::is_damage(&error) {
            true => Self::Damaged(error.to_string()),
            false => Self::Error(open_error(path, &error)),
        }
    }
}

impl From<StoreError> for Unfit {
    fn from(error: StoreError) -> Self {
        Self::Error(error)
    }
}

impl SqliteStore {
    /// Opens the file for this process alone, makes it if it is missing, and brings its schema
    /// up to date.
    ///
    /// In this order: the place is looked at, the lock is taken, header and contents are
    /// checked (every index entry too, where the last process did not stop in order), a snapshot
    /// is made where the schema will change, the schema is changed and the contents are checked
    /// once more, indexes that are gone are made again, and a write to the write-ahead log is tried. A damaged file is moved aside,
    /// never deleted, and a new one made.
    ///
    /// # Errors
    /// [`StoreError`], with what to do about it.
    pub async fn open(options: &SqliteOptions) -> Result<(Self, Vec<OpeningNotice>), StoreError> {
        let path = &options.path;
        place::prepare(path)?;
        let lock = Lock::take(path)?;
        let mut notices = Vec::new();
        let fit = match make_fit(options, lock.was_left, &mut notices).await {
            Err(Unfit::Damaged(why)) => {
                let to = check::quarantine(path, options.now)?;
                notices = vec![OpeningNotice::Quarantined { to, why }];
                place::prepare(path)?;
                make_fit(options, false, &mut Vec::new()).await
            }
            fit => fit,
        };
        let connect = match fit {
            Ok(connect) => connect,
            Err(Unfit::Damaged(why)) => return Err(refuse(path, why)),
            Err(Unfit::Error(error)) => return Err(error),
        };
        let (connect, writer) = match with_log(&connect).await {
            Ok(writer) => (connect.journal_mode(SqliteJournalMode::Wal), writer),
            Err(why) => {
                notices.push(OpeningNotice::FellBack { why: why.to_string() });
                let connect = connect.journal_mode(SqliteJournalMode::Delete);
                let writer = without_log(&connect).await;
                (connect, writer.map_err(|error| open_error(path, &error))?)
            }
        };
        // The file says which journal mode it has; a reader does not choose.
        let reader = pragmas(options).read_only(true).create_if_missing(false);
        let niceness = options.readers_niceness;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(Duration::from_secs(5))
            .after_connect(move |_connection, _| {
                niceness.iter().for_each(|niceness| threads::give_way(READER_THREAD, *niceness));
                Box::pin(std::future::ready(Ok(())))
            })
            .connect_with(reader.thread_name(|_| READER_THREAD.to_owned()))
            .await
            .map_err(|error| open_error(path, &error))?;
        let store = Self {
            options: connect,
            writer: Mutex::new(Some(writer)),
            readers,
            statements: save::Statements::new(),
            lock: Mutex::new(Some(lock)),
            quarantined: notices.iter().find_map(|notice| match notice {
                OpeningNotice::Quarantined { to, .. } => Some(to.clone()),
                _ => None,
            }),
        };
        Ok((store, notices))
    }

    /// Where the file that this one took the place of lies, if it was damaged.
    pub(crate) fn quarantined(&self) -> Option<&Path> {
        self.quarantined.as_deref()
    }

    pub(crate) fn file(&self) -> Option<PathBuf> {
        std::fs::canonicalize(self.options.get_filename()).ok()
    }

    pub(crate) async fn save(&self, records: &[Record], seen: usize) -> Result<Booked, StoreError> {
        self.write(async |mut booking| booking.save(records, seen).await).await
    }

    /// Runs `work` on the writing connection.
    async fn write<T>(
        &self,
        work: impl AsyncFnOnce(Booking<'_, save::Writer<'_>>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer.lock().await;
        // Taken out, so that a failure half-way leaves no connection inside a transaction.
        let mut connection = match writer.take() {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.options).await?,
        };
        let mut within = save::Writer { connection: &mut connection, statements: &self.statements };
        let booking = Booking { connection: &mut within, dialect: Dialect::Sqlite, writer: WRITER };
        let done = work(booking).await?;
        *writer = Some(connection);
        Ok(done)
    }

    pub(crate) async fn version(&self) -> Result<i64, StoreError> {
        let row = history::query(sql::versions(Dialect::Sqlite, WRITER))?
            .fetch_one(&self.readers)
            .await?;
        Ok(row.number("own")?.unwrap_or(0))
    }

    pub(crate) async fn sums(&self, wanted: &Wanted) -> Result<Found, StoreError> {
        let statements = sql::sums(Dialect::Sqlite, WRITER, wanted);
        let answers = history::at_once(&mut *self.readers.acquire().await?, statements).await?;
        found(wanted, &answers)
    }

    pub(crate) async fn rows_of_run(
        &self,
        node: &str,
        first: SessionId,
    ) -> Result<Run, StoreError> {
        history::rows_of_run(&mut *self.readers.acquire().await?, node, first).await
    }

    pub(crate) async fn usage(
        &self,
        user: Option<&str>,
        span: i64,
        range: (i64, i64),
    ) -> Result<Usage, StoreError> {
        let own = sql::own_version(Dialect::Sqlite, WRITER);
        let spans = sql::usage(Dialect::Sqlite, user, span, range.0, range.1);
        let questions = [Some(own), Some(spans)];
        usage(&history::at_once(&mut *self.readers.acquire().await?, questions).await?)
    }

    pub(crate) async fn forget_usage(&self, before: i64) -> Result<(), StoreError> {
        self.write(async |mut booking| booking.forget_usage(before).await).await
    }

    pub(crate) async fn wrong_rollups(&self) -> Result<WrongRollups, StoreError> {
        let statement = sql::wrong_rollups(Dialect::Sqlite);
        wrong_rollups(&history::query(statement)?.fetch_all(&self.readers).await?)
    }

    pub(crate) async fn find(&self, id: SessionId) -> Result<Option<Record>, StoreError> {
        history::find(&self.readers, id).await
    }

    pub(crate) async fn history(
        &self,
        filter: &Filter,
        sort: Sort,
        slice: Slice,
        total: Total,
        named: &[SessionId],
    ) -> Result<Part, StoreError> {
        let statements = sql::history(Dialect::Sqlite, WRITER, filter, sort, slice, total, named);
        part(&history::at_once(&mut *self.readers.acquire().await?, statements).await?)
    }

    pub(crate) async fn explain(
        &self,
        filter: &Filter,
        sort: Sort,
        slice: Slice,
    ) -> Result<Vec<Vec<String>>, StoreError> {
        let mut plans = Vec::new();
        for statement in sql::explain(Dialect::Sqlite, filter, sort, slice) {
            let rows = history::query(statement)?.fetch_all(&self.readers).await?;
            plans.push(explained(Dialect::Sqlite, &rows)?);
        }
        Ok(plans)
    }

    /// What the writing connection has for a pragma, for tests.
    #[doc(hidden)]
    pub async fn pragma(&self, name: &str) -> Result<String, StoreError> {
        use sqlx::{Row as _, ValueRef as _};
        let mut writer = self.writer.lock().await;
        let connection = self.connected(&mut writer).await?;
        let sql = sqlx::AssertSqlSafe(format!("PRAGMA {name}"));
        let row = sqlx::query(sql).fetch_one(connection).await?;
        let is_text = row.try_get_raw(0)?.type_info().to_string() == "TEXT";
        Ok(if is_text { row.get(0) } else { row.get::<i64, _>(0).to_string() })
    }

    pub(crate) async fn close_crashed(&self, node: &str) -> Result<Option<Booked>, StoreError> {
        self.write(async |mut booking| match booking.close_crashed(node).await? {
            // Rows without a node are those of a version that wrote none.
            None => booking.close_crashed("").await,
            closed => Ok(closed),
        })
        .await
    }

    pub(crate) async fn oldest(
        &self,
        before: Timestamp,
        most: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let statement = sql::oldest(Dialect::Sqlite, before, most);
        let rows = history::query(statement)?.fetch_all(&self.readers).await?;
        rows.iter().map(record).collect()
    }

    pub(crate) async fn delete(&self, ids: &[SessionId]) -> Result<Booked, StoreError> {
        self.write(async |mut booking| booking.delete(ids).await).await
    }

    pub(crate) async fn count(&self) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM sessions";
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&self.readers).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        if let Some(writer) = self.writer.lock().await.take() {
            // A failure leaves the write-ahead log, which the next start reads.
            let _log_stays = writer.close().await;
        }
        if let Some(lock) = self.lock.lock().await.take() {
            lock.release();
        }
    }

    async fn connected<'a>(
        &self,
        writer: &'a mut Option<SqliteConnection>,
    ) -> Result<&'a mut SqliteConnection, StoreError> {
        match writer {
            Some(connection) => Ok(connection),
            None => Ok(writer.insert(SqliteConnection::connect_with(&self.options).await?)),
        }
    }
}

/// The pragmas of every connection, but for the journal mode.
fn pragmas(options: &SqliteOptions) -> SqliteConnectOptions {
    let synchronous = match options.durability {
        Durability::Full => SqliteSynchronous::Full,
        Durability::Normal => SqliteSynchronous::Normal,
    };
    SqliteConnectOptions::new()
        .filename(&options.path)
        .create_if_missing(true)
        .synchronous(synchronous)
        .busy_timeout(LOCK_WAIT)
        .pragma("cache_size", "-2048")
}

/// Checks a file and brings its schema up to date; gives how to connect to it.
async fn make_fit(
    options: &SqliteOptions,
    was_left: bool,
    notices: &mut Vec<OpeningNotice>,
) -> Result<SqliteConnectOptions, Unfit> {
    let path = &options.path;
    if let Verdict::Damaged(why) = check::header(path)? {
        return Err(Unfit::Damaged(why));
    }
    let connect = pragmas(options);
    let mut connection = reach(&connect).await.map_err(|error| Unfit::of(path, error))?;
    let examined = examine(&mut connection, options, was_left, notices).await;
    // Closed in any case, and before anything is moved: closing tidies up beside the file.
    let closed = connection.close().await;
    examined?;
    closed.map_err(|error| Unfit::of(path, error))?;
    Ok(connect)
}

/// Connects to a file that may have a write-ahead log already, where there may be none: a connection
/// that holds the file alone needs no shared memory for it.
async fn reach(connect: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let begin = async |connect: &SqliteConnectOptions| {
        let mut connection = SqliteConnection::connect_with(connect).await?;
        connection.begin_with(Dialect::Sqlite.begin()).await?.rollback().await?;
        Ok(connection)
    };
    match begin(connect).await {
        Err(error) if !check::is_damage(&error) && !check::is_busy(&error) => {
            let alone = connect.clone().locking_mode(SqliteLockingMode::Exclusive);
            // Where that is of no use either, the first error says why.
            begin(&alone).await.map_err(|_| error)
        }
        reached => reached,
    }
}

/// Checks what is behind a connection, and brings its schema up to date.
async fn examine(
    connection: &mut SqliteConnection,
    options: &SqliteOptions,
    was_left: bool,
    notices: &mut Vec<OpeningNotice>,
) -> Result<(), Unfit> {
    let path = &options.path;
    let unfit = |error| Unfit::of(path, error);
    check_version(connection).await?;
    let look = async |connection: &mut SqliteConnection, thorough| match check::contents(
        connection, thorough,
    )
    .await
    {
        Ok(Verdict::Sound) => Ok(()),
        Ok(Verdict::Damaged(why)) => Err(Unfit::Damaged(why)),
        Err(StoreError::Database(error)) => Err(unfit(error)),
        Err(error) => Err(Unfit::Error(error)),
    };
    let small = std::fs::metadata(path).is_ok_and(|facts| facts.len() <= SMALL);
    look(&mut *connection, was_left || small).await?;
    if was_left {
        notices.push(OpeningNotice::UncleanStop);
    }
    let found = schema::of(connection).await.map_err(unfit)?;
    schema::refuse_newer(path, found)?;
    let to = schema::newest();
    if found != Schema::Version(to) {
        let snapshot = match found {
            Schema::Empty => None,
            _ => {
                let keep = options.backup_keep;
                Some(snapshot::take(connection, path, keep, options.now).await?)
            }
        };
        match schema::migrate(connection, found).await {
            Ok(()) => {}
            Err(StoreError::Database(error)) => return Err(unfit(error)),
            Err(error) => return Err(Unfit::Error(error)),
        }
        look(&mut *connection, true).await?;
        if found != Schema::Empty {
            notices.push(OpeningNotice::Migrated { from: found, to, snapshot });
        }
    }
    match schema::mend(connection).await.map_err(unfit)? {
        Shape::Whole(again) if again.is_empty() => Ok(()),
        Shape::Whole(what) => {
            notices.push(OpeningNotice::MadeAgain { what });
            Ok(())
        }
        // Damage to the text of the schema leaves a sound file of another shape.
        Shape::Lost(column) => {
            Err(Unfit::Damaged(format!("its schema is not what its version says: no {column}")))
        }
        Shape::Unfillable(column) => {
            let problem = format!(
                "its column {column}, which RustSocks does not know, takes no row without it; \
                 give it a default value, or drop it"
            );
            Err(Unfit::Error(refuse(path, problem)))
        }
    }
}

/// Connects with a write-ahead log, and tries it: one connection writes, another sees it.
async fn with_log(connect: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let connect = connect.clone().journal_mode(SqliteJournalMode::Wal);
    let mut writer = SqliteConnection::connect_with(&connect).await?;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut writer).await?;
    if mode != "wal" {
        return Err(sqlx::Error::Protocol(format!("SQLite chose the journal mode {mode}")));
    }
    let read = "PRAGMA user_version";
    let last: i64 = sqlx::query_scalar(read).fetch_one(&mut writer).await?;
    let next = (last + 1) % 1_000_000;
    let write = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {next}"));
    sqlx::query(write).execute(&mut writer).await?;
    let mut reader =
        SqliteConnection::connect_with(&connect.read_only(true).create_if_missing(false)).await?;
    let seen: i64 = sqlx::query_scalar(read).fetch_one(&mut reader).await?;
    reader.close().await?;
    if seen != next {
        return Err(sqlx::Error::Protocol("a reader does not see what was written".into()));
    }
    Ok(writer)
}

/// Connects without a write-ahead log.
///
/// The file may say already that it has one, from the try: that is taken back by a connection
/// that needs no shared memory because it holds the file alone.
async fn without_log(connect: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let alone = connect.clone().locking_mode(SqliteLockingMode::Exclusive);
    SqliteConnection::connect_with(&alone).await?.close().await?;
    SqliteConnection::connect_with(connect).await
}

fn open_error(path: &Path, error: &sqlx::Error) -> StoreError {
    if check::is_busy(error) {
        let problem = "another program holds it; stop that one, or give this one a file of its own";
        return refuse(path, problem);
    }
    refuse(path, error.to_string())
}

async fn check_version(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(connection).await?;
    let parts: Vec<u32> = found.split('.').filter_map(|part| u32::from_str(part).ok()).collect();
    if parts.as_slice() < SQLITE_LEAST.as_slice() {
        return Err(StoreError::SqliteVersion { found });
    }
    Ok(())
}

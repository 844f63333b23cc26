//! A database server: MariaDB, MySQL, or PostgreSQL. One connection that writes, a few that read.
//!
//! Several nodes may share one database; what they need of one another is in [`nodes`]. A
//! connection whose work did not come to its end is dropped, never used again.

pub mod nodes;
mod open;
mod points;
mod save;

use std::sync::{Arc, MutexGuard, Once, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustsocks_sessions::{Record, SessionId};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::any::{AnyArguments, AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Arguments as _, AssertSqlSafe, ConnectOptions as _};
use sqlx::{Connection as _, Executor as _};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::booking::Booking;
use crate::filter::{Filter, Part, Slice, Sort, Total};
use crate::memory::Usage;
use crate::rollup::Booked;
use crate::row::{Columns as _, explained, found, part, record, run, usage, wrong_rollups};
use crate::sql::{self, Dialect, Statement, Value};
use crate::store::StoreError;
use crate::verify::{Run, WrongRollups};
use crate::windows::{Found, Wanted};

/// Connections that read.
const READERS: u32 = 4;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Where the server is and how to speak to it.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// `mysql://`, `mariadb://`, `postgres://` or `postgresql://`, with user, password, host,
    /// port and database. Never shown.
    pub url: SecretString,
    /// `mariadb`, `mysql` or `postgres`: the engine's name until the server says which it is.
    pub engine: &'static str,
    /// This node's name.
    pub node: String,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// Whether the schema is brought up to date; without, nothing is changed.
    pub migrate: bool,
    /// Whether migrations take an advisory lock; not every compatible server has one.
    pub migration_lock: bool,
}

/// The store on a database server.
#[derive(Debug)]
pub struct ServerStore {
    dialect: Dialect,
    options: ServerOptions,
    connect: AnyConnectOptions,
    /// Set once the server was reached.
    met: Arc<OnceLock<Met>>,
    /// Why no records are taken yet; none where they are.
    held_up: std::sync::Mutex<Option<String>>,
    /// None after a failure, until the next write connects anew.
    writer: Mutex<Option<AnyConnection>>,
    readers: AnyPool,
    /// For what nodes need of one another, so that no question and no batch delays a sign of life.
    nodes: AnyPool,
    statements: save::Statements,
}

/// What was learnt of a server when it was first reached.
#[derive(Debug)]
struct Met {
    /// `mariadb`, `mysql` or `postgres`.
    engine: &'static str,
    /// What each connection is told first.
    greeting: Vec<String>,
}

impl ServerStore {
    /// Connects, and brings the schema up to date.
    ///
    /// # Errors
    /// [`StoreError`], with what to do about it and without the password.
    pub async fn open(options: ServerOptions) -> Result<Self, StoreError> {
        let store = Self::new(options)?;
        store.reach().await?;
        Ok(store)
    }

    /// A store on a server that is yet to be [reached](Self::reach).
    ///
    /// # Errors
    /// [`StoreError::Server`] where the URL is none.
    pub fn new(options: ServerOptions) -> Result<Self, StoreError> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        let url = options.url.expose_secret();
        let dialect = open::dialect(url)?;
        let connect: AnyConnectOptions = url.parse().map_err(|_| open::bad_url())?;
        let connect = connect.disable_statement_logging();
        let met: Arc<OnceLock<Met>> = Arc::default();
        let pool = |most| {
            let known = Arc::clone(&met);
            AnyPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(CONNECT)
                .after_connect(move |connection, _| {
                    let known = Arc::clone(&known);
                    Box::pin(async move {
                        let words = known.get().map_or(&[][..], |met| &met.greeting);
                        greet(connection, words).await
                    })
                })
                .connect_lazy_with(connect.clone())
        };
        let (readers, nodes) = (pool(READERS), pool(1));
        Ok(Self {
            dialect,
            options,
            connect,
            met,
            held_up: std::sync::Mutex::default(),
            writer: Mutex::default(),
            readers,
            nodes,
            statements: save::Statements::new(dialect),
        })
    }

    /// Connects where nothing is connected yet, and brings the schema up to date where that has
    /// not been done.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`StoreError::Away`] where trying again later may help.
    pub async fn reach(&self) -> Result<(), StoreError> {
        self.write(1, async |_connection| Ok(())).await
    }

    /// Takes no records until [`admit`](Self::admit).
    pub fn hold_up(&self, why: &StoreError) {
        *self.held_up() = Some(why.to_string());
    }

    /// Takes records.
    pub fn admit(&self) {
        *self.held_up() = None;
    }

    /// Whether no records are taken yet.
    pub fn is_held_up(&self) -> bool {
        self.held_up().is_some()
    }

    fn held_up(&self) -> MutexGuard<'_, Option<String>> {
        self.held_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn engine(&self) -> &'static str {
        self.met.get().map_or(self.options.engine, |met| met.engine)
    }

    /// A connection that writes; the first one makes the acquaintance of the server.
    async fn connect(&self) -> Result<AnyConnection, StoreError> {
        let mut connection = open::connect(&self.connect).await?;
        let limit = self.options.statement_timeout;
        let introduced = timeout(limit, self.introduce(&mut connection)).await;
        let new = introduced.map_err(|_| open::silent())?.map_err(open::in_words)?;
        if let Some(met) = new {
            if self.options.migrate {
                let lock = self.options.migration_lock;
                open::migrate(&mut connection, self.dialect, lock).await?;
            }
            self.met.get_or_init(|| met);
        }
        Ok(connection)
    }

    /// Makes a connection one that writes; gives what was learnt of a server that was not met yet.
    async fn introduce(&self, connection: &mut AnyConnection) -> Result<Option<Met>, StoreError> {
        let new = match self.met.get() {
            Some(_) => None,
            None => {
                let limit = self.options.statement_timeout;
                let (engine, greeting) = open::meet(connection, self.dialect, limit).await?;
                Some(Met { engine, greeting })
            }
        };
        let greeting = new.as_ref().or(self.met.get()).map_or(&[][..], |met| &met.greeting);
        greet(connection, greeting).await?;
        open::make_writer(connection, self.dialect).await?;
        Ok(new)
    }

    /// Runs `work` on the writing connection, within `limits` times the statement's time limit.
    async fn write<T>(
        &self,
        limits: u32,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer.lock().await;
        // Taken out, so that a failure half-way leaves no connection inside a transaction.
        let mut connection = match writer.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let limit = self.options.statement_timeout * limits;
        let done = timeout(limit, work(&mut connection)).await.map_err(|_| self.too_slow())??;
        *writer = Some(connection);
        Ok(done)
    }

    fn too_slow(&self) -> StoreError {
        StoreError::Timeout { limit: self.options.statement_timeout }
    }

    /// Puts questions of as many statements as each has on a reading connection, all of one moment.
    async fn read<const N: usize>(
        &self,
        questions: [impl IntoIterator<Item = Statement>; N],
    ) -> Result<[Vec<AnyRow>; N], StoreError> {
        self.aside(&self.readers, async |connection| {
            if N > 1 {
                connection.execute(self.dialect.moment()).await?;
            }
            let mut answers = [const { Vec::new() }; N];
            for (statements, answer) in questions.into_iter().zip(&mut answers) {
                for statement in statements {
                    answer.extend(query(statement)?.fetch_all(&mut *connection).await?);
                }
            }
            if N > 1 {
                connection.execute("ROLLBACK").await?;
            }
            Ok(answers)
        })
        .await
    }

    /// Runs `work` beside the connection that writes records, on one of `pool`, within the
    /// statement's time limit.
    async fn aside<T>(
        &self,
        pool: &AnyPool,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.met.get().is_none() {
            let problem = "the server has not been reached since the start".to_owned();
            return Err(StoreError::Away { problem });
        }
        let mut lent = Lent { connection: pool.acquire().await?, is_done: false };
        let done = timeout(self.options.statement_timeout, work(&mut lent.connection)).await;
        let done = done.map_err(|_| self.too_slow())??;
        lent.is_done = true;
        Ok(done)
    }

    /// Runs one statement that no record waits for, and that waits for none; gives how many rows it
    /// changed.
    async fn execute_aside(&self, statement: Statement) -> Result<u64, StoreError> {
        let query = query(statement)?;
        let work = async |connection: &mut AnyConnection| {
            Ok(query.execute(connection).await?.rows_affected())
        };
        self.aside(&self.nodes, work).await
    }

    /// Puts a question that waits for none of the others.
    async fn read_aside(&self, statement: Statement) -> Result<Vec<AnyRow>, StoreError> {
        let query = query(statement)?;
        let work = async |connection: &mut AnyConnection| Ok(query.fetch_all(connection).await?);
        self.aside(&self.nodes, work).await
    }

    pub(crate) async fn save(&self, records: &[Record], seen: usize) -> Result<Booked, StoreError> {
        let limits = 1 + u32::try_from(records.len() / 1000).unwrap_or(u32::MAX);
        self.book(limits, async |mut booking| booking.save(records, seen).await).await
    }

    async fn book<T>(
        &self,
        limits: u32,
        work: impl AsyncFnOnce(Booking<'_, save::Writer<'_>>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(problem) = self.held_up().clone() {
            return Err(StoreError::Away { problem });
        }
        self.write(limits, async |connection| {
            let mut within = save::Writer { connection, statements: &self.statements };
            let writer = &self.options.node;
            work(Booking { connection: &mut within, dialect: self.dialect, writer }).await
        })
        .await
    }

    pub(crate) async fn version(&self) -> Result<i64, StoreError> {
        let [rows] = self.read([Some(sql::versions(self.dialect, &self.options.node))]).await?;
        Ok(rows.first().map(|row| row.number("own")).transpose()?.flatten().unwrap_or(0))
    }

    pub(crate) async fn sums(&self, wanted: &Wanted) -> Result<Found, StoreError> {
        let answers = self.read(sql::sums(self.dialect, &self.options.node, wanted)).await?;
        found(wanted, &answers)
    }

    pub(crate) async fn rows_of_run(
        &self,
        node: &str,
        first: SessionId,
    ) -> Result<Run, StoreError> {
        run(&self.read(sql::rows_of_run(self.dialect, node, node, first)).await?)
    }

    pub(crate) async fn usage(
        &self,
        user: Option<&str>,
        span: i64,
        range: (i64, i64),
    ) -> Result<Usage, StoreError> {
        let own = sql::own_version(self.dialect, &self.options.node);
        let spans = sql::usage(self.dialect, user, span, range.0, range.1);
        usage(&self.read([Some(own), Some(spans)]).await?)
    }

    pub(crate) async fn forget_usage(&self, before: i64) -> Result<(), StoreError> {
        self.book(1, async |mut booking| booking.forget_usage(before).await).await
    }

    pub(crate) async fn wrong_rollups(&self) -> Result<WrongRollups, StoreError> {
        let [rows] = self.read([Some(sql::wrong_rollups(self.dialect))]).await?;
        wrong_rollups(&rows)
    }

    pub(crate) async fn find(&self, id: SessionId) -> Result<Option<Record>, StoreError> {
        let [rows] = self.read([Some(sql::find(self.dialect, id))]).await?;
        rows.first().map(record).transpose()
    }

    pub(crate) async fn history(
        &self,
        filter: &Filter,
        sort: Sort,
        slice: Slice,
        total: Total,
        named: &[SessionId],
    ) -> Result<Part, StoreError> {
        let node = &self.options.node;
        let questions = sql::history(self.dialect, node, filter, sort, slice, total, named);
        part(&self.read(questions).await?)
    }

    pub(crate) async fn explain(
        &self,
        filter: &Filter,
        sort: Sort,
        slice: Slice,
    ) -> Result<Vec<Vec<String>>, StoreError> {
        let mut plans = Vec::new();
        for rows in self.read(sql::explain(self.dialect, filter, sort, slice).map(Some)).await? {
            plans.push(explained(self.dialect, &rows)?);
        }
        Ok(plans)
    }

    pub(crate) async fn close_crashed(&self, node: &str) -> Result<Option<Booked>, StoreError> {
        self.book(1, async |mut booking| booking.close_crashed(node).await).await
    }

    pub(crate) async fn oldest(
        &self,
        before: Timestamp,
        most: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let [rows] = self.read([Some(sql::oldest(self.dialect, before, most))]).await?;
        rows.iter().map(record).collect()
    }

    pub(crate) async fn delete(&self, ids: &[SessionId]) -> Result<Booked, StoreError> {
        self.book(1, async |mut booking| booking.delete(ids).await).await
    }

    pub(crate) async fn count(&self) -> Result<u64, StoreError> {
        let text = "SELECT COUNT(*) AS total FROM sessions";
        let [rows] = self.read([Some(Statement::new(self.dialect, text))]).await?;
        number(&rows, "total")
    }

    pub(crate) async fn close(&self) {
        // A server that does not answer does not hold up the stop.
        let closed = async {
            self.nodes.close().await;
            self.readers.close().await;
        };
        let _unheard = timeout(CONNECT, closed).await;
        let closed = async {
            if let Some(writer) = self.writer.lock().await.take() {
                // It says goodbye; it is gone either way.
                let _unheard = writer.close().await;
            }
        };
        let _unheard = timeout(CONNECT, closed).await;
    }
}

/// A connection of those that read. It goes back to them once its work is done; after an error, a
/// time limit, or where nobody waits for the answer any more, it is closed: it may be inside a
/// transaction, or inside an answer.
struct Lent {
    connection: PoolConnection<Any>,
    is_done: bool,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.is_done {
            self.connection.close_on_drop();
        }
    }
}

fn number(rows: &[AnyRow], column: &'static str) -> Result<u64, StoreError> {
    let number = rows.first().map(|row| row.number(column)).transpose()?.flatten();
    Ok(number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
}

async fn greet(connection: &mut AnyConnection, words: &[String]) -> Result<(), sqlx::Error> {
    for text in words {
        connection.execute(sqlx::query(AssertSqlSafe(text.clone()))).await?;
    }
    Ok(())
}

/// A statement of ours with its values bound.
fn query(
    statement: Statement,
) -> Result<sqlx::query::Query<'static, Any, AnyArguments>, StoreError> {
    let mut values = AnyArguments::default();
    for value in statement.values {
        match value {
            Value::Text(text) => values.add(text.map(|text| save::fit(statement.dialect, text))),
            Value::Shared(text) => values.add(save::fit(statement.dialect, text.to_string())),
            Value::Fixed(text) => values.add(text),
            Value::Number(number) => values.add(number),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(sqlx::query_with(AssertSqlSafe(statement.text), values))
}

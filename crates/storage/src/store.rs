//! One door to every engine.

mod points;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use rustsocks_journal::Reader;
use rustsocks_sessions::{CloseReason, Record, Session, SessionId, Status, Table};
use thiserror::Error;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::filter::{Cursor, Filter, Page, Paging, Slice, Sort, Total};
use crate::memory::MemoryStore;
use crate::rollup::{Booked, MINUTE, span_start};
#[cfg(any(feature = "mysql", feature = "postgres"))]
use crate::server::ServerStore;
use crate::spilled::{Finding, Search, Spilled};
#[cfg(feature = "sqlite")]
use crate::sqlite::SqliteStore;
use crate::verify::{Run, WrongRollups};
use crate::windows::{Failures, OnDisk, Statistics, Whole, WindowQuery, Windows};

/// Why the store did not do it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file cannot be opened or made.
    #[error("cannot open {path}: {problem}")]
    Open {
        /// The file.
        path: String,
        /// What is wrong and what to do about it.
        problem: String,
    },
    /// The database server cannot be used as it is configured.
    #[error("{problem}")]
    Server {
        /// What is wrong and what to do about it, without the password.
        problem: String,
    },
    /// Nothing takes connections where the database server is to be, or it takes none yet.
    #[error("{problem}")]
    Away {
        /// What happened and what to do about it, without the password.
        problem: String,
    },
    /// The database server did not answer in time.
    #[error("the database server did not answer within {limit:?}")]
    Timeout {
        /// The time limit of one statement.
        limit: Duration,
    },
    /// The database refused a statement; trying again may help.
    #[cfg(feature = "sql")]
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[cfg(feature = "sql")]
    #[error("the schema could not be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row holds something that no version of this program wrote.
    #[error("the row of session {session_id} cannot be read: column {column} holds {value:?}")]
    Row {
        /// The row.
        session_id: String,
        /// The column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// What is on disk alone cannot be read.
    #[error("the journal cannot be read: {0}")]
    Journal(std::io::Error),
    /// A page lies so deep that it takes too much memory while records wait on disk.
    #[error("while records wait on disk alone, no page lies so deep; use a cursor, or a filter")]
    TooDeep,
    /// It is not known whether the last write was made.
    #[error("it is not known yet whether the last records were saved")]
    Uncertain,
    /// SQLite is too old to be trusted with a write-ahead log.
    #[error("SQLite {found} has the WAL-reset defect; 3.51.3 or newer is needed")]
    SqliteVersion {
        /// The version found.
        found: String,
    },
}

/// What another node says when it is asked to end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is being ended.
    Ending,
    /// It does not run any more.
    Ended,
    /// Nothing, in time.
    Silence,
}

impl Answer {
    /// How it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ending => "ending",
            Self::Ended => "ended",
            Self::Silence => "",
        }
    }

    #[cfg(any(feature = "mysql", feature = "postgres"))]
    fn from_name(name: &str) -> Self {
        if name == Self::Ending.name() { Self::Ending } else { Self::Ended }
    }
}

/// The pause between two looks for an answer.
#[cfg(any(feature = "mysql", feature = "postgres"))]
const ANSWER_PAUSE: Duration = Duration::from_millis(50);

/// Answers that are tried before writes are held up for one, and for how long: a writer that never
/// rests would always be a moment ahead.
const FREE_TRIES: u32 = 5;
const FREE_TIME: Duration = Duration::from_millis(100);

/// How long to wait until what is in the store and what is known here are of one moment.
const CERTAIN_WITHIN: Duration = Duration::from_secs(3);

/// Where records are kept, and the statistics of what is kept.
#[derive(Debug)]
pub struct Store {
    engine: Engine,
    windows: Windows,
    /// Reads what is on disk alone.
    journal: OnceLock<Reader>,
    /// Held while something is written and taken into the windows, so that writes are taken in in
    /// their order.
    writing: Mutex<()>,
}

#[derive(Debug)]
enum Engine {
    /// In memory, bounded.
    Memory(MemoryStore),
    /// In one SQLite file.
    #[cfg(feature = "sqlite")]
    Sqlite(Box<SqliteStore>),
    /// On a database server.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    Server(Box<ServerStore>),
}

impl From<Engine> for Store {
    fn from(engine: Engine) -> Self {
        Self {
            engine,
            windows: Windows::default(),
            journal: OnceLock::new(),
            writing: Mutex::default(),
        }
    }
}

impl From<MemoryStore> for Store {
    fn from(store: MemoryStore) -> Self {
        Engine::Memory(store).into()
    }
}

#[cfg(feature = "sqlite")]
impl From<SqliteStore> for Store {
    fn from(store: SqliteStore) -> Self {
        Engine::Sqlite(Box::new(store)).into()
    }
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
impl From<ServerStore> for Store {
    fn from(store: ServerStore) -> Self {
        Engine::Server(Box::new(store)).into()
    }
}

/// Calls the same method of whichever store it is; the one in memory neither waits nor fails.
macro_rules! each {
    ($self:ident, $store:ident => $call:expr) => {
        match &$self.engine {
            Engine::Memory($store) => Ok($call),
            #[cfg(feature = "sqlite")]
            Engine::Sqlite($store) => $call.await,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Engine::Server($store) => $call.await,
        }
    };
}

impl Store {
    /// The engine's name.
    pub fn engine(&self) -> &'static str {
        match &self.engine {
            Engine::Memory(_) => "memory",
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(_) => "sqlite",
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Engine::Server(store) => store.engine(),
        }
    }

    /// Saves records, all or none. Saving again changes nothing, and an older state never
    /// replaces a newer one.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was saved then, or everything without our hearing of it.
    pub async fn save(&self, records: &[Record]) -> Result<(), StoreError> {
        self.save_batch(records, records.len(), |_| {}).await
    }

    /// Saves records, of which the first `seen` may be there already and the others are new for
    /// certain. `saved` runs once they are saved; for statistics that is one moment.
    ///
    /// # Errors
    /// As [`Store::save`].
    pub async fn save_batch(
        &self,
        records: &[Record],
        seen: usize,
        saved: impl FnOnce(&mut OnDisk<'_>),
    ) -> Result<(), StoreError> {
        let _order = self.begin_to_write().await?;
        let booked = self.write(records, seen).await?;
        self.windows.take_in(&booked, saved);
        Ok(())
    }

    async fn write(&self, records: &[Record], seen: usize) -> Result<Booked, StoreError> {
        let written = match &self.engine {
            Engine::Memory(store) => {
                let _all_the_same = seen;
                Ok(store.save(records))
            }
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(store) => store.save(records, seen).await,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Engine::Server(store) => store.save(records, seen).await,
        };
        written.inspect_err(|_| self.windows.note_unheard())
    }

    /// Waits for its turn to write, and knows how often was written before.
    async fn begin_to_write(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let order = self.writing.lock().await;
        if !self.windows.is_begun() {
            self.windows.begin(each!(self, store => store.version())?);
        }
        Ok(order)
    }

    /// Gives what became of a write that changes nothing but the store. Where it failed, nobody may
    /// try it again, and whether it was made is in the store alone: that is asked before the next
    /// answer. Of sessions whose saving failed as well, the next try tells.
    fn heard<T>(&self, written: Result<T, StoreError>) -> Result<T, StoreError> {
        written.inspect_err(|_| self.windows.forget_writes())
    }

    /// The statistics of the last so many hours, over every record that there is at one moment:
    /// those in the store, and those of `table` whose newest state it does not have yet.
    ///
    /// # Errors
    /// [`StoreError`], also where what was written last is uncertain.
    pub async fn statistics(
        &self,
        query: WindowQuery,
        table: &Table,
    ) -> Result<Statistics, StoreError> {
        self.window(query, table, true, |whole| whole.statistics()).await
    }

    /// What failed or was refused in the last so many hours, as [`Store::statistics`] knows it.
    ///
    /// # Errors
    /// As [`Store::statistics`].
    pub async fn failures(
        &self,
        query: WindowQuery,
        table: &Table,
    ) -> Result<Failures, StoreError> {
        self.window(query, table, true, |whole| whole.failures()).await
    }

    /// Brings windows of statistics up to date at the turn of each minute, so that no question
    /// pays for what left them. Does not end; cancel safe.
    pub async fn follow(&self, table: &Table) {
        loop {
            let millis = table.clock().now().wall.as_millisecond().rem_euclid(MINUTE * 1000);
            // A millisecond later: on the stroke, the minute is within the window still.
            let rest = u64::try_from(MINUTE * 1000 - millis + 1).unwrap_or(1);
            tokio::time::sleep(Duration::from_millis(rest)).await;
            self.advance(table.clock().now().wall, table).await;
        }
    }

    /// Takes off the windows that are asked for now and then what has left them at a time.
    pub async fn advance(&self, now: Timestamp, table: &Table) {
        for hours in self.windows.followed() {
            let query = WindowQuery { hours, top: 0, now };
            if let Err(error) = self.window(query, table, false, |_| ()).await {
                tracing::debug!(%error, hours, "a window of statistics is left for the next question");
            }
        }
    }

    async fn window<T>(
        &self,
        query: WindowQuery,
        table: &Table,
        is_asked: bool,
        tell: impl Fn(&Whole<'_>) -> T,
    ) -> Result<T, StoreError> {
        let tell = &tell;
        self.of_one_moment(|| async move {
            let (plan, wanted) = self.windows.plan(&query);
            let found = each!(self, store => store.sums(&wanted))?;
            Ok(self.windows.answer(&query, plan, found, table, is_asked, tell))
        })
        .await
    }

    /// Asks until what is in the store and what is known here are of one moment; `ask` gives none
    /// where they are not.
    async fn of_one_moment<T, Asked: Future<Output = Result<Option<T>, StoreError>>>(
        &self,
        ask: impl Fn() -> Asked,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        for tries in 0.. {
            // Before each try: a write that failed may have it begin anew.
            if !self.windows.is_begun() {
                drop(self.begin_to_write().await?);
            }
            let is_free = tries < FREE_TRIES && began.elapsed() < FREE_TIME;
            let _order = if is_free { None } else { Some(self.hold_up_writes().await?) };
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            if !is_free && began.elapsed() > CERTAIN_WITHIN {
                break;
            }
            self.windows.wait().await;
        }
        Err(StoreError::Uncertain)
    }

    /// Keeps further writes waiting.
    async fn hold_up_writes(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let order = tokio::time::timeout(CERTAIN_WITHIN, self.writing.lock()).await;
        order.map_err(|_| StoreError::Uncertain)
    }

    /// Bytes by the span in which they flowed, of one user or of all: start, in seconds since
    /// 1970, to destinations, from them. Spans without any are left out. What the store does not
    /// have of `table` yet counts as flowing at `now`.
    ///
    /// `span` is a multiple of an hour; the range is one of seconds, its end left out.
    ///
    /// # Errors
    /// [`StoreError`], also where what was written last is uncertain.
    pub async fn usage(
        &self,
        user: Option<&str>,
        span: i64,
        range: (i64, i64),
        table: &Table,
        now: Timestamp,
    ) -> Result<Vec<(i64, i64, i64)>, StoreError> {
        let (mut usage, (sent, received)) = self
            .of_one_moment(|| async move {
                let usage = each!(self, store => store.usage(user, span, range))?;
                let unsaved = self.windows.unsaved_bytes(usage.own, user, table);
                Ok(unsaved.map(|unsaved| (usage.spans, unsaved)))
            })
            .await?;
        let start = span_start(now.as_millisecond(), span);
        if (sent, received) != (0, 0) && (range.0..range.1).contains(&now.as_second()) {
            match usage.iter_mut().find(|part| part.0 == start) {
                Some(part) => *part = (start, part.1 + sent, part.2 + received),
                None => usage.push((start, sent, received)),
            }
        }
        Ok(usage)
    }

    /// What this process has counted since its start of the sessions of `table`, without what the
    /// store does not have yet: what their rows must say after so many writes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn counted_of_run(&self, table: &Table) -> Result<Run, StoreError> {
        if !self.windows.is_begun() {
            drop(self.begin_to_write().await?);
        }
        Ok(self.windows.counted(table))
    }

    /// What the rows of a run say: those of a node whose ids are not before `first`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rows_of_run(&self, node: &str, first: SessionId) -> Result<Run, StoreError> {
        each!(self, store => store.rows_of_run(node, first))
    }

    /// Whether the run of a node that begins with this id writes here. What has no nodes does not
    /// know: that is a no.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_of_run(&self, node: &str, first: SessionId) -> Result<bool, StoreError> {
        match &self.engine {
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Engine::Server(store) => {
                let run = first.to_string();
                let nodes = store.nodes().await?;
                Ok(nodes.iter().any(|row| row.node_id == node && row.run_id == run))
            }
            _ => {
                let _nobody_told = (node, first);
                Ok(false)
            }
        }
    }

    /// Counts an ended session that leaves memory for the disk, if `remove` says that it did.
    pub fn spill(&self, session: &Session, remove: &dyn Fn() -> bool) -> bool {
        self.windows.spill(session, remove)
    }

    /// Sets who reads ended sessions that are on disk alone. The first call counts.
    pub fn read_spilled(&self, journal: Reader) {
        let _first = self.journal.set(journal);
    }

    /// Saves ended sessions that were on disk alone: those of a segment that begin at a byte or
    /// before it, as far as they were not saved before.
    ///
    /// # Errors
    /// As [`Store::save`].
    pub async fn save_spilled(
        &self,
        records: &[Record],
        segment: u64,
        up_to: u32,
    ) -> Result<(), StoreError> {
        let _order = self.begin_to_write().await?;
        let booked = self.write(records, records.len()).await?;
        self.windows.take_in_spilled(&booked, segment, up_to);
        Ok(())
    }

    /// Forgets where the rest of a segment lies: it could not be read.
    pub fn forget_spilled(&self, segment: u64) {
        self.windows.forget_spilled(segment);
    }

    /// Runs `work`, which reads the journal, where it holds nobody up.
    async fn read_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader) -> std::io::Result<T> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let Some(journal) = self.journal.get().cloned() else { return Ok(None) };
        let work = tokio::task::spawn_blocking(move || work(&journal)).await;
        let done = work.map_err(std::io::Error::other).flatten();
        done.map(Some).map_err(StoreError::Journal)
    }

    /// The record of a session that is in the store, or on disk alone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, id: SessionId) -> Result<Option<Record>, StoreError> {
        // First the disk: what leaves it is in the store by then.
        let spilled = self.windows.spilled();
        if !spilled.is_empty() {
            let found = self.read_disk(move |journal| spilled.find(journal, id)).await?;
            if let Some(record) = found.flatten() {
                return Ok(Some(record));
            }
        }
        each!(self, store => store.find(id))
    }

    /// Part of the history as the store alone has it, at most `size` records.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn history(
        &self,
        filter: &Filter,
        sort: Sort,
        paging: Paging,
        size: usize,
    ) -> Result<Page, StoreError> {
        let (slice, _) = Slice::of(paging, size, 0)?;
        let part = each!(self, store => store.history(filter, sort, slice, Total::Counted, &[]))?;
        Ok(Page::new(part.records, size, part.total, sort))
    }

    /// Part of the history of one moment, at most `size` records: what the store has, and what
    /// has ended in `table` and is not in the store yet, in memory or on disk alone.
    ///
    /// # Errors
    /// [`StoreError`], also where what was written last is uncertain.
    pub async fn whole_history(
        &self,
        filter: &Filter,
        sort: Sort,
        paging: Paging,
        size: usize,
        table: &Table,
    ) -> Result<Page, StoreError> {
        self.merged(filter, sort, paging, size, Total::Counted, table).await
    }

    /// Ended sessions, the newest end first, behind a place: at most `size`, with the place behind
    /// them where there are more. As [`Store::whole_history`] and cheaper, for it does not count.
    ///
    /// # Errors
    /// [`StoreError`], also where what was written last is uncertain.
    pub async fn walk(
        &self,
        filter: &Filter,
        behind: Option<Cursor>,
        size: usize,
        table: &Table,
    ) -> Result<Page, StoreError> {
        let paging = behind.map_or(Paging::Page(0), Paging::Behind);
        self.merged(filter, Sort::default(), paging, size, Total::Left, table).await
    }

    async fn merged(
        &self,
        filter: &Filter,
        sort: Sort,
        paging: Paging,
        size: usize,
        total: Total,
        table: &Table,
    ) -> Result<Page, StoreError> {
        self.of_one_moment(|| async move {
            let look = || {
                let ended = table.unsaved();
                let is_known = |session: &&Arc<Session>| session.booked().is_some();
                let former = ended.iter().filter(is_known).map(|session| session.id());
                let former: Vec<SessionId> = former.collect();
                let records = ended.iter().map(|session| session.snapshot());
                let suits = |record: &Record| filter.matches(record);
                (ended.len(), former, records.filter(suits).collect::<Vec<Record>>())
            };
            let (own, (waiting, mut former, unsaved), spilled) = self.windows.look(look);
            former.extend(spilled.former());
            let former = &former;
            let ask = |slice: Slice| async move {
                each!(self, store => store.history(filter, sort, slice, total, former))
            };
            let (slice, mut before) = Slice::of(paging, size, waiting + spilled.len())?;
            let mut part = ask(slice).await?;
            if !part.named.is_empty() {
                // Where former states stand among the others is not known: none is passed over.
                let (slice, all_before) = Slice::of(paging, size, usize::MAX)?;
                before = all_before;
                part =
                    ask(Slice { take: slice.take.saturating_add(former.len()), ..slice }).await?;
                part.leave_out_named();
            }
            if own != Some(part.own) {
                return Ok(None);
            }
            let most = before.saturating_add(size).saturating_add(1);
            let behind = slice.behind;
            let search = Search { filter: filter.clone(), sort, behind, most, total };
            let Some(on_disk) = self.search(&spilled, search).await? else { return Ok(None) };
            let total = part.total + unsaved.len() as u64 + on_disk.total;
            let mut records = part.records;
            let is_behind = |record: &Record| behind.is_none_or(|cursor| cursor.is_before(record));
            records.extend(unsaved.into_iter().filter(is_behind));
            records.extend(on_disk.records);
            records.sort_by(|left, right| sort.compare(left, right));
            records.drain(..before.min(records.len()));
            Ok(Some(Page::new(records, size, total, sort)))
        })
        .await
    }

    /// What a search finds of the sessions that are on disk alone; none where some of them are not
    /// any more.
    async fn search(
        &self,
        spilled: &Spilled,
        wanted: Search,
    ) -> Result<Option<Finding>, StoreError> {
        if spilled.is_empty() {
            return Ok(Some(Finding::default()));
        }
        let spilled = spilled.clone();
        let found = self.read_disk(move |journal| spilled.search(journal, &wanted)).await?;
        Ok(found.flatten())
    }

    /// Ends the rows that this node's last run left open: `failed`, `server_crash`, at the time
    /// they were last known. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_crashed(&self, node: &str) -> Result<u64, StoreError> {
        let mut closed = 0;
        loop {
            let _order = self.begin_to_write().await?;
            match self.heard(each!(self, store => store.close_crashed(node)))? {
                None => return Ok(closed),
                Some(booked) => {
                    closed += booked.rows;
                    self.windows.take_in_change(&booked);
                }
            }
        }
    }

    /// The oldest sessions that ended before a time, at most `most`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn oldest(&self, before: Timestamp, most: usize) -> Result<Vec<Record>, StoreError> {
        each!(self, store => store.oldest(before, most))
    }

    /// Deletes sessions. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete(&self, ids: &[SessionId]) -> Result<u64, StoreError> {
        let _order = self.begin_to_write().await?;
        let booked = self.heard(each!(self, store => store.delete(ids)))?;
        self.windows.take_in_change(&booked);
        Ok(booked.rows)
    }

    /// Forgets what was used before a time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_usage(&self, before: Timestamp) -> Result<(), StoreError> {
        let before = span_start(before.as_millisecond(), crate::rollup::HOUR);
        each!(self, store => store.forget_usage(before))
    }

    /// Has no more rows of the minute at a window's edge read one by one than this, for tests.
    #[doc(hidden)]
    pub fn bound_edges(mut self, most: usize) -> Self {
        self.windows.bound_edges(most);
        self
    }

    /// How many names the windows of statistics hold in all, for tests.
    #[doc(hidden)]
    pub fn names_held(&self) -> usize {
        self.windows.names()
    }

    /// How the engine means to find a part of the history and to count all of it, for tests.
    ///
    /// # Errors
    /// [`StoreError`].
    #[cfg(feature = "sql")]
    #[doc(hidden)]
    pub async fn explain(
        &self,
        filter: &Filter,
        sort: Sort,
        paging: Paging,
        size: usize,
    ) -> Result<Vec<Vec<String>>, StoreError> {
        let (slice, _) = Slice::of(paging, size, 0)?;
        match &self.engine {
            Engine::Memory(_) => Ok(Vec::new()),
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(store) => store.explain(filter, sort, slice).await,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Engine::Server(store) => store.explain(filter, sort, slice).await,
        }
    }

    /// The rollups that differ from what counting the rows gives.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn wrong_rollups(&self) -> Result<WrongRollups, StoreError> {
        match &self.engine {
            Engine::Memory(_) => Ok(WrongRollups::default()),
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(store) => store.wrong_rollups().await,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Engine::Server(store) => store.wrong_rollups().await,
        }
    }

    /// The SQLite file, where that is what it is, for tests.
    #[cfg(feature = "sqlite")]
    #[doc(hidden)]
    pub fn sqlite(&self) -> Option<&SqliteStore> {
        match &self.engine {
            Engine::Sqlite(store) => Some(store),
            _ => None,
        }
    }

    /// The whole path of the SQLite file, where that is what it is.
    pub fn file(&self) -> Option<std::path::PathBuf> {
        match &self.engine {
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(store) => store.file(),
            _ => None,
        }
    }

    /// The database server, where that is what it is: several nodes may share it.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub fn server(&self) -> Option<&ServerStore> {
        match &self.engine {
            Engine::Server(store) => Some(store),
            _ => None,
        }
    }

    /// Where a damaged database lies that this one took the place of at the start.
    pub fn quarantined(&self) -> Option<&std::path::Path> {
        match &self.engine {
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(store) => store.quarantined(),
            _ => None,
        }
    }

    /// Whether several nodes may keep their records here.
    pub fn is_shared(&self) -> bool {
        match &self.engine {
            Engine::Memory(_) => false,
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(_) => false,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Engine::Server(_) => true,
        }
    }

    /// Asks another node that shares this store to end a session, and waits for its answer.
    /// `detail` goes into the record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ask_elsewhere(
        &self,
        session: SessionId,
        node: &str,
        detail: &str,
        patience: Duration,
    ) -> Result<Answer, StoreError> {
        match &self.engine {
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Engine::Server(store) => {
                let command = store.ask_stop(session, node, detail).await?;
                let began = tokio::time::Instant::now();
                while began.elapsed() < patience {
                    if let Some(answer) = store.answer_to(command).await? {
                        return Ok(Answer::from_name(&answer));
                    }
                    tokio::time::sleep(ANSWER_PAUSE).await;
                }
                Ok(Answer::Silence)
            }
            _ => {
                let _nobody_to_ask = (session, node, detail, patience);
                Ok(Answer::Silence)
            }
        }
    }

    /// How many records it holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count(&self) -> Result<u64, StoreError> {
        each!(self, store => store.count())
    }

    /// Closes it. Later calls fail.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Memory(_) => {}
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(store) => store.close().await,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Engine::Server(store) => store.close().await,
        }
    }
}

/// Whether a state of a session takes the place of the one that is known; `save_tail.sql` says the
/// same to the databases.
pub(crate) fn replaces(record: &Record, known: &Record) -> bool {
    // As it is stored: whole milliseconds.
    let updated = |record: &Record| record.updated_at.as_millisecond();
    match known.close_reason {
        None => {
            record.close_reason.is_some_and(|reason| reason != CloseReason::ServerCrash)
                || updated(record) >= updated(known)
        }
        Some(CloseReason::ServerCrash) => updated(record) > updated(known),
        Some(_) => false,
    }
}

/// A state that a dead process left open, ended when it was last known alive, never "now".
pub(crate) fn crashed(open: Record) -> Record {
    let end = open.updated_at.max(open.start_time);
    Record {
        end_time: Some(end),
        duration: Some(end.duration_since(open.start_time).unsigned_abs()),
        status: Status::Failed,
        close_reason: Some(CloseReason::ServerCrash),
        updated_at: end,
        ..open
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rustsocks_sessions::{AclOutcome, Clock, Identity, Opening, Rules};

    use super::*;

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn sessions_saved_without_our_hearing_of_it_are_never_counted_twice() {
        use sqlx::{Connection as _, Executor as _, SqliteConnection};

        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("sessions.db");
        let table = Table::new(Clock::system(), "node".into(), Rules::default());
        let now = table.clock().now().wall;
        let options = crate::SqliteOptions {
            path: path.clone(),
            durability: crate::Durability::Normal,
            backup_keep: 0,
            now,
            readers_niceness: None,
        };
        let store: Store = SqliteStore::open(&options).await.unwrap().0.into();
        let connect = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let mut holder = SqliteConnection::connect_with(&connect).await.unwrap();
        let sessions = async || {
            let query = WindowQuery { hours: 1, top: 10, now };
            store.statistics(query, &table).await.map(|found| found.total.sessions)
        };
        let ended = table.open(Opening {
            identity: Identity::Anonymous("somebody".into()),
            source: "198.51.100.7:4000".parse().unwrap(),
            target: None,
            command: None,
            acl: AclOutcome::Off,
        });
        ended.finish(CloseReason::ClientClosed, None);
        let session = table.unsaved().remove(0);
        let records = [session.snapshot()];
        assert_eq!(sessions().await.unwrap(), 1);
        // The batch is refused as far as anybody hears, and made all the same.
        holder.execute("BEGIN IMMEDIATE").await.unwrap();
        store.save(&records).await.unwrap_err();
        holder.execute("ROLLBACK").await.unwrap();
        store.write(&records, 1).await.unwrap();
        // Then a delete fails, and one succeeds, before the batch is tried again.
        let nobody = ["00000000-0000-7000-8000-000000000001".parse().unwrap()];
        holder.execute("BEGIN IMMEDIATE").await.unwrap();
        store.delete(&nobody).await.unwrap_err();
        holder.execute("ROLLBACK").await.unwrap();
        assert!(matches!(sessions().await, Err(StoreError::Uncertain)));
        store.delete(&nobody).await.unwrap();
        assert!(matches!(sessions().await, Err(StoreError::Uncertain)));
        let book = |_: &mut OnDisk<'_>| session.book(0, 0);
        store.save_batch(&records, 1, book).await.unwrap();
        table.saved([&session].into_iter(), |_| {});
        assert_eq!(sessions().await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_under_way_when_writes_are_forgotten_begins_anew() {
        let store: Store = MemoryStore::new(10).into();
        let asked = Cell::new(0);
        let began = Instant::now();
        let ask = || async {
            if asked.replace(asked.get() + 1) == 0 {
                store.windows.forget_writes();
            }
            Ok(store.windows.is_begun().then_some(()))
        };
        store.of_one_moment(ask).await.unwrap();
        assert_eq!(asked.get(), 2);
        assert!(began.elapsed() < FREE_TIME, "writes were never held up");
    }

    #[tokio::test]
    async fn at_a_minutes_turn_windows_advance_before_anybody_asks() {
        let rules = Rules::default();
        let table = Table::new(Clock::system(), "node".into(), rules);
        let store: Store = MemoryStore::new(10).into();
        let at = |second: i64| Timestamp::from_second(3_000_000 + second).unwrap();
        let query = |second: i64| WindowQuery { hours: 1, top: 10, now: at(second) };
        store.statistics(query(5), &table).await.unwrap();
        let needs = |second: i64| store.windows.plan(&query(second)).1;
        assert!(needs(50).edge.is_none() && needs(61).edge.is_some());
        store.advance(at(61), &table).await;
        let wanted = needs(62);
        assert!(wanted.edge.is_none() && wanted.ranges.is_empty(), "{wanted:?}");
    }
}

//! Wiring, signals, and the phases in which the program stops.
//!
//! Stop accepting, let clients finish, cut the rest, flush the ledger, stop the API, close the
//! store. A second signal cuts the grace short, never the flush.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use std::time::Duration;

use anyhow::Context as _;
use rustsocks_access::acl::{Acl, AclWatch};
use rustsocks_access::auth::Authenticator;
use rustsocks_access::operators::Operators;
use rustsocks_api::{Api, Effective, Ledger, Options, PoolSource, PoolState, Reload};
use rustsocks_journal::Journal;
use rustsocks_server::{
    Authentication as ServerAuthentication, Notice, Server, Settings, Shutdown,
};
use rustsocks_sessions::clock::watch_steps;
use rustsocks_sessions::{Clock, Table};
#[cfg(any(feature = "mysql", feature = "postgres"))]
use rustsocks_storage::Membership;
use rustsocks_storage::{Recorder, Report, Retention, Store, StoreNotice};
use rustsocks_telemetry::{Events, logging};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{ApiConfig, Authentication, Config, LedgerConfig, StorageConfig};
use crate::history::{self, History};
use crate::{notices, runtime, storage};

/// Bad configuration that shows only when it is put to use.
const EXIT_CONFIGURATION: u8 = 2;
/// Some record could not be made durable.
const EXIT_LOST: u8 = 3;
/// The server could not run.
const EXIT_FAILED: u8 = 4;

/// Runs the server until it is told to stop; gives the program's exit code.
pub(crate) fn run(config: Config) -> ExitCode {
    if let Err(error) = logging::init(config.log.0, config.log.1) {
        return fail(EXIT_FAILED, &error.into());
    }
    raise_descriptor_limit();
    let runtimes = runtime::serving().and_then(|serving| Ok((serving, runtime::answering()?)));
    let (serving, answering) = match runtimes {
        Ok(runtimes) => runtimes,
        Err(error) => return fail(EXIT_FAILED, &error.into()),
    };
    let code = match serving.block_on(start(config, answering.handle())) {
        Ok(running) => serving.block_on(running.until_stopped()),
        Err(error) => fail(EXIT_CONFIGURATION, &error),
    };
    // Whatever still hangs in a blocking call does not hold up the exit.
    serving.shutdown_background();
    answering.shutdown_background();
    code
}

fn fail(code: u8, error: &anyhow::Error) -> ExitCode {
    // One line: the log may not be set up yet. Some errors tell their cause themselves.
    let mut line = "rustsocks".to_owned();
    for cause in error.chain().map(ToString::to_string) {
        if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line.push('\n');
    let _unheard = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    ExitCode::from(code)
}

/// A session takes two descriptors and the default soft limit is 1024.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

/// The parts that were started.
struct Running {
    config: Config,
    server: Arc<Server>,
    listener: TcpListener,
    authenticator: Option<Authenticator>,
    operators: Option<Operators>,
    acl: Acl,
    events: Events,
    table: Table,
    ledger: Option<(Ledger, AtWork)>,
    history: Option<History>,
    api: Option<JoinHandle<()>>,
    helpers: TaskTracker,
    /// Cancelled when clients are no longer accepted.
    stopping: CancellationToken,
    /// Cancelled when no session is left and the rest may stop.
    ending: CancellationToken,
    /// Cancelled when the ledger is flushed.
    flushed: CancellationToken,
    signals: Signals,
}

/// Who is at work on the ledger.
struct AtWork {
    recording: JoinHandle<Option<Report>>,
    membership: JoinHandle<()>,
    retention: JoinHandle<()>,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
    /// Caught so that a limit on file sizes is an error of one write, not the end of the process.
    _file_too_large: Signal,
}

async fn start(mut config: Config, answering: &Handle) -> anyhow::Result<Running> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        reload: signal(SignalKind::hangup())?,
        _file_too_large: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
    };
    let clock = Clock::system();
    let wall = clock.clone();
    let events = Events::new(config.events, move || wall.now().wall);
    let table = Table::new(clock, config.node.as_str().into(), config.sessions.clone());
    let anonymous = config.acl.anonymous_user.clone();
    let acl = match &config.acl.file {
        Some(file) => Acl::from_file(file, anonymous)?,
        None => Acl::off(anonymous),
    };
    let authentication = std::mem::replace(&mut config.authentication, Authentication::None);
    let authenticator = match authentication {
        Authentication::None => None,
        Authentication::UserPass(users) => Some(Authenticator::new(users)?),
    };
    let operators = match config.operators.take() {
        Some(settings) => Some(Operators::new(settings)?),
        None => None,
    };
    let helpers = TaskTracker::new();
    let (stopping, ending, flushed) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("server.bind_address and bind_port: cannot listen on {}", config.listen)
    })?;
    let api_listener = match &config.api {
        Some(api) => Some(TcpListener::bind(api.listen).await.with_context(|| {
            format!("sessions.stats_api_port: cannot listen on {}", api.listen)
        })?),
        None => None,
    };
    let api_at = match config.api.as_ref().zip(api_listener.as_ref()) {
        Some((form, listener)) => url(form, listener)?,
        None => "off".to_owned(),
    };
    let own = [Some(&listener), api_listener.as_ref()].into_iter().flatten();
    let own = own.map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    let server = build_server(&config, &acl, &table, &events, authenticator.clone(), own)?;
    let ledger = open_ledger(&config, &table, &events, &ending, &helpers).await?;
    let history = config.history.as_ref().map(|form| {
        let ledger = ledger.as_ref().map(|(ledger, _)| ledger);
        history::begin(form, &table, ledger, &ending, &helpers)
    });
    let points = history.as_ref().map(|history| history.points.clone());
    let ledger_of_api = ledger.as_ref().map(|(ledger, _)| ledger.clone());
    let settings = std::mem::take(&mut config.settings);
    let api = config.api.as_ref().zip(api_listener).map(|(form, listener)| {
        let api = Api {
            table: table.clone(),
            ledger: ledger_of_api,
            acl: acl.clone(),
            reload: reload_of(&acl, &events),
            operators: operators.clone(),
            events: events.clone(),
            points: points.clone(),
            pool: pool_source(&server),
            effective: Effective { file: config.path.clone(), settings: Arc::new(settings) },
            #[cfg(feature = "metrics")]
            metrics: crate::metrics::page(form.metrics, &server, &table, &events, ledger.as_ref()),
            started: Instant::now(),
            stopping: stopping.clone(),
            options: Options {
                base_path: form.base_path.clone(),
                swagger: form.swagger,
                dashboard: form.dashboard,
                stats_window_hours: form.stats_window_hours,
                trusted_proxies: form.trusted_proxies.clone(),
            },
        };
        helpers.spawn_on(api.serve(listener, flushed.clone()), answering)
    });
    watch_clock(&table, &events, &ending, &helpers);
    watch_rules(&config, &acl, &events, &ending, &helpers);
    let metrics = config.api.as_ref().is_some_and(|api| api.metrics);
    let socks = listener.local_addr()?;
    tracing::info!(%socks, api = %api_at, metrics, node = %config.node, "serving");
    Ok(Running {
        config,
        server,
        listener,
        authenticator,
        operators,
        acl,
        events,
        table,
        ledger,
        history,
        api,
        helpers,
        stopping,
        ending,
        flushed,
        signals,
    })
}

/// Lets the API have the access rules read again, as a signal does.
fn reload_of(acl: &Acl, events: &Events) -> Reload {
    let (acl, events) = (acl.clone(), events.clone());
    Reload::new(move || {
        let reload = acl.reload();
        notices::from_reload(&events, &reload);
        reload
    })
}

/// Tells the API of the spare connections.
fn pool_source(server: &Arc<Server>) -> PoolSource {
    let server = Arc::clone(server);
    PoolSource::new(move || {
        let pool = server.pool()?;
        let (settings, figures) = (pool.settings(), pool.figures());
        Some(PoolState {
            idle: pool.idle(),
            max_idle_per_dest: settings.max_idle_per_dest,
            max_total_idle: settings.max_total_idle,
            opened: figures.opened.load(Relaxed),
            reused: figures.reused.load(Relaxed),
            expired: figures.expired.load(Relaxed),
            dropped: figures.dropped.load(Relaxed),
            evicted: figures.evicted.load(Relaxed),
            destinations: pool.shelves(),
        })
    })
}

/// The API's address for people; the port is the one really bound.
fn url(api: &ApiConfig, listener: &TcpListener) -> std::io::Result<String> {
    Ok(format!("http://{}{}", listener.local_addr()?, api.base_path))
}

async fn open_ledger(
    config: &Config,
    table: &Table,
    events: &Events,
    ending: &CancellationToken,
    helpers: &TaskTracker,
) -> anyhow::Result<Option<(Ledger, AtWork)>> {
    let Some(form) = &config.ledger else { return Ok(None) };
    if let Some(archive) = &form.archive {
        archive.prepare().with_context(|| {
            let folder = archive.folder.display();
            format!("sessions.archive_dir: cannot write into {folder}; name a folder where this user may")
        })?;
    }
    let now = table.clock().now().wall;
    let folder = form.journal.as_ref().map(|options| options.folder.as_path());
    let store = storage::open(&form.storage, &config.node, folder, events, now).await;
    let store = store.context("sessions.database_url")?;
    let store = Arc::new(store);
    // Cancelled when the ledger is flushed: until then this node is alive.
    let flushed = CancellationToken::new();
    let opened = async {
        let membership = join(&form.storage, table, &store, events, &flushed).await?;
        Ok::<_, anyhow::Error>((membership, open_journal(form, table, events)?))
    };
    let (membership, journal) = match opened.await {
        Ok(opened) => opened,
        Err(error) => {
            // In order: the next start has no reason to look for damage.
            store.close().await;
            return Err(error);
        }
    };
    if let (StorageConfig::Server(server), Some(folder)) = (&form.storage, folder) {
        storage::server::note_reached(server, &store, folder);
    }
    let sink = events.clone();
    let notice = move |notice: StoreNotice| notices::from_store(&sink, notice);
    let recorder = Recorder::new(table.clone(), Arc::clone(&store), form.recorder.clone(), notice);
    let recorder = match &journal {
        Some(journal) => recorder.with_journal(journal.clone()),
        None => recorder,
    };
    let (figures, flusher) = (recorder.figures(), recorder.flusher());
    let recording = helpers.spawn(recorder.run(ending.clone()));
    let stop = ending.clone();
    let recording = helpers.spawn(async move {
        let report = recording.await;
        // It ends early by a fault alone; this node is alive until the program stops all the same.
        stop.cancelled().await;
        flushed.cancel();
        report.ok()
    });
    let membership = helpers.spawn(membership);
    let retention = Retention {
        keep: form.keep,
        interval: form.cleanup_interval,
        archive: form.archive.clone(),
    };
    let retention = retention.run(Arc::clone(&store), table.clock().clone(), ending.clone());
    let at_work = AtWork { recording, membership, retention: helpers.spawn(retention) };
    Ok(Some((Ledger { store, journal, figures, flusher }, at_work)))
}

fn open_journal(
    form: &LedgerConfig,
    table: &Table,
    events: &Events,
) -> anyhow::Result<Option<Journal>> {
    let Some(options) = &form.journal else { return Ok(None) };
    let sink = events.clone();
    let notice = move |notice| notices::from_journal(&sink, &notice);
    let journal = Journal::open(options.clone(), table.clone(), notice);
    Ok(Some(journal.context("sessions.journal_dir")?))
}

/// This node's duties among those that share the database, until the ledger is flushed.
#[cfg(any(feature = "mysql", feature = "postgres"))]
async fn join(
    storage: &StorageConfig,
    table: &Table,
    store: &Arc<Store>,
    events: &Events,
    flushed: &CancellationToken,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let lease = match storage {
        StorageConfig::Server(config) => config.lease,
        _ => Duration::MAX,
    };
    let sink = events.clone();
    let notice = move |notice| notices::from_membership(&sink, notice);
    let membership = Membership::join(table.clone(), Arc::clone(store), lease, notice).await;
    let membership = membership.context("sessions.node_id")?;
    let flushed = flushed.clone();
    Ok(async move {
        membership.run(&flushed).await;
        membership.leave().await;
    })
}

/// No storage that is compiled in can be shared.
#[cfg(not(any(feature = "mysql", feature = "postgres")))]
async fn join(
    _storage: &StorageConfig,
    _table: &Table,
    _store: &Arc<Store>,
    _events: &Events,
    _flushed: &CancellationToken,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    Ok(std::future::ready(()))
}

fn build_server(
    config: &Config,
    acl: &Acl,
    table: &Table,
    events: &Events,
    authenticator: Option<Authenticator>,
    own: Vec<SocketAddr>,
) -> anyhow::Result<Arc<Server>> {
    let form = &config.server;
    let settings = Settings {
        max_connections: form.max_connections,
        handshake_timeout: form.handshake_timeout,
        connect_timeout: form.connect_timeout,
        bind_timeout: config.sessions.idle,
        egress: form.egress,
        dns: form.dns.clone(),
        pool: form.pool.clone(),
        pipes: form.splice_pipes,
        authentication: match authenticator {
            Some(authenticator) => ServerAuthentication::UserPass(authenticator),
            None => ServerAuthentication::None,
        },
        own,
    };
    let sink = events.clone();
    let notices = Arc::new(move |notice: Notice| notices::from_server(&sink, notice));
    Server::new(settings, acl.clone(), table.clone(), notices).context("dns")
}

/// Tells operators when the machine's clock is set: sessions do not mind, readers of times do.
fn watch_clock(table: &Table, events: &Events, ending: &CancellationToken, helpers: &TaskTracker) {
    let (events, ending) = (events.clone(), ending.clone());
    let report = move |step| notices::from_clock(&events, step);
    let watching = watch_steps(table.clock().clone(), report);
    helpers.spawn(async move {
        ending.run_until_cancelled(watching).await;
    });
}

fn watch_rules(
    config: &Config,
    acl: &Acl,
    events: &Events,
    ending: &CancellationToken,
    helpers: &TaskTracker,
) {
    let Some(watch) = config.acl.watch.then(|| AclWatch::new(acl)).flatten() else { return };
    if let Some(error) = watch.without_signs() {
        tracing::warn!(%error, "no signs of file changes; looking every five seconds instead");
    }
    let (events, ending) = (events.clone(), ending.clone());
    helpers.spawn(async move {
        let report = |reload| notices::from_reload(&events, &reload);
        ending.run_until_cancelled(watch.run(report)).await;
    });
}

impl Running {
    /// Serves until a signal, then stops phase by phase.
    async fn until_stopped(mut self) -> ExitCode {
        let hurry = CancellationToken::new();
        let shutdown = Shutdown {
            stop: self.stopping.clone(),
            hurry: hurry.clone(),
            grace: self.config.server.shutdown_grace,
        };
        let mut serving = {
            let server = Arc::clone(&self.server);
            let listener = self.listener;
            self.helpers.spawn(server.run(listener, shutdown))
        };
        let served = loop {
            tokio::select! {
                served = &mut serving => break served,
                _ = self.signals.reload.recv() => {
                    if self.acl.is_on() {
                        notices::from_reload(&self.events, &self.acl.reload());
                    }
                    let (clients, operators) = (self.authenticator.as_ref(), self.operators.as_ref());
                    if let Some(path) = &self.config.path {
                        let reload = reload_users(path, &self.acl, clients, operators);
                        notices::from_users(&self.events, reload);
                    }
                }
                _ = self.signals.terminate.recv() => stop(&self.stopping, &hurry),
                _ = self.signals.interrupt.recv() => stop(&self.stopping, &hurry),
            }
        };
        if !matches!(served, Ok(Ok(()))) {
            tracing::error!(?served, "the server stopped by itself");
        }
        self.ending.cancel();
        let mut code = match served {
            Ok(Ok(())) => ExitCode::SUCCESS,
            _ => ExitCode::from(EXIT_FAILED),
        };
        if let Some((ledger, at_work)) = self.ledger {
            let recorded = matches!(at_work.recording.await, Ok(Some(_)));
            let journaled = close_journal(ledger.journal).await;
            if let Some(history) = self.history {
                history.finish().await;
            }
            // Neither stops half-way, and nobody would close what they open behind the store. A panic
            // in one was logged where it happened.
            let _left = at_work.membership.await;
            let _stopped = at_work.retention.await;
            ledger.store.close().await;
            let outbox = self.table.outbox();
            let (saved, unsaved, lost) = (outbox.saved(), outbox.unsaved(), outbox.lost());
            if lost == 0 && recorded && unsaved == 0 {
                tracing::info!(sessions = saved, "every session is recorded");
            } else if lost == 0 && journaled {
                tracing::warn!(
                    sessions = unsaved,
                    "the store did not take these; they are in the journal for the next start"
                );
            } else {
                tracing::error!(lost, unsaved, "some records could not be made durable");
                code = ExitCode::from(EXIT_LOST);
            }
        }
        self.flushed.cancel();
        self.helpers.close();
        if let Some(api) = self.api {
            // It bounds its own end; a panic in it was logged where it happened.
            let _ended = api.await;
        }
        self.helpers.wait().await;
        code
    }
}

/// Whether everything that the store lacks is in the journal.
async fn close_journal(journal: Option<Journal>) -> bool {
    let Some(journal) = journal else { return false };
    let closing = tokio::task::spawn_blocking(move || journal.close());
    closing.await.unwrap_or(false)
}

/// The first signal stops accepting, the second cuts the grace short.
fn stop(stopping: &CancellationToken, hurry: &CancellationToken) {
    match stopping.is_cancelled() {
        false => {
            tracing::info!("stopping: no new clients; signal again to cut the others");
            stopping.cancel();
        }
        true => hurry.cancel(),
    }
}

/// Puts the users of the configuration file in force, those of the proxy and those of the API;
/// returns how many there are. All of them or, where something is wrong, none: what takes a
/// restart is wrong here.
fn reload_users(
    path: &Path,
    acl: &Acl,
    authenticator: Option<&Authenticator>,
    operators: Option<&Operators>,
) -> anyhow::Result<usize> {
    let restart = |key| anyhow::anyhow!("{key} has changed; restart to put it in force");
    let config = Config::load(path)?;
    if config.acl.file.is_some() != acl.is_on() {
        return Err(restart("acl.enabled"));
    }
    let clients = match (authenticator, config.authentication) {
        (Some(authenticator), Authentication::UserPass(users)) => Some((authenticator, users)),
        (None, Authentication::None) => None,
        _ => return Err(restart("auth.socks_method")),
    };
    let settings = match (operators, config.operators) {
        (Some(operators), Some(settings)) => Some((operators, settings)),
        (None, None) => None,
        _ => return Err(restart("sessions.dashboard_auth.enabled")),
    };
    let mut count = 0;
    if let Some((authenticator, users)) = clients {
        authenticator.replace(users)?;
        count += authenticator.user_count();
    }
    if let Some((operators, settings)) = settings {
        operators.replace(settings.users, settings.tokens)?;
        count += operators.count();
    }
    Ok(count)
}

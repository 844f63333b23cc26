//! The server: what it is made of, and the phases in which it stops.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rustsocks_access::acl::Acl;
use rustsocks_access::auth::Authenticator;
use rustsocks_relay::PipePool;
use rustsocks_relay::udp::Drops;
use rustsocks_sessions::{CloseReason, Table, UserName};
use rustsocks_telemetry::Histogram;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth_failures::AuthFailures;
use crate::dial::Dialer;
use crate::listener;
use crate::notice::Notice;
use crate::pool::{Pool, PoolSettings};
use crate::resolve::{DnsSettings, ResolveError, Resolver};
use crate::revoke;

/// How often sessions are looked at for publishing, interim records and idle limits.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

/// How long sessions that were cut may take to close their books.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How clients prove who they are.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// They do not.
    None,
    /// By user name and password (RFC 1929).
    UserPass(Authenticator),
}

/// How the server behaves. All values are checked by the one who made them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Clients served at once; further ones are refused as `limit_exceeded`.
    pub max_connections: usize,
    /// From accepting to the complete request.
    pub handshake_timeout: Duration,
    /// Resolving and connecting, all addresses together.
    pub connect_timeout: Duration,
    /// How long BIND waits for its peer; none waits for as long as the client does.
    pub bind_timeout: Option<Duration>,
    /// The address to connect from; none leaves the choice to the system.
    pub egress: Option<IpAddr>,
    /// How names are resolved.
    pub dns: DnsSettings,
    /// Warm spare connections; none keeps none.
    pub pool: Option<PoolSettings>,
    /// Pipes for splice at most; 0 copies always.
    pub pipes: usize,
    /// How clients prove who they are.
    pub authentication: Authentication,
    /// Where this process listens. Clients of other machines are not led there by way of loopback,
    /// where they would pass for this machine: before the API, and before this proxy itself.
    pub own: Vec<SocketAddr>,
}

impl Settings {
    /// Whether a client may not be led to an address that is for this machine alone.
    pub(crate) fn keeps_away(&self, client: SocketAddr, target: SocketAddr) -> bool {
        let listens = |own: &SocketAddr| {
            let ip = own.ip().to_canonical();
            own.port() == target.port() && (ip.is_unspecified() || ip == target.ip())
        };
        target.ip().is_loopback()
            && !client.ip().to_canonical().is_loopback()
            && self.own.iter().any(listens)
    }
}

/// Counts of the data plane that are no session's.
#[derive(Debug, Default)]
pub struct Figures {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Failed accept calls.
    pub accept_errors: AtomicU64,
    /// Clients turned away before their request was read.
    pub turned_away: AtomicU64,
    /// Clients that sent no SOCKS request.
    pub not_socks: AtomicU64,
    /// Datagrams dropped.
    pub datagrams: Drops,
    /// From accepting a client to its complete request.
    pub handshakes: Histogram,
    /// Resolving a name, from the cache or not, with or without success.
    pub lookups: Histogram,
    /// Opening a destination's connection, without resolving; those that succeeded.
    pub connects: Histogram,
}

/// When and how to stop.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// Stop accepting, let clients finish.
    pub stop: CancellationToken,
    /// Cut the grace short.
    pub hurry: CancellationToken,
    /// How long clients may take to finish.
    pub grace: Duration,
}

/// Takes notices.
pub type NoticeSink = Arc<dyn Fn(Notice) + Send + Sync>;

/// The data plane. Shared by the tasks of all clients.
pub struct Server {
    pub(crate) settings: Settings,
    pub(crate) acl: Acl,
    anonymous: UserName,
    pub(crate) table: Table,
    pub(crate) dialer: Dialer,
    pub(crate) pipes: PipePool,
    pub(crate) figures: Arc<Figures>,
    pub(crate) failures: AuthFailures,
    pub(crate) notices: NoticeSink,
    /// Cancelled when clients in their handshake are to be dropped.
    pub(crate) cut: CancellationToken,
    pub(crate) clients: TaskTracker,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Server {
    /// Builds the server.
    ///
    /// # Errors
    /// [`ResolveError`] when the system's resolver configuration cannot be read.
    pub fn new(
        settings: Settings,
        acl: Acl,
        table: Table,
        notices: NoticeSink,
    ) -> Result<Arc<Self>, ResolveError> {
        let clients = TaskTracker::new();
        let resolver = Resolver::new(&settings.dns)?;
        let pool = settings
            .pool
            .clone()
            .map(|pool| Pool::new(pool, settings.egress, Arc::clone(&notices), clients.clone()));
        let figures = Arc::new(Figures::default());
        let dialer =
            Dialer { resolver, pool, egress: settings.egress, figures: Arc::clone(&figures) };
        Ok(Arc::new(Self {
            pipes: PipePool::new(settings.pipes),
            settings,
            anonymous: acl.anonymous_user().as_str().into(),
            acl,
            failures: AuthFailures::new(table.clone()),
            table,
            dialer,
            figures,
            notices,
            cut: CancellationToken::new(),
            clients,
        }))
    }

    /// The name of clients that need not authenticate.
    pub(crate) fn anonymous(&self) -> UserName {
        Arc::clone(&self.anonymous)
    }

    /// Counts of the data plane.
    pub fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// How many clients may be served at once.
    pub fn max_connections(&self) -> usize {
        self.settings.max_connections
    }

    /// The warm spare connections, where they are on.
    pub fn pool(&self) -> Option<&Pool> {
        self.dialer.pool.as_ref()
    }

    /// Serves clients until `shutdown.stop`, then lets them finish for the grace time, then cuts
    /// the rest. When it returns, no session is left.
    ///
    /// # Errors
    /// Those of the listener's set-up. Failures to accept are survived.
    pub async fn run(self: Arc<Self>, listener: TcpListener, shutdown: Shutdown) -> io::Result<()> {
        listener::prepare(&listener)?;
        let upkeep = async {
            tokio::join!(self.sweep(), revoke::revoke_on_change(&self), self.maintain_pool());
        };
        let life = async {
            listener::accept_loop(&self, &listener, &shutdown.stop).await;
            drop(listener);
            self.drain(&shutdown).await;
        };
        // The upkeep never ends by itself; it goes on while clients finish.
        tokio::select! {
            () = life => {}
            () = upkeep => {}
        }
        Ok(())
    }

    async fn sweep(&self) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.table.sweep(Instant::now());
            self.failures.sweep();
        }
    }

    async fn maintain_pool(&self) {
        match &self.dialer.pool {
            Some(pool) => pool.maintain().await,
            None => std::future::pending().await,
        }
    }

    async fn drain(&self, shutdown: &Shutdown) {
        self.clients.close();
        if let Some(pool) = &self.dialer.pool {
            pool.close();
        }
        tokio::select! {
            () = self.clients.wait() => {}
            () = tokio::time::sleep(shutdown.grace) => {}
            () = shutdown.hurry.cancelled() => {}
        }
        self.cut.cancel();
        self.table.stop_where(CloseReason::ServerShutdown, |_| Some(None));
        let words = async {
            // A request that was read in this very moment opens its session after the first call.
            let mut again = tokio::time::interval(Duration::from_millis(50));
            loop {
                tokio::select! {
                    () = self.clients.wait() => break,
                    _ = again.tick() => {
                        self.table.stop_where(CloseReason::ServerShutdown, |_| Some(None));
                    }
                }
            }
        };
        // Whoever is late is dropped with the runtime, which ends its session as well.
        let _late = tokio::time::timeout(LAST_WORDS, words).await;
        self.failures.flush();
    }
}

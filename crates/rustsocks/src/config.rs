//! The configuration: a file's text on one side, checked values on the other.
//!
//! Inside [`Config`] no invalid setting can exist. What is wrong with a file is one [`Fault`],
//! told in one line.

mod checks;
mod effective;
mod fault;
mod file;
mod history;
mod ledger;
mod operators;
mod place;
#[cfg(test)]
mod tests;
mod without_effect;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use rustsocks_access::UserName;
use rustsocks_access::auth::Credential;
use rustsocks_access::operators::Settings as Operators;
use rustsocks_api::SettingsBySection;
use rustsocks_journal::JournalOptions;
use rustsocks_server::pool::PoolSettings;
use rustsocks_server::resolve::DnsSettings;
use rustsocks_sessions::Rules;
use rustsocks_storage::{Archive, RecorderOptions};
use rustsocks_telemetry::events::Limits;
use rustsocks_telemetry::logging::{Format, Level};
use secrecy::SecretString;

pub(crate) use fault::Fault;

/// Everything the program needs to know, checked.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file it came from; none for the embedded defaults.
    pub(crate) path: Option<PathBuf>,
    pub(crate) listen: SocketAddr,
    pub(crate) server: ServerConfig,
    pub(crate) authentication: Authentication,
    pub(crate) acl: AclConfig,
    pub(crate) log: (Level, Format),
    pub(crate) sessions: Rules,
    pub(crate) ledger: Option<LedgerConfig>,
    pub(crate) node: String,
    pub(crate) api: Option<ApiConfig>,
    /// Who may use the API; none where no login is needed.
    pub(crate) operators: Option<Operators>,
    pub(crate) events: Limits,
    /// How the metrics history is taken; none where it is off.
    pub(crate) history: Option<HistoryConfig>,
    /// Every setting by section and key, for people: without secrets.
    pub(crate) settings: SettingsBySection,
    /// What was accepted and should be known: settings without effect, weak choices.
    pub(crate) warnings: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct ServerConfig {
    pub(crate) max_connections: usize,
    pub(crate) handshake_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) shutdown_grace: Duration,
    pub(crate) egress: Option<std::net::IpAddr>,
    pub(crate) splice_pipes: usize,
    pub(crate) pool: Option<PoolSettings>,
    pub(crate) dns: DnsSettings,
}

#[derive(Debug)]
pub(crate) enum Authentication {
    None,
    UserPass(Vec<Credential>),
}

#[derive(Clone, Debug)]
pub(crate) struct AclConfig {
    /// The rules' file; none where the rules are off.
    pub(crate) file: Option<PathBuf>,
    pub(crate) watch: bool,
    pub(crate) anonymous_user: UserName,
}

/// How sessions are recorded.
#[derive(Clone, Debug)]
pub(crate) struct LedgerConfig {
    pub(crate) storage: StorageConfig,
    /// None where the storage has nothing that outlives the process.
    pub(crate) journal: Option<JournalOptions>,
    pub(crate) recorder: RecorderOptions,
    /// None keeps records for ever.
    pub(crate) keep: Option<Duration>,
    pub(crate) cleanup_interval: Duration,
    /// Where retention keeps what it deletes, if anywhere.
    pub(crate) archive: Option<Archive>,
}

#[derive(Clone, Debug)]
pub(crate) enum StorageConfig {
    Memory { max_sessions: usize },
    Sqlite(FileConfig),
    Server(DatabaseConfig),
}

/// A SQLite file.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "database"), expect(dead_code, reason = "checked, and then refused"))]
pub(crate) struct FileConfig {
    pub(crate) path: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) backup_keep: usize,
}

/// A database server, which several nodes may share.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(any(feature = "mysql", feature = "postgres")),
    expect(dead_code, reason = "checked, and then refused")
)]
pub(crate) struct DatabaseConfig {
    /// `mariadb`, `mysql` or `postgres`, as the configuration says.
    pub(crate) engine: &'static str,
    pub(crate) url: SecretString,
    pub(crate) statement_timeout: Duration,
    pub(crate) migration_lock: bool,
    /// A node that gives no sign of life for so long is taken for dead.
    pub(crate) lease: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    Full,
    Normal,
}

#[derive(Clone, Debug)]
pub(crate) struct ApiConfig {
    pub(crate) listen: SocketAddr,
    /// Empty, or a path that begins with a slash and does not end with one.
    pub(crate) base_path: String,
    pub(crate) swagger: bool,
    pub(crate) dashboard: bool,
    pub(crate) stats_window_hours: u64,
    pub(crate) metrics: bool,
    pub(crate) trusted_proxies: Vec<IpNet>,
}

/// How the metrics history is taken and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HistoryConfig {
    /// The distance between two points.
    pub(crate) interval: Duration,
    /// How long a point is kept.
    pub(crate) keep: Duration,
    /// How often points that are too old are deleted from the database.
    pub(crate) cleanup_interval: Duration,
    /// Whether points are kept in the ledger's database.
    pub(crate) persist: bool,
}

impl Config {
    /// The configuration without any file.
    pub(crate) fn embedded() -> Result<Self, Fault> {
        Self::parse("", Path::new("(embedded defaults)"))
    }

    /// Reads and checks a file.
    pub(crate) fn load(path: &Path) -> Result<Self, Fault> {
        let text = std::fs::read(path).map_err(|error| {
            Fault::whole(
                path,
                format!("cannot be read: {error}"),
                "check the path and its permissions",
            )
        })?;
        let text = String::from_utf8(text)
            .map_err(|_| Fault::whole(path, "is not UTF-8 text".into(), "save it as UTF-8"))?;
        let config = Self::parse(&text, path)?;
        Ok(Self { path: Some(path.to_owned()), ..config })
    }

    /// Checks a file's text. `path` is for messages, and for files named beside it.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, Fault> {
        let file: file::File =
            toml::from_str(text).map_err(|error| Fault::from_toml(text, path, &error))?;
        checks::check(file, &place::Source { text, path })
    }
}

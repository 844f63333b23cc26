//! The form of the file: sections and keys under their published names, each with its default.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Declares a section: its keys, types and defaults, with unknown keys refused.
macro_rules! section {
    ($name:ident { $($key:ident: $type:ty = $default:expr),* $(,)? }) => {
        #[derive(Clone, Debug, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $name {
            $(pub(super) $key: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }
    };
}

section!(File {
    server: Server = Server::default(),
    auth: Auth = Auth::default(),
    acl: Acl = Acl::default(),
    dns: Dns = Dns::default(),
    logging: Logging = Logging::default(),
    sessions: Sessions = Sessions::default(),
    metrics: Metrics = Metrics::default(),
    telemetry: Telemetry = Telemetry::default(),
    qos: toml::Table = toml::Table::new(),
});

section!(Server {
    bind_address: String = "127.0.0.1".into(),
    bind_port: u16 = 1080,
    max_connections: i64 = 10_000,
    handshake_timeout_secs: i64 = 10,
    connect_timeout_ms: i64 = 10_000,
    idle_timeout_secs: i64 = 600,
    half_closed_timeout_secs: i64 = 120,
    shutdown_grace_secs: i64 = 10,
    egress_address: Option<String> = None,
    splice_pipes: i64 = 64,
    pool: Pool = Pool::default(),
    tls: toml::Table = toml::Table::new(),
});

section!(Pool {
    enabled: bool = false,
    max_idle_per_dest: i64 = 4,
    max_total_idle: i64 = 100,
    idle_timeout_secs: i64 = 90,
    connect_timeout_ms: i64 = 5000,
});

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Auth {
    pub(super) client_method: String,
    #[serde(alias = "method")]
    pub(super) socks_method: String,
    pub(super) users: Vec<User>,
    pub(super) pam: toml::Table,
    pub(super) gssapi: toml::Table,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            client_method: "none".into(),
            socks_method: "none".into(),
            users: Vec::new(),
            pam: toml::Table::new(),
            gssapi: toml::Table::new(),
        }
    }
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub(super) username: String,
    pub(super) password: Option<String>,
    pub(super) password_hash: Option<String>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("username", &self.username).finish_non_exhaustive()
    }
}

section!(Acl {
    enabled: bool = false,
    config_file: Option<String> = None,
    watch: bool = false,
    anonymous_user: String = "anonymous".into(),
});

section!(Dns {
    mode: String = "builtin".into(),
    servers: Vec<String> = Vec::new(),
    cache_entries: i64 = 4096,
    timeout_ms: i64 = 2000,
});

section!(Logging { level: String = "info".into(), format: String = "pretty".into() });

section!(Sessions {
    enabled: bool = true,
    storage: Option<String> = None,
    database_url: Option<String> = None,
    durability: String = "full".into(),
    database_ca_file: Option<PathBuf> = None,
    database_statement_timeout_secs: i64 = 10,
    migration_lock: bool = true,
    node_lease_secs: i64 = 15,
    backup_keep: i64 = 3,
    journal_dir: Option<PathBuf> = None,
    journal_max_bytes: i64 = 1 << 30,
    on_journal_full: String = "degrade".into(),
    batch_size: i64 = 100,
    batch_interval_ms: i64 = 1000,
    interim_interval_secs: i64 = 5,
    archive_dir: Option<PathBuf> = None,
    archive_format: String = "ndjson".into(),
    retention_days: i64 = 90,
    cleanup_interval_hours: i64 = 24,
    memory_max_sessions: i64 = 10_000,
    node_id: Option<String> = None,
    traffic_update_packet_interval: i64 = 10,
    stats_window_hours: i64 = 24,
    stats_api_enabled: bool = true,
    stats_api_bind_address: String = "127.0.0.1".into(),
    stats_api_port: u16 = 9090,
    swagger_enabled: Option<bool> = None,
    dashboard_enabled: Option<bool> = None,
    base_path: String = "/".into(),
    dashboard_auth: DashboardAuth = DashboardAuth::default(),
    api_tokens: Vec<ApiToken> = Vec::new(),
});

section!(DashboardAuth {
    enabled: bool = false,
    altcha_enabled: bool = false,
    session_secret: Option<Secret> = None,
    session_duration_hours: i64 = 24,
    trusted_proxies: Vec<String> = Vec::new(),
    users: Vec<Operator> = Vec::new(),
});

/// A text that is not to be shown; the effective configuration hides it by its key.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Secret(pub(super) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Operator {
    pub(super) username: String,
    pub(super) password: Option<String>,
    pub(super) password_hash: Option<String>,
    #[serde(default = "operate")]
    pub(super) role: String,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator").field("username", &self.username).finish_non_exhaustive()
    }
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiToken {
    pub(super) name: String,
    pub(super) token_hash: String,
    #[serde(default = "operate")]
    pub(super) role: String,
}

impl std::fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiToken").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The role of an operator of whom nothing else is said.
fn operate() -> String {
    "operate".into()
}

section!(Metrics {
    enabled: Option<bool> = None,
    max_user_labels: i64 = 1000,
    storage: Option<String> = None,
    retention_hours: i64 = 24,
    cleanup_interval_hours: i64 = 6,
    collection_interval_secs: i64 = 5,
});

section!(Telemetry { enabled: bool = true, max_events: i64 = 256, retention_hours: i64 = 6 });

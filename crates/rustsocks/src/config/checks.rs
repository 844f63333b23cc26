//! From the file's form to checked values, a section at a time.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use rustsocks_access::UserName;
use rustsocks_access::auth::Credential;
use rustsocks_api::SettingsBySection;
use rustsocks_server::pool::PoolSettings;
use rustsocks_server::resolve::{DnsMode, DnsSettings};
use rustsocks_sessions::Rules;
use rustsocks_telemetry::events::Limits;
use rustsocks_telemetry::logging::{Format, Level};
use secrecy::SecretString;

use super::fault::{Fault, nearest};
use super::history::history;
use super::ledger::ledger;
use super::operators::{operators, trusted_proxies};
use super::place::{Source, may_be_shown};
use super::{
    AclConfig, ApiConfig, Authentication, Config, ServerConfig, effective, file, without_effect,
};
use crate::features;

/// Records that may wait for the store beyond the sessions that run.
const BACKLOG: usize = 250_000;

/// A year in hours and days, the bound of long intervals.
pub(super) const HOURS_MAX: i64 = 87_600;
pub(super) const DAYS_MAX: i64 = 36_500;

/// One section under check: names keys in faults.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    source: &'a Source<'a>,
    name: &'a str,
    nth: usize,
}

impl<'a> Section<'a> {
    pub(super) fn new(source: &'a Source<'a>, name: &'a str) -> Self {
        Self::nth(source, name, 0)
    }

    /// One of several sections of a name, counted from 0.
    pub(super) fn nth(source: &'a Source<'a>, name: &'a str, nth: usize) -> Self {
        Self { source, name, nth }
    }

    pub(super) fn fault(
        &self,
        key: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Fault {
        let place = self.source.place_of(self.name, key, self.nth).map(Box::new);
        let problem = problem.into();
        // A setting that the file does not show came from elsewhere: name it in the problem.
        let problem = match place {
            Some(_) => problem,
            None => format!("{}.{key}: {problem}", self.name),
        };
        Fault { file: self.source.path.to_owned(), place, problem, remedy: remedy.into() }
    }

    pub(super) fn number(
        &self,
        key: &str,
        value: i64,
        range: RangeInclusive<i64>,
    ) -> Result<u64, Fault> {
        let (least, most) = (*range.start(), *range.end());
        if !range.contains(&value) {
            let remedy = format!("give a number from {least} to {most}");
            return Err(self.fault(key, "out of range", remedy));
        }
        Ok(value.unsigned_abs())
    }

    pub(super) fn size(
        &self,
        key: &str,
        value: i64,
        range: RangeInclusive<i64>,
    ) -> Result<usize, Fault> {
        let value = self.number(key, value, range)?;
        Ok(usize::try_from(value).unwrap_or(usize::MAX))
    }

    pub(super) fn seconds(&self, key: &str, value: i64, least: i64) -> Result<Duration, Fault> {
        self.number(key, value, least..=HOURS_MAX * 3600).map(Duration::from_secs)
    }

    pub(super) fn millis(&self, key: &str, value: i64) -> Result<Duration, Fault> {
        self.number(key, value, 1..=3_600_000).map(Duration::from_millis)
    }

    /// A time in which 0 means "no limit".
    fn limit(&self, key: &str, value: i64) -> Result<Option<Duration>, Fault> {
        let limit = self.seconds(key, value, 0)?;
        Ok((!limit.is_zero()).then_some(limit))
    }

    fn address(&self, key: &str, text: &str) -> Result<IpAddr, Fault> {
        text.parse().map_err(|_| {
            self.fault(key, "not an IP address", "write one such as \"127.0.0.1\" or \"::\"")
        })
    }

    pub(super) fn word<T: Copy>(
        &self,
        key: &str,
        text: &str,
        known: &[(&str, T)],
    ) -> Result<T, Fault> {
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let remedy = match nearest(text, &names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("use one of \"{}\"", names.join("\", \"")),
        };
        // A URL or a password that came under the wrong key is not told.
        let problem = match may_be_shown(text) {
            true => format!("unknown value \"{text}\""),
            false => "unknown value".to_owned(),
        };
        Err(self.fault(key, problem, remedy))
    }
}

/// Refuses a section of a later capability unless it is clearly switched off: whoever believes that
/// it is in force would be without it.
fn refuse_later(source: &Source<'_>, name: &str, section: &toml::Table) -> Result<(), Fault> {
    let problem = match section.get("enabled") {
        Some(toml::Value::Boolean(false)) => return Ok(()),
        Some(toml::Value::Boolean(true)) => "not supported yet",
        Some(_) => "neither true nor false, and not supported yet",
        None => {
            let mut keys = section.keys();
            let misspelt = keys.find(|key| nearest(&key.to_lowercase(), &["enabled"]).is_some());
            let Some(key) = misspelt else { return Ok(()) };
            let problem = format!("unknown key `{key}`");
            let fault = Section::new(source, name).fault(key, problem, "did you mean `enabled`?");
            return Err(fault.without_value());
        }
    };
    let remedy = "set it to false or remove the section";
    Err(Section::new(source, name).fault("enabled", problem, remedy))
}

pub(super) fn check(mut file: file::File, source: &Source<'_>) -> Result<Config, Fault> {
    let mut warnings = Vec::new();
    let read = file.clone();
    refuse_later(source, "server.tls", &file.server.tls)?;
    refuse_later(source, "auth.pam", &file.auth.pam)?;
    refuse_later(source, "auth.gssapi", &file.auth.gssapi)?;
    refuse_later(source, "qos", &file.qos)?;
    without_effect::warn(&file, source, &mut warnings);
    let (listen, server) = server(&file, source)?;
    let authentication = authentication(std::mem::take(&mut file.auth), source, &mut warnings)?;
    let acl = acl(&file.acl, source)?;
    let log = logging(&file.logging, source)?;
    let node = node(&file.sessions, source)?;
    let sessions = sessions(&file, source, server.max_connections)?;
    let ledger = match file.sessions.enabled {
        true => Some(ledger(&file.sessions, source)?),
        false => None,
    };
    let trusted_proxies = trusted_proxies(&file.sessions.dashboard_auth, source)?;
    let operators = operators(&mut file.sessions, source, &mut warnings)?;
    let api = api(&file, source, operators.is_some(), trusted_proxies)?;
    let events = telemetry(&file.telemetry, source)?;
    let history = history(&file, source, &mut warnings)?;
    let mut config = Config {
        path: None,
        listen,
        server,
        authentication,
        acl,
        log,
        sessions,
        ledger,
        node,
        api,
        operators,
        events,
        history,
        settings: SettingsBySection::new(),
        warnings,
    };
    config.settings = effective::settings(read, &config);
    Ok(config)
}

fn server(file: &file::File, source: &Source<'_>) -> Result<(SocketAddr, ServerConfig), Fault> {
    let form = &file.server;
    let section = Section::new(source, "server");
    let listen =
        SocketAddr::new(section.address("bind_address", &form.bind_address)?, form.bind_port);
    let egress = match &form.egress_address {
        Some(text) => Some(section.address("egress_address", text)?),
        None => None,
    };
    let config = ServerConfig {
        max_connections: section.size("max_connections", form.max_connections, 1..=1_000_000)?,
        handshake_timeout: section.seconds(
            "handshake_timeout_secs",
            form.handshake_timeout_secs,
            1,
        )?,
        connect_timeout: section.millis("connect_timeout_ms", form.connect_timeout_ms)?,
        shutdown_grace: section.seconds("shutdown_grace_secs", form.shutdown_grace_secs, 0)?,
        egress,
        splice_pipes: section.size("splice_pipes", form.splice_pipes, 0..=16_384)?,
        pool: pool(&form.pool, source)?,
        dns: dns(&file.dns, source)?,
    };
    Ok((listen, config))
}

fn pool(form: &file::Pool, source: &Source<'_>) -> Result<Option<PoolSettings>, Fault> {
    let section = Section::new(source, "server.pool");
    let settings = PoolSettings {
        max_idle_per_dest: section.size("max_idle_per_dest", form.max_idle_per_dest, 1..=10_000)?,
        max_total_idle: section.size("max_total_idle", form.max_total_idle, 1..=100_000)?,
        idle_timeout: section.seconds("idle_timeout_secs", form.idle_timeout_secs, 1)?,
        connect_timeout: section.millis("connect_timeout_ms", form.connect_timeout_ms)?,
    };
    Ok(form.enabled.then_some(settings))
}

fn dns(form: &file::Dns, source: &Source<'_>) -> Result<DnsSettings, Fault> {
    let section = Section::new(source, "dns");
    let servers = form
        .servers
        .iter()
        .map(|text| {
            let with_port = text.parse::<SocketAddr>();
            with_port.or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53))).map_err(
                |_| section.fault("servers", "not a list of addresses", "write \"192.0.2.1:53\""),
            )
        })
        .collect::<Result<Vec<_>, _>>()?;
    let is_system = section.word("mode", &form.mode, &[("builtin", false), ("system", true)])?;
    let mode = match (is_system, servers.is_empty()) {
        (false, _) => DnsMode::Builtin { servers },
        (true, true) => DnsMode::System,
        (true, false) => {
            let remedy = "remove it, or set mode = \"builtin\"";
            return Err(section.fault(
                "servers",
                "the system's resolver has its own servers",
                remedy,
            ));
        }
    };
    Ok(DnsSettings {
        mode,
        cache_entries: section.number("cache_entries", form.cache_entries, 0..=1_000_000)?,
        timeout: section.millis("timeout_ms", form.timeout_ms)?,
    })
}

fn authentication(
    form: file::Auth,
    source: &Source<'_>,
    warnings: &mut Vec<String>,
) -> Result<Authentication, Fault> {
    let section = Section::new(source, "auth");
    let later = |key: &str, method: &str, known: &[&str]| match known.contains(&method) {
        true => Err(section.fault(key, "not supported yet", "use \"none\" or \"userpass\"")),
        false => Ok(()),
    };
    later("client_method", &form.client_method, &["pam.address"])?;
    section.word("client_method", &form.client_method, &[("none", ())])?;
    let key = match source.place_of("auth", "method", 0) {
        Some(_) => "method",
        None => "socks_method",
    };
    later(key, &form.socks_method, &["pam.address", "pam.username", "gssapi"])?;
    let methods = [("none", false), ("userpass", true)];
    let wants_password = section.word(key, &form.socks_method, &methods)?;
    let mut users: Vec<Credential> = Vec::new();
    for (nth, user) in form.users.into_iter().enumerate() {
        let section = Section::nth(source, "auth.users", nth);
        let credential = credential(user, &section)?;
        if users.iter().any(|known| known.user() == credential.user()) {
            let remedy = "keep one of them";
            return Err(section.fault("username", "the user is configured twice", remedy));
        }
        users.push(credential);
    }
    if !wants_password {
        return Ok(Authentication::None);
    }
    if users.is_empty() {
        let remedy = "add [[auth.users]] with username and password_hash";
        return Err(section.fault(key, "nobody could ever log in: there are no users", remedy));
    }
    let plain = users.iter().filter(|user| user.is_plaintext()).count();
    if plain > 0 {
        warnings.push(format!(
            "{plain} of {} users have a plain-text password in the file; replace `password` by \
             `password_hash`, made with `rustsocks hash-password`",
            users.len()
        ));
    }
    Ok(Authentication::UserPass(users))
}

pub(super) fn credential(user: file::User, section: &Section<'_>) -> Result<Credential, Fault> {
    let file::User { username, password, password_hash } = user;
    let name_fault = |problem: String| section.fault("username", problem, "choose another name");
    UserName::new(&username).map_err(|error| name_fault(error.to_string()))?;
    let (key, credential) = match (password, password_hash) {
        (Some(password), None) => {
            ("password", Credential::with_password(&username, SecretString::from(password)))
        }
        (None, Some(hash)) => ("password_hash", Credential::with_hash(&username, &hash)),
        (Some(_), Some(_)) => {
            let problem = "the user has both a password and a hash";
            return Err(section.fault("password", problem, "remove the password"));
        }
        (None, None) => {
            let remedy = "make a password_hash with `rustsocks hash-password`";
            return Err(section.fault("username", "the user has no password", remedy));
        }
    };
    credential.map_err(|error| {
        // Most of these say `problem; remedy` themselves.
        let text = error.to_string();
        let (problem, remedy) =
            text.split_once("; ").unwrap_or((&text, "make one with `rustsocks hash-password`"));
        section.fault(key, problem, remedy)
    })
}

fn acl(form: &file::Acl, source: &Source<'_>) -> Result<AclConfig, Fault> {
    let section = Section::new(source, "acl");
    let anonymous_user = UserName::new(&form.anonymous_user).map_err(|error| {
        section.fault("anonymous_user", error.to_string(), "choose another name")
    })?;
    let file = match (form.enabled, &form.config_file) {
        (false, _) => None,
        (true, Some(file)) => Some(beside(source.path, file)),
        (true, None) => {
            let remedy = "add config_file = \"acl.toml\"";
            return Err(section.fault("enabled", "no file with rules is named", remedy));
        }
    };
    if let Some(file) = file.as_ref().filter(|file| !file.is_file()) {
        let problem = match file.to_str() {
            Some(name) if may_be_shown(name) => format!("the file {name} does not exist"),
            _ => "the file does not exist".to_owned(),
        };
        return Err(section.fault("config_file", problem, "create it, or correct the path"));
    }
    Ok(AclConfig { file, watch: form.watch, anonymous_user })
}

/// A file named in the configuration: from the working directory, else from the folder of the
/// configuration file.
fn beside(config: &Path, named: &str) -> PathBuf {
    let from_here = PathBuf::from(named);
    if from_here.exists() {
        return from_here;
    }
    match config.parent().map(|folder| folder.join(named)) {
        Some(beside) if beside.exists() => beside,
        _ => from_here,
    }
}

fn logging(form: &file::Logging, source: &Source<'_>) -> Result<(Level, Format), Fault> {
    let section = Section::new(source, "logging");
    let levels = [
        ("trace", Level::Trace),
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warn", Level::Warn),
        ("error", Level::Error),
    ];
    let formats = [("pretty", Format::Pretty), ("json", Format::Json)];
    let level = section.word("level", &form.level, &levels)?;
    Ok((level, section.word("format", &form.format, &formats)?))
}

fn node(form: &file::Sessions, source: &Source<'_>) -> Result<String, Fault> {
    let node = match &form.node_id {
        Some(node) => node.clone(),
        None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    if node.is_empty() || node.len() > 255 || node.chars().any(char::is_control) {
        let problem = "a node's name has 1 to 255 bytes and no control characters";
        return Err(Section::new(source, "sessions").fault("node_id", problem, "choose another"));
    }
    Ok(node)
}

fn sessions(
    file: &file::File,
    source: &Source<'_>,
    max_connections: usize,
) -> Result<Rules, Fault> {
    let form = &file.sessions;
    let section = Section::new(source, "sessions");
    let server = Section::new(source, "server");
    let metrics = Section::new(source, "metrics");
    let every = form.traffic_update_packet_interval;
    let every = section.number("traffic_update_packet_interval", every, 1..=1_000_000)?;
    Ok(Rules {
        accounting: form.enabled,
        publish_every: u32::try_from(every).unwrap_or(u32::MAX),
        interim: section.seconds("interim_interval_secs", form.interim_interval_secs, 1)?,
        idle: server.limit("idle_timeout_secs", file.server.idle_timeout_secs)?,
        half_closed: server
            .limit("half_closed_timeout_secs", file.server.half_closed_timeout_secs)?,
        max_unsaved: max_connections + BACKLOG,
        max_user_labels: metrics.size(
            "max_user_labels",
            file.metrics.max_user_labels,
            0..=100_000,
        )?,
    })
}

fn api(
    file: &file::File,
    source: &Source<'_>,
    needs_login: bool,
    trusted_proxies: Vec<IpNet>,
) -> Result<Option<ApiConfig>, Fault> {
    let form = &file.sessions;
    let section = Section::new(source, "sessions");
    let address = section.address("stats_api_bind_address", &form.stats_api_bind_address)?;
    if form.stats_api_enabled && !needs_login && !rustsocks_api::may_bind(address) {
        let problem = "without a login the API may be reached from this machine alone";
        let remedy = "use \"127.0.0.1\" or \"::1\", or switch on [sessions.dashboard_auth]";
        return Err(section.fault("stats_api_bind_address", problem, remedy));
    }
    let base_path = form.base_path.trim_end_matches('/');
    let sound = base_path.is_empty()
        || base_path.starts_with('/')
            && base_path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b))
            && !base_path.contains("//");
    if !sound {
        let remedy = "write a path such as \"/\" or \"/rustsocks\"";
        return Err(section.fault("base_path", "not a path", remedy));
    }
    let metrics_section = Section::new(source, "metrics");
    if file.metrics.enabled == Some(true) && !features::METRICS {
        let remedy = "build with `--features metrics`, or set it to false";
        return Err(metrics_section.fault(
            "enabled",
            "this program was built without metrics",
            remedy,
        ));
    }
    if form.swagger_enabled == Some(true) && !features::API_DOCS {
        let remedy = "build with `--features api-docs`, or set it to false";
        return Err(section.fault("swagger_enabled", "this program was built without it", remedy));
    }
    if form.dashboard_enabled == Some(true) && !features::DASHBOARD {
        let remedy = "build with `--features dashboard`, or set it to false";
        return Err(section.fault(
            "dashboard_enabled",
            "this program was built without it",
            remedy,
        ));
    }
    let config = ApiConfig {
        listen: SocketAddr::new(address, form.stats_api_port),
        base_path: base_path.into(),
        swagger: form.swagger_enabled.unwrap_or(features::API_DOCS),
        dashboard: form.dashboard_enabled.unwrap_or(features::DASHBOARD),
        stats_window_hours: section.number(
            "stats_window_hours",
            form.stats_window_hours,
            1..=HOURS_MAX,
        )?,
        metrics: file.metrics.enabled.unwrap_or(features::METRICS),
        trusted_proxies,
    };
    Ok(form.stats_api_enabled.then_some(config))
}

fn telemetry(form: &file::Telemetry, source: &Source<'_>) -> Result<Limits, Fault> {
    let section = Section::new(source, "telemetry");
    let max_events = section.size("max_events", form.max_events, 1..=100_000)?;
    let hours = section.number("retention_hours", form.retention_hours, 1..=HOURS_MAX)?;
    Ok(Limits {
        max_events: if form.enabled { max_events } else { 0 },
        retention: Duration::from_secs(hours * 3600),
    })
}

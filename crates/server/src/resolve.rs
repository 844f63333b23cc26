//! Names to addresses, with a bounded cache and without blocking anybody.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use moka::sync::Cache;
use rustsocks_proto::{HostName, reached};
use std::sync::Arc;
use thiserror::Error;

/// How long an answer of the system's resolver is kept; it tells no time to live.
const SYSTEM_FRESH: Duration = Duration::from_secs(30);

/// Who resolves names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsMode {
    /// The built-in resolver, with the system's servers or the given ones. Reads `/etc/hosts`.
    Builtin {
        /// DNS servers; empty means the system's.
        servers: Vec<SocketAddr>,
    },
    /// The system's own resolver, with everything that nsswitch knows.
    System,
}

/// How names are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Who does it.
    pub mode: DnsMode,
    /// Answers kept.
    pub cache_entries: u64,
    /// How long one query may take.
    pub timeout: Duration,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            mode: DnsMode::Builtin { servers: Vec::new() },
            cache_entries: 4096,
            timeout: Duration::from_secs(2),
        }
    }
}

/// Why a name has no address.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// The name exists nowhere, or has no address.
    #[error("the name has no address")]
    NoAddress,
    /// Nobody said anything for as long as resolving and connecting may take.
    #[error("the DNS servers gave no answer in time")]
    TimedOut,
    /// The built-in resolver failed.
    #[error("the DNS servers gave no answer: {0}")]
    Dns(#[source] Box<NetError>),
    /// The system's resolver failed.
    #[error("the system's resolver failed: {0}")]
    System(#[source] io::Error),
}

/// What a name turned out to be.
#[derive(Clone, Debug)]
pub struct Found {
    /// At least one, in no order to rely on.
    pub addresses: Arc<[IpAddr]>,
    /// The whole name, where a search list completed what was asked for. The system's resolver does
    /// not tell it.
    pub found_as: Option<HostName>,
}

/// Resolves names. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Resolver {
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Builtin(Arc<TokioResolver>),
    System(Cache<HostName, Arc<[IpAddr]>>),
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Builtin(_) => "Builtin",
            Self::System(_) => "System",
        })
    }
}

impl Resolver {
    /// A resolver.
    ///
    /// # Errors
    /// [`ResolveError::Dns`] when `/etc/resolv.conf` cannot be read.
    pub fn new(settings: &DnsSettings) -> Result<Self, ResolveError> {
        let backend = match &settings.mode {
            DnsMode::System => Backend::System(
                Cache::builder()
                    .max_capacity(settings.cache_entries)
                    .time_to_live(SYSTEM_FRESH)
                    .build(),
            ),
            DnsMode::Builtin { servers } => {
                let mut builder = if servers.is_empty() {
                    TokioResolver::builder_tokio().map_err(dns)?
                } else {
                    let servers = servers.iter().map(|&server| name_server(server)).collect();
                    TokioResolver::builder_with_config(
                        ResolverConfig::from_name_servers(servers),
                        TokioRuntimeProvider::default(),
                    )
                };
                let options = builder.options_mut();
                options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
                options.cache_size = settings.cache_entries;
                options.timeout = settings.timeout;
                options.use_hosts_file = ResolveHosts::Always;
                Backend::Builtin(Arc::new(builder.build().map_err(dns)?))
            }
        };
        Ok(Self { backend })
    }

    /// The addresses of a name. Cancel safe.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn resolve(&self, name: &HostName) -> Result<Found, ResolveError> {
        let mut found_as = None;
        let addresses: Arc<[IpAddr]> = match &self.backend {
            Backend::Builtin(resolver) => match resolver.lookup_ip(name.as_str()).await {
                Ok(found) => {
                    found_as = other_name(name, &found.query().name().to_ascii());
                    found.iter().collect()
                }
                Err(error) if error.is_no_records_found() => return Err(ResolveError::NoAddress),
                Err(error) => return Err(dns(error)),
            },
            Backend::System(cache) => match cache.get(name) {
                Some(found) => found,
                None => {
                    let found = tokio::net::lookup_host((name.as_str(), 0)).await;
                    let found = found.map_err(ResolveError::System)?;
                    let found: Arc<[IpAddr]> = found.map(|address| address.ip()).collect();
                    cache.insert(name.clone(), Arc::clone(&found));
                    found
                }
            },
        };
        match addresses.is_empty() {
            true => Err(ResolveError::NoAddress),
            false => Ok(Found { addresses, found_as }),
        }
    }
}

/// The name that was looked up, if it is another one than was asked for.
fn other_name(asked: &HostName, found: &str) -> Option<HostName> {
    let bare = |name| str::strip_suffix(name, '.').unwrap_or(name);
    let (asked, found) = (bare(asked.as_str()), bare(found));
    if asked.eq_ignore_ascii_case(found) { None } else { HostName::new(found).ok() }
}

fn dns(error: NetError) -> ResolveError {
    ResolveError::Dns(Box::new(error))
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.into())
}

/// Addresses in the order to try them: both families in turn, IPv6 first, each once
/// (RFC 8305 §4). Each is what it [reaches](reached).
pub(crate) fn interleave(found: &[IpAddr]) -> Vec<IpAddr> {
    let mut seen = Vec::with_capacity(found.len());
    for ip in found.iter().copied().map(reached) {
        if !seen.contains(&ip) {
            seen.push(ip);
        }
    }
    let (v6, v4): (Vec<_>, Vec<_>) = seen.into_iter().partition(IpAddr::is_ipv6);
    let longer = v6.len().max(v4.len());
    (0..longer).flat_map(|index| [v6.get(index), v4.get(index)]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_completed_is_told_and_one_that_was_not_is_not() {
        for (asked, found, told) in [
            ("secret", "secret.corp.test.", Some("secret.corp.test")),
            ("Example.COM", "example.com.", None),
            ("example.com.", "example.com.", None),
        ] {
            let other = other_name(&HostName::new(asked).unwrap(), found);
            assert_eq!(other.as_ref().map(HostName::as_str), told, "{asked}");
        }
    }

    #[test]
    fn families_take_turns_and_no_address_comes_twice() {
        let found: Vec<IpAddr> =
            ["192.0.2.1", "192.0.2.2", "2001:db8::1", "::ffff:192.0.2.1", "192.0.2.3"]
                .map(|ip| ip.parse().unwrap())
                .into();
        let order: Vec<_> = interleave(&found).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    }
}

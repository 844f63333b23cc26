//! Where the API is, and the token for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use clap::Args;
use hyper::Uri;
use secrecy::SecretString;

use crate::config::{ApiConfig, Config};
use crate::console::fault::Fault;
use crate::console::http::Http;

/// How a server is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reaching the server")]
pub(crate) struct Reach {
    /// Where the API is, such as gateway:9090 or https://gateway/rustsocks; else that of the
    /// configuration file (--config), else http://127.0.0.1:9090.
    #[arg(long, value_name = "URL", env = "RUSTSOCKS_API", hide_env_values = true, global = true)]
    api: Option<String>,
    /// The API token; better in the environment, where other users of the machine do not see it.
    #[arg(
        long, value_name = "TOKEN", env = "RUSTSOCKS_TOKEN", hide_env_values = true,
        value_parser = secret, global = true
    )]
    token: Option<SecretString>,
}

/// A secret as clap takes it: no text is wrong.
fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(text.into())
}

/// The port of the API where nobody says another.
const PORT: u16 = 9090;

/// Where an API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether TLS is spoken there, as by a reverse proxy.
    pub(crate) tls: bool,
    /// Empty, or a path that begins with a slash and does not end with one.
    pub(crate) base_path: String,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.base_path)
    }
}

impl Address {
    /// Host and port as a `Host` header has them.
    pub(crate) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        }
    }

    fn of_config(api: &ApiConfig, file: &Path) -> Result<Self, Fault> {
        let port = api.listen.port();
        if port == 0 {
            let file = file.display();
            let problem = format!("{file}: stats_api_port = 0 can be any port; say it with --api");
            return Err(Fault::Usage(problem));
        }
        let ip = match api.listen.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        Ok(Self { host: ip.to_string(), port, tls: false, base_path: api.base_path.clone() })
    }
}

impl std::str::FromStr for Address {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let wrong = |why: &str| {
            let shown = without_secrets(text);
            let shown = shown.escape_debug();
            Fault::Usage(format!("--api: {shown} {why}; write it like http://127.0.0.1:9090"))
        };
        let has_scheme = text.contains("://");
        let whole = if has_scheme { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = whole.parse().map_err(|_| wrong("is no URL"))?;
        let (tls, default) = match uri.scheme_str() {
            Some("http") if has_scheme => (false, 80),
            Some("http") => (false, PORT),
            Some("https") if cfg!(feature = "tls") => (true, 443),
            Some("https") => {
                return Err(wrong("needs TLS, and this program was built without --features tls"));
            }
            _ => return Err(wrong("is neither http nor https")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("holds a name or password: use --token"));
        }
        if uri.query().is_some() {
            return Err(wrong("has a query"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong("names no host"));
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str() == authority.host() => default,
            None => return Err(wrong("has no such port")),
        };
        let base_path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { host: host.to_owned(), port, tls, base_path })
    }
}

/// An address as it may be shown: without name and password, and without a query.
fn without_secrets(text: &str) -> String {
    // In what is no URL the signs may stand anywhere: nothing before the last of the one or after
    // the first of the other is shown.
    let text = text.rsplit_once('@').map_or(text.to_owned(), |(_, place)| format!("…@{place}"));
    text.split_once('?').map_or(text.clone(), |(place, _)| format!("{place}?…"))
}

impl Reach {
    /// The server, by what was said, else by the configuration file.
    pub(crate) fn http(&self, config: Option<&Path>) -> Result<Http, Fault> {
        // An empty variable is as good as none.
        let api = self.api.as_deref().filter(|api| !api.is_empty());
        let address = match (api, config) {
            (Some(api), _) => api.parse()?,
            (None, Some(file)) => configured(file)?,
            (None, None) => Address {
                host: Ipv4Addr::LOCALHOST.to_string(),
                port: PORT,
                tls: false,
                base_path: String::new(),
            },
        };
        Http::new(address, self.token.clone())
    }
}

fn configured(file: &Path) -> Result<Address, Fault> {
    let config = Config::load(file).map_err(|fault| Fault::Usage(fault.to_string()))?;
    match &config.api {
        Some(api) => Address::of_config(api, file),
        None => {
            let file = file.display();
            Err(Fault::Usage(format!("{file}: stats_api_enabled = false: there is no API to ask")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_with_or_without_its_scheme() {
        for (text, shown) in [
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
            ("http://127.0.0.1:9090/", "http://127.0.0.1:9090"),
            ("127.0.0.1:1234", "http://127.0.0.1:1234"),
            ("localhost", "http://localhost:9090"),
            ("gateway/rustsocks/", "http://gateway:9090/rustsocks"),
            ("http://gateway", "http://gateway:80"),
            ("http://[::1]:9090/a/b", "http://[::1]:9090/a/b"),
            #[cfg(feature = "tls")]
            ("https://gateway/rustsocks", "https://gateway:443/rustsocks"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn a_wrong_address_is_told_in_one_line() {
        for (text, why) in [
            #[cfg(not(feature = "tls"))]
            ("https://gateway", "--features tls"),
            ("ftp://gateway", "neither http nor https"),
            ("http://", "no URL"),
            (":9090", "no"),
            ("http://user:secret@gateway", "--token"),
            ("http://user:sec?ret@gateway", "query"),
            ("https://user:secret@gateway", "gateway"),
            ("user:sec ret@gateway", "no URL"),
            ("gateway?token=secret", "query"),
            ("gateway?token=secret@x", "query"),
            ("http://gateway:99999", "port"),
            ("http://gateway/?a=b", "query"),
            ("a b", "no URL"),
            ("\u{1b}[31m", "no URL"),
        ] {
            let fault = text.parse::<Address>().unwrap_err();
            let line = fault.to_string();
            assert!(line.contains(why) && line.starts_with("--api: "), "{line}");
            assert!(!line.contains(char::is_control), "{line}");
            assert!(!line.contains("secret") && !line.contains("ret@"), "{line}");
            assert_eq!(fault.exit_code(), 2);
        }
    }
}

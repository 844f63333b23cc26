//! RustSocks' configuration: where it listens and whether it accounts; all else is its default.

use std::fs;
use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

/// Writes the configuration and returns its path.
pub(super) fn write_config(
    folder: &Path,
    socks: SocketAddrV4,
    api: SocketAddrV4,
    accounting: bool,
) -> io::Result<PathBuf> {
    let path = folder.join("rustsocks.toml");
    let database = folder.join("sessions.db");
    let text = format!(
        r#"[server]
bind_address = "{ip}"
bind_port = {port}
max_connections = 20000

[acl]
enabled = false

[sessions]
enabled = {accounting}
storage = "sqlite"
database_url = "sqlite://{database}"
stats_api_enabled = true
stats_api_port = {api}
"#,
        ip = socks.ip(),
        port = socks.port(),
        database = database.display(),
        api = api.port(),
    );
    fs::write(&path, text)?;
    Ok(path)
}

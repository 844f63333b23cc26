//! Dante's configuration: no authentication, nothing logged, everything on loopback allowed.
//! How many children it runs is left to Dante, which adds and removes them by load.

use std::fs;
use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

/// Writes the configuration and returns its path.
pub(super) fn write_config(folder: &Path, listen: SocketAddrV4) -> io::Result<PathBuf> {
    // Started by root it insists on users to switch between; started by anybody else it cannot.
    let users = if rustix::process::geteuid().is_root() {
        "user.privileged: root\nuser.unprivileged: nobody\n"
    } else {
        ""
    };
    let text = format!(
        "errorlog: stderr\n\
         internal: {ip} port = {port}\n\
         external: 127.0.0.1\n\
         clientmethod: none\n\
         socksmethod: none\n\
         {users}\
         client pass {{ from: 127.0.0.0/8 to: 127.0.0.0/8 }}\n\
         socks pass {{ from: 127.0.0.0/8 to: 127.0.0.0/8 }}\n",
        ip = listen.ip(),
        port = listen.port(),
    );
    let path = folder.join("danted.conf");
    fs::write(&path, text)?;
    Ok(path)
}

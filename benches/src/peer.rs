//! A peer: one of the ways to carry the load, and how it is started. What it is given to do is
//! the cases' business.

mod audience;
mod dante;
mod process;
mod rustsocks;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::Instant;

use crate::peer::audience::Audience;
use crate::peer::process::Process;
use crate::roster::Roster;
use crate::usage::Tree;
use crate::way::Way;

/// Port 0 is asked for and given up again before the peer takes it, so it may be lost meanwhile.
const ATTEMPTS: usize = 3;

/// A peer whose port is taken says so within this time.
const SOON: Duration = Duration::from_secs(3);

/// What carries the load.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Nothing: client and target talk to each other.
    Direct,
    /// The plain relay of this binary.
    Relay,
    /// RustSocks.
    RustSocks { program: PathBuf, scene: Scene },
    /// Dante's `danted`.
    Dante,
    /// The `microsocks` of the path.
    Microsocks,
    /// Any SOCKS5 proxy, by a command line with `{port}` in it.
    Command(String),
}

/// What RustSocks does besides relaying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// Nothing: sessions are off.
    Off,
    /// It accounts for sessions in SQLite.
    On,
    /// That, and answers for statistics, asked for without pause.
    Asked,
    /// That, and tells a thousand slow readers of every session.
    Watched,
}

/// A named way to carry the load.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// A peer that is ready for connections. Dropping it ends its processes.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) way: Way,
    /// Ends before the process it turns to.
    _audience: Option<Audience>,
    process: Option<Process>,
}

impl Kind {
    /// RustSocks at `program`, made absolute because it runs in a folder of its own.
    pub(crate) fn rustsocks(program: &Path, scene: Scene) -> Self {
        let program = program.canonicalize().unwrap_or_else(|_| program.to_path_buf());
        Self::RustSocks { program, scene }
    }
}

impl Peer {
    /// Whether the peer speaks SOCKS, and so is somebody to be compared with.
    pub(crate) fn is_socks(&self) -> bool {
        !matches!(self.kind, Kind::Direct | Kind::Relay)
    }

    /// Whether it takes part where nobody is chosen. Others answer a question of their own, and a
    /// run with them takes longer.
    pub(crate) fn is_usual(&self) -> bool {
        !matches!(self.kind, Kind::RustSocks { scene: Scene::Asked | Scene::Watched, .. })
    }

    /// Whether it can carry UDP at all.
    pub(crate) fn has_datagrams(&self) -> bool {
        !matches!(self.kind, Kind::Relay | Kind::Microsocks)
    }

    /// Whether what it needs is on this machine.
    pub(crate) fn is_installed(&self) -> bool {
        match &self.kind {
            Kind::Direct | Kind::Relay | Kind::Command(_) => true,
            Kind::RustSocks { program, scene: Scene::Asked } => {
                program.is_file() && find("wrk").is_some()
            }
            Kind::RustSocks { program, .. } => program.is_file(),
            Kind::Dante => find("danted").is_some(),
            Kind::Microsocks => find("microsocks").is_some(),
        }
    }

    /// Starts it and waits until it takes connections. Only a relay needs to know the `targets`.
    ///
    /// # Errors
    /// When it is not installed, ends at once or never listens; its last words are in the text.
    pub(crate) fn start(
        &self,
        targets: &[SocketAddrV4],
        roster: &Arc<Roster>,
    ) -> anyhow::Result<Running> {
        if matches!(self.kind, Kind::Direct) {
            return Ok(Running { way: Way::Straight, _audience: None, process: None });
        }
        let began = Instant::now();
        let mut attempt = 1;
        loop {
            match self.start_once(targets, roster) {
                // A peer that took its time did not fail for want of a port.
                Err(error) if attempt == ATTEMPTS || began.elapsed() > SOON => return Err(error),
                Err(_) => attempt += 1,
                Ok(running) => return Ok(running),
            }
        }
    }

    fn start_once(
        &self,
        targets: &[SocketAddrV4],
        roster: &Arc<Roster>,
    ) -> anyhow::Result<Running> {
        let folder = tempfile::Builder::new().prefix(&self.name).tempdir_in(roster.folder())?;
        let address = free_address()?;
        let api = free_address()?;
        let command = self.command(address, api, targets, folder.path())?;
        let process = Process::start(command, folder, Arc::clone(roster)).context("starting")?;
        process.wait_until_listening(address)?;
        let audience = match &self.kind {
            Kind::RustSocks { scene: scene @ (Scene::Asked | Scene::Watched), .. } => {
                process.wait_until_listening(api)?;
                Some(Audience::gather(*scene, api, roster)?)
            }
            _ => None,
        };
        let way = match self.kind {
            Kind::Relay => Way::Fixed(address),
            _ => Way::Socks(address),
        };
        Ok(Running { way, _audience: audience, process: Some(process) })
    }

    fn command(
        &self,
        listen: SocketAddrV4,
        api: SocketAddrV4,
        targets: &[SocketAddrV4],
        folder: &Path,
    ) -> anyhow::Result<Command> {
        let port = listen.port().to_string();
        match &self.kind {
            Kind::Direct => bail!("there is nothing to start"),
            Kind::Relay => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["relay", "--listen", &listen.to_string()]);
                for target in targets {
                    command.args(["--target", &target.to_string()]);
                }
                Ok(command)
            }
            Kind::RustSocks { program, scene } => {
                let accounting = *scene != Scene::Off;
                let config = rustsocks::write_config(folder, listen, api, accounting)?;
                let mut command = Command::new(program);
                command.arg("--config").arg(config);
                Ok(command)
            }
            Kind::Dante => {
                let config = dante::write_config(folder, listen)?;
                let mut command = Command::new(find("danted").context("danted is not installed")?);
                command.arg("-f").arg(config).arg("-p").arg(folder.join("danted.pid"));
                Ok(command)
            }
            Kind::Microsocks => {
                let mut command =
                    Command::new(find("microsocks").context("microsocks is not installed")?);
                command.args(["-i", "127.0.0.1", "-p", &port]);
                Ok(command)
            }
            Kind::Command(line) => {
                let mut command = Command::new("sh");
                // exec: the shell must not stay as a process between us and the peer.
                command.arg("-c").arg(format!("exec {}", line.replace("{port}", &port)));
                Ok(command)
            }
        }
    }
}

impl Running {
    /// Its processes; `None` where there is no proxy.
    pub(crate) fn usage(&self) -> Option<Tree> {
        self.process.as_ref().map(Process::usage)
    }

    /// Tells apart a proxy that still runs from one that fell over under load.
    ///
    /// # Errors
    /// When its main process has ended; the text holds its last words.
    pub(crate) fn check_alive(&self) -> anyhow::Result<()> {
        match &self.process {
            Some(process) => process.check_alive(),
            None => Ok(()),
        }
    }
}

fn free_address() -> anyhow::Result<SocketAddrV4> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr()?.port()))
}

/// Looks for a program in the path, and where Debian puts daemons: a user's path often leaves that out.
fn find(program: &str) -> Option<PathBuf> {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(OsString::from(":/usr/sbin:/usr/local/sbin"));
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

//! Database servers from Debian's packages, in folders of their own, on free loopback ports.
//!
//! A server lives no longer than the process that started it: a watchdog between the two ends it
//! when its input is closed, however that came about.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::certificate::Certificate;
use crate::eventually;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MariaDB.
    MariaDb,
    /// PostgreSQL.
    Postgres,
}

/// A database server.
#[derive(Debug)]
pub struct DatabaseServer {
    kind: Kind,
    folder: TempDir,
    port: u16,
    running: Mutex<Option<Running>>,
    /// The version that it claims to be of at its next start.
    claim: Mutex<Option<String>>,
    next: AtomicU32,
}

#[derive(Debug)]
struct Running {
    watchdog: Child,
    pid: Pid,
}

/// The user that owns every database made here.
const USER: &str = "rustsocks";
/// Its password.
pub const PASSWORD: &str = "s3cret/&word";
/// The same in a URL.
const PASSWORD_IN_URL: &str = "s3cret%2F%26word";

/// Starts what it is given, says its process id, and ends it when the input is closed.
const WATCHDOG: &str =
    r#""$@" >server.log 2>&1 & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null; wait"#;

fn postgres_folder() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let mut versions: Vec<PathBuf> = versions
        .expect("install the Debian package postgresql")
        .map(|entry| entry.unwrap().path().join("bin"))
        .collect();
    versions.sort();
    versions.pop().expect("install the Debian package postgresql")
}

impl DatabaseServer {
    /// The one server of its kind that this process's tests share.
    pub fn shared(kind: Kind) -> &'static Self {
        static SERVERS: [OnceLock<DatabaseServer>; 2] = [OnceLock::new(), OnceLock::new()];
        let place = match kind {
            Kind::MariaDb => 0,
            Kind::Postgres => 1,
        };
        SERVERS[place].get_or_init(|| Self::start(kind))
    }

    /// A server of its own, for a test that stops it.
    pub fn start(kind: Kind) -> Self {
        let folder = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Two installations at once get into each other's way.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let server = Self {
            kind,
            folder,
            port,
            running: Mutex::default(),
            claim: Mutex::default(),
            next: AtomicU32::new(1),
        };
        server.prepare();
        drop(turn);
        server.start_again();
        match kind {
            Kind::MariaDb => server.sql(
                "",
                &format!(
                    "CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'; \
                     CREATE USER 'reader'@'%' IDENTIFIED BY '{PASSWORD}'"
                ),
            ),
            Kind::Postgres => server.sql(
                "postgres",
                &format!(
                    "CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'; \
                     CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'"
                ),
            ),
        };
        server
    }

    /// Gives the server a certificate for 127.0.0.1, from an authority of its own, at its next
    /// start.
    pub fn certify(&self) {
        let certificate = Certificate::for_loopback();
        let folder = self.folder.path();
        std::fs::write(folder.join("server.pem"), certificate.server).unwrap();
        let private = folder.join("server.key");
        std::fs::write(&private, certificate.key).unwrap();
        let facts = std::fs::metadata(folder).unwrap();
        // Root cannot know whether it needs to: it owns what it writes.
        let _already = chown(&private, Some(facts.uid()), Some(facts.gid()));
        std::fs::set_permissions(&private, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(self.authority(), certificate.authority).unwrap();
    }

    /// Makes the server say that it is of another version, to whoever asks from here on about a
    /// database.
    pub fn claim(&self, version: &str, database: &str) {
        match self.kind {
            Kind::MariaDb => {
                *self.claim.lock().unwrap() = Some(version.to_owned());
                self.stop();
                self.start_again();
            }
            // A function of the same name is found before the server's own.
            Kind::Postgres => {
                let words = format!(
                    "CREATE SCHEMA claims; GRANT USAGE ON SCHEMA claims TO {USER}; \
                     CREATE FUNCTION claims.current_setting(text) RETURNS text \
                     LANGUAGE sql AS $$SELECT '{version}'::text$$; \
                     ALTER DATABASE {database} SET search_path = claims, pg_catalog, public"
                );
                self.sql(database, &words);
            }
        }
    }

    /// The certificate of the authority that [`DatabaseServer::certify`] makes.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// The account that the server runs under: the servers refuse root.
    fn account(&self) -> &'static str {
        match self.kind {
            Kind::MariaDb => "mysql",
            Kind::Postgres => "postgres",
        }
    }

    /// A command, under the server's account where this process is root.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let program = program.as_ref();
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("setpriv");
            let account = self.account();
            command.args([
                &format!("--reuid={account}"),
                &format!("--regid={account}"),
                "--clear-groups",
            ]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn prepare(&self) {
        if rustix::process::getuid().is_root() {
            let id = |flag| {
                let output = Command::new("id").args([flag, self.account()]).output().unwrap();
                String::from_utf8(output.stdout).unwrap().trim().parse().ok()
            };
            let package = "install the Debian packages mariadb-server and postgresql";
            chown(self.folder.path(), Some(id("-u").expect(package)), id("-g")).unwrap();
        }
        let mut command = match self.kind {
            Kind::MariaDb => {
                let mut command = self.command("mariadb-install-db");
                command.args(["--no-defaults", "--skip-test-db"]);
                command.arg("--auth-root-authentication-method=normal");
                command.arg(format!("--datadir={}", self.data().display()));
                command
            }
            Kind::Postgres => {
                let mut command = self.command(postgres_folder().join("initdb"));
                command.args(["--auth-local=trust", "--auth-host=scram-sha-256"]);
                command.args(["--no-sync", "--username=postgres", "--encoding=UTF8"]);
                command.arg(format!("--pgdata={}", self.data().display()));
                command
            }
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Starts it, after it was stopped or killed; waits until it answers.
    pub fn start_again(&self) {
        let folder = self.folder.path().display();
        let port = self.port;
        let mut arguments = match self.kind {
            Kind::MariaDb => vec![
                "mariadbd".to_owned(),
                "--no-defaults".to_owned(),
                format!("--datadir={}", self.data().display()),
                format!("--socket={folder}/socket"),
                format!("--pid-file={folder}/pid"),
                format!("--port={port}"),
                "--bind-address=127.0.0.1".to_owned(),
                "--innodb-buffer-pool-size=64M".to_owned(),
                "--skip-name-resolve".to_owned(),
                // Not the zone that the ledger writes: it must not matter.
                "--default-time-zone=+05:30".to_owned(),
            ],
            Kind::Postgres => vec![
                postgres_folder().join("postgres").display().to_string(),
                "-D".to_owned(),
                self.data().display().to_string(),
                format!("-p{port}"),
                "-clisten_addresses=127.0.0.1".to_owned(),
                format!("-cunix_socket_directories={folder}"),
                "-cshared_buffers=64MB".to_owned(),
                "-ctimezone=Asia/Kolkata".to_owned(),
            ],
        };
        if let Some(version) = &*self.claim.lock().unwrap() {
            arguments.push(format!("--version={version}"));
        }
        if self.authority().exists() {
            arguments.extend(match self.kind {
                Kind::MariaDb => vec![
                    format!("--ssl-cert={folder}/server.pem"),
                    format!("--ssl-key={folder}/server.key"),
                ],
                Kind::Postgres => vec![
                    "-cssl=on".to_owned(),
                    format!("-cssl_cert_file={folder}/server.pem"),
                    format!("-cssl_key_file={folder}/server.key"),
                ],
            });
        }
        let mut watchdog = self
            .command("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(watchdog.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        *self.running.lock().unwrap() = Some(Running { watchdog, pid });
        let question = "SELECT 1";
        eventually("the database server", || {
            self.client(self.maintenance(), question)
                .output()
                .unwrap()
                .status
                .success()
                .then_some(())
        });
    }

    fn maintenance(&self) -> &'static str {
        match self.kind {
            Kind::MariaDb => "",
            Kind::Postgres => "postgres",
        }
    }

    fn end(&self, signal: Signal) {
        let Some(mut running) = self.running.lock().unwrap().take() else { return };
        kill_process(running.pid, signal).unwrap();
        // The watchdog ends with the server once its input is closed; closed first, it would
        // kill a server that still stops in order.
        let pid = running.pid;
        eventually("the database server's end", || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // A process that nobody has waited for yet is over as well.
            stat.rsplit(") ")
                .next()
                .is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
                .then_some(())
        });
        drop(running.watchdog.stdin.take());
        let _ended = running.watchdog.wait();
    }

    /// Stops it in order, though clients are connected.
    pub fn stop(&self) {
        self.end(match self.kind {
            Kind::MariaDb => Signal::TERM,
            // "Fast": it does not wait for clients.
            Kind::Postgres => Signal::INT,
        });
    }

    /// Kills it.
    pub fn kill(&self) {
        self.end(Signal::KILL);
    }

    fn client(&self, database: &str, sql: &str) -> Command {
        let mut command = match self.kind {
            Kind::MariaDb => {
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "--user=root", "--batch", "--skip-column-names"]);
                command.arg(format!("--socket={}/socket", self.folder.path().display()));
                command.args(["--execute", sql, database]);
                command
            }
            Kind::Postgres => {
                let mut command = Command::new("psql");
                command.args(["--no-psqlrc", "--username=postgres", "--tuples-only", "--no-align"]);
                command.arg(format!("--host={}", self.folder.path().display()));
                command.arg(format!("--port={}", self.port));
                command.args(["--field-separator=\t", "--set=ON_ERROR_STOP=1"]);
                for statement in sql.split("; ") {
                    command.args(["--command", statement]);
                }
                command.arg(database);
                command
            }
        };
        command.stdin(Stdio::null());
        command
    }

    /// Runs statements, separated by `; `, as the server's own administrator; gives what they
    /// print, columns separated by tabs.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.client(database, sql).output().unwrap();
        assert!(output.status.success(), "{sql}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Makes a new, empty database; gives its name.
    pub fn database(&self) -> String {
        let name = format!("ledger_{}", self.next.fetch_add(1, Ordering::Relaxed));
        match self.kind {
            Kind::MariaDb => self.sql(
                "",
                &format!(
                    "CREATE DATABASE {name}; GRANT ALL ON {name}.* TO '{USER}'@'%'; \
                     GRANT SELECT ON {name}.* TO 'reader'@'%'"
                ),
            ),
            Kind::Postgres => self.sql("postgres", &format!("CREATE DATABASE {name} OWNER {USER}")),
        };
        name
    }

    /// The URL of a database, for its owner.
    pub fn url(&self, database: &str) -> String {
        self.url_as(USER, PASSWORD_IN_URL, database)
    }

    /// The URL of a database, for anybody.
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        self.url_at(user, password, self.port, database)
    }

    /// The URL of a database behind another port, such as a relay's in between.
    pub fn url_behind(&self, port: u16, database: &str) -> String {
        self.url_at(USER, PASSWORD_IN_URL, port, database)
    }

    fn url_at(&self, user: &str, password: &str, port: u16, database: &str) -> String {
        let scheme = match self.kind {
            Kind::MariaDb => "mysql",
            Kind::Postgres => "postgres",
        };
        format!("{scheme}://{user}:{password}@127.0.0.1:{port}/{database}")
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for DatabaseServer {
    fn drop(&mut self) {
        self.kill();
    }
}

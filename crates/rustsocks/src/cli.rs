//! The command line.

use std::fmt::Display;
use std::io::{self, BufRead as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use rustsocks_access::UserName;
use rustsocks_access::acl::{Acl, Question};
use rustsocks_access::auth::hash_password;
use rustsocks_access::operators::new_token;
use rustsocks_proto::{Host, HostName, Protocol, Target};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::console;
use crate::manual::{self, CompletedShell};
use crate::output;
use crate::program;

/// A bad configuration or command line.
const BAD_CONFIGURATION: u8 = 2;

/// What the exit codes mean.
const EXIT_CODES: &str = "Exit codes:\n  \
     0  done\n  \
     1  the answer is no: blocked, nothing found, a problem found\n  \
     2  the command line, the configuration or a filter is wrong\n  \
     3  a server that stopped could not make some record durable\n  \
     4  the server could not run, cannot be reached, or a command could not do its work\n  \
     5  a running server refuses: a token is needed, or may not do this";

/// A SOCKS5 proxy whose books always balance.
///
/// Without a configuration file it serves SOCKS on 127.0.0.1:1080 and its API on
/// 127.0.0.1:9090, and records sessions in data/sessions.db.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    /// Configuration file (TOML).
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration file; exits with 0 or 2.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Hash a password read from standard input, for `password_hash`.
    HashPassword,
    /// Make a token for a program that uses the API, and its hash for `[[sessions.api_tokens]]`.
    NewToken,
    /// Look after the SQLite file of the sessions.
    #[cfg(feature = "database")]
    Db(crate::db::Db),
    /// Look into the journal.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Ask the access rules.
    #[command(subcommand)]
    Acl(AclCommand),
    /// Ask a running server whether it is well; exits with 0 (it is) or 1.
    Status(console::Status),
    /// Look at sessions of a running server, and end them.
    Sessions(Box<console::Sessions>),
    /// Ask a running server who used how much.
    Stats(console::Stats),
    /// Watch the sessions of a running server, full-screen.
    #[cfg(feature = "tui")]
    Top(Box<console::Top>),
    /// Ask a running server what operators should know.
    Events(console::Events),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: CompletedShell,
    },
    /// Write man pages into a folder.
    Man {
        /// The folder; made where it is missing.
        folder: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// List the segments and what is in them. A server may run.
    Show {
        /// The journal's folder, instead of the one of the configuration.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum AclCommand {
    /// Tell which rule decides about a destination; exits with 0 (allow), 1 (block) or 2 (error).
    Test(AclTest),
}

#[derive(Debug, Args)]
struct AclTest {
    /// The user; the anonymous one by default.
    #[arg(long)]
    user: Option<String>,
    /// The destination.
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_target)]
    dest: Target,
    /// The address that the name resolves to, to ask the rules for addresses as well.
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// tcp or udp.
    #[arg(long, default_value = "tcp", value_parser = ["tcp", "udp"])]
    protocol: String,
    /// The rules' file, instead of the one that the configuration names.
    #[arg(long, value_name = "FILE")]
    acl: Option<PathBuf>,
}

/// Runs what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let config = cli.config.as_deref();
    match cli.command {
        None => match load(config) {
            Ok(config) => program::run(config),
            Err(code) => code,
        },
        Some(Command::Check { file }) => check(&file),
        Some(Command::HashPassword) => hash(),
        Some(Command::NewToken) => token(),
        #[cfg(feature = "database")]
        Some(Command::Db(db)) => crate::db::run(db, config),
        Some(Command::Journal(JournalCommand::Show { dir })) => journal_show(dir, config),
        Some(Command::Acl(AclCommand::Test(test))) => acl_test(test, config),
        Some(Command::Status(status)) => console::run(status, config),
        Some(Command::Sessions(sessions)) => console::run(*sessions, config),
        Some(Command::Stats(stats)) => console::run(stats, config),
        #[cfg(feature = "tui")]
        Some(Command::Top(top)) => console::run(*top, config),
        Some(Command::Events(events)) => console::run(events, config),
        Some(Command::Completions { shell }) => manual::completions(shell, Cli::command()),
        Some(Command::Man { folder }) => manual::man_pages(&folder, Cli::command()),
    }
}

/// Says what is wrong, in one line, and gives the exit code for it.
pub(crate) fn complain(problem: &dyn Display) -> ExitCode {
    let line = format!("rustsocks: {problem}\n");
    // Nothing is left to do when standard error is gone as well.
    let _unheard = io::Write::write_all(&mut io::stderr(), line.as_bytes());
    ExitCode::from(BAD_CONFIGURATION)
}

pub(crate) fn say(text: &str, code: ExitCode) -> ExitCode {
    match output::print(text) {
        Ok(()) => code,
        Err(error) => complain(&format_args!("cannot write to standard output: {error}")),
    }
}

pub(crate) fn load(file: Option<&Path>) -> Result<Config, ExitCode> {
    let loaded = match file {
        Some(file) => Config::load(file),
        None => Config::embedded(),
    };
    loaded.map_err(|fault| complain(&fault))
}

fn check(file: &Path) -> ExitCode {
    let config = match load(Some(file)) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Some(rules) = &config.acl.file
        && let Err(error) = rustsocks_access::acl::Rules::load(rules)
    {
        return complain(&error);
    }
    let warnings: String =
        config.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    say(&format!("{warnings}{}: the configuration is sound\n", file.display()), ExitCode::SUCCESS)
}

/// Lists the journal's segments, the oldest first.
fn journal_show(dir: Option<PathBuf>, config: Option<&Path>) -> ExitCode {
    let folder = match dir {
        Some(folder) => folder,
        None => match load(config).map(|config| config.ledger.and_then(|all| all.journal)) {
            Err(code) => return code,
            Ok(Some(journal)) => journal.folder,
            Ok(None) => return complain(&"this configuration has no journal"),
        },
    };
    let segments = match rustsocks_journal::list(&folder) {
        Ok(segments) => segments,
        Err(error) => return complain(&error),
    };
    let mut text = format!("{}: {} segments\n", folder.display(), segments.len());
    for segment in segments {
        text.push_str(&match rustsocks_journal::summary(&segment.path) {
            Ok(summary) => {
                format!("{} ({} bytes): {summary}\n", segment.path.display(), segment.bytes)
            }
            Err(error) => format!("{}: {error}\n", segment.path.display()),
        });
    }
    say(&text, ExitCode::SUCCESS)
}

fn hash() -> ExitCode {
    let mut line = Zeroizing::new(String::new());
    if let Err(error) = io::stdin().lock().read_line(&mut line) {
        return complain(&format_args!("cannot read a password from standard input: {error}"));
    }
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() || password.len() > 255 {
        return complain(&"a password has 1 to 255 bytes (RFC 1929); give one on standard input");
    }
    match hash_password(&SecretString::from(password)) {
        Ok(hash) => say(&format!("{hash}\n"), ExitCode::SUCCESS),
        Err(error) => complain(&error),
    }
}

/// Prints a token, which is shown this once, and its hash.
fn token() -> ExitCode {
    match new_token() {
        Ok((token, hash)) => {
            let token = Zeroizing::new(token.expose_secret().to_owned());
            say(&format!("token: {}\ntoken_hash: {hash}\n", *token), ExitCode::SUCCESS)
        }
        Err(error) => complain(&format_args!("no randomness from the system: {error}")),
    }
}

fn acl_test(test: AclTest, config: Option<&Path>) -> ExitCode {
    let config = match load(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let Some(file) = test.acl.or(config.acl.file) else {
        return complain(&"the access rules are switched off; name a file with --acl");
    };
    let anonymous = config.acl.anonymous_user;
    let user = match test.user.as_deref().map(UserName::new) {
        None => anonymous.clone(),
        Some(Ok(user)) => user,
        Some(Err(error)) => return complain(&format_args!("--user: {error}")),
    };
    let acl = match Acl::from_file(&file, anonymous) {
        Ok(acl) => acl,
        Err(error) => return complain(&error),
    };
    let protocol = if test.protocol == "udp" { Protocol::Udp } else { Protocol::Tcp };
    let Target { host, port } = &test.dest;
    if test.address.is_some() && matches!(host, Host::Ip(_)) {
        return complain(&"--address: the destination is an address already");
    }
    let question = Question { user: user.as_str(), host, port: *port, protocol };
    let Some(explanation) = acl.explain(&question, test.address) else {
        return complain(&"the access rules are switched off");
    };
    let allowed = explanation.verdict().is_some_and(|verdict| verdict.is_allow());
    say(&explanation.to_string(), ExitCode::from(u8::from(!allowed)))
}

/// Reads `host:port`, with IPv6 addresses in brackets.
fn parse_target(text: &str) -> Result<Target, String> {
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Ok(address.into());
    }
    let (host, port) = text.rsplit_once(':').ok_or("write it as HOST:PORT")?;
    let port = port.parse().map_err(|_| "the port must be 0 to 65535")?;
    let host = HostName::new(host).map_err(|error| error.to_string())?;
    if host.as_str().contains(':') {
        return Err("write an IPv6 address in brackets, as [2001:db8::1]:443".into());
    }
    Ok(Target { host: Host::Name(host), port })
}

//! The command line, and the plan that it asks for. Nothing is started here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};

use crate::case::{Case, Setting};
use crate::peer::{Kind, Peer, Scene};
use crate::run::Plan;

/// A quick run begins no case after this time; the longest case takes some fifteen seconds.
const QUICK_LIMIT: Duration = Duration::from_secs(100);

/// Compares proxies side by side: the same work for each in turn, medians of several rounds.
#[derive(Debug, Parser)]
#[command(name = "rustsocks-bench", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) mode: Option<Mode>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// What this binary does besides measuring.
#[derive(Debug, Subcommand)]
pub(crate) enum Mode {
    /// Relay every connection to a fixed target with tokio's copy_bidirectional, 64 KiB buffers.
    Relay(RelayArguments),
}

#[derive(Debug, Args)]
pub(crate) struct RelayArguments {
    /// Where to listen.
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    /// Where every connection goes; given several times, they take turns.
    #[arg(long, required = true)]
    pub(crate) target: Vec<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The RustSocks to measure.
    #[arg(long, value_name = "PATH", default_value = "target/release/rustsocks")]
    pub(crate) rustsocks: PathBuf,
    /// Another SOCKS5 proxy, run by the shell; {port} is where it must listen on 127.0.0.1.
    #[arg(long, value_name = "NAME=COMMAND")]
    pub(crate) peer: Vec<String>,
    /// Which built-in peers take part: direct, relay, rustsocks, rustsocks-off, dante, microsocks;
    /// and, only where they are named, rustsocks-asked, whose API `wrk` asks for statistics without
    /// pause, and rustsocks-watched, which has a thousand slow readers of its stream.
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Vec<String>,
    /// Which cases: down-1, down-16, up-1, up-16, short, rr-1, rr-256, udp, idle; `bulk` and `rr`
    /// stand for their groups.
    #[arg(long, value_delimiter = ',')]
    pub(crate) cases: Vec<String>,
    /// Rounds; each gives every peer every case once [default: 5, quick: 2].
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
    /// Seconds measured per case, peer and round [default: 2, quick: 0.4].
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// Seconds after which opening idle sessions stops [default: 30, quick: 4].
    #[arg(long)]
    pub(crate) idle_seconds: Option<f64>,
    /// Everything in under two minutes: a look, not a verdict.
    #[arg(long)]
    pub(crate) quick: bool,
    /// The peer that the table of goals is about.
    #[arg(long, default_value = "rustsocks")]
    pub(crate) subject: String,
    /// Also write the report here.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Write every figure of every round here.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl Arguments {
    /// Turns the options into a plan.
    ///
    /// # Errors
    /// An unknown case or peer, or a number that makes no sense, named in one line.
    pub(crate) fn plan(&self) -> anyhow::Result<Plan> {
        let run = &self.run;
        let (rounds, seconds, idle) = if run.quick { (2, 0.4, 4.0) } else { (5, 2.0, 30.0) };
        let rounds = run.rounds.unwrap_or(rounds);
        if rounds == 0 {
            bail!("--rounds must be at least 1");
        }
        let window = duration("--seconds", run.seconds.unwrap_or(seconds))?;
        let setting = Setting {
            window,
            warm_up: (window / 4).clamp(Duration::from_millis(100), Duration::from_millis(500)),
            idle_limit: duration("--idle-seconds", run.idle_seconds.unwrap_or(idle))?,
        };
        Ok(Plan {
            peers: self.peers()?,
            cases: cases(&run.cases)?,
            rounds,
            setting,
            limit: run.quick.then_some(QUICK_LIMIT),
            subject: run.subject.clone(),
        })
    }

    fn peers(&self) -> anyhow::Result<Vec<Peer>> {
        let rustsocks = |scene| Kind::rustsocks(&self.run.rustsocks, scene);
        let built_in = [
            ("direct", Kind::Direct),
            ("relay", Kind::Relay),
            ("rustsocks", rustsocks(Scene::On)),
            ("rustsocks-asked", rustsocks(Scene::Asked)),
            ("rustsocks-watched", rustsocks(Scene::Watched)),
            ("rustsocks-off", rustsocks(Scene::Off)),
            ("dante", Kind::Dante),
            ("microsocks", Kind::Microsocks),
        ]
        .map(|(name, kind)| Peer { name: name.to_owned(), kind });
        for wanted in &self.run.peers {
            if !built_in.iter().any(|peer| peer.name == *wanted) {
                bail!("--peers: no built-in peer is called `{wanted}`");
            }
        }
        let mut peers: Vec<Peer> = built_in
            .into_iter()
            .filter(|peer| match self.run.peers.as_slice() {
                [] => peer.is_usual(),
                chosen => chosen.contains(&peer.name),
            })
            .collect();
        for text in &self.run.peer {
            let (name, command) = text.split_once('=').context("--peer wants NAME=COMMAND")?;
            if !command.contains("{port}") {
                bail!("--peer {name}: the command must say {{port}} where it listens");
            }
            if peers.iter().any(|peer| peer.name == name) {
                bail!("--peer {name}: the name is taken");
            }
            peers.push(Peer { name: name.to_owned(), kind: Kind::Command(command.to_owned()) });
        }
        Ok(peers)
    }
}

fn duration(option: &str, seconds: f64) -> anyhow::Result<Duration> {
    if !(0.05..=600.0).contains(&seconds) {
        bail!("{option} must lie between 0.05 and 600");
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn cases(wanted: &[String]) -> anyhow::Result<Vec<Case>> {
    for name in wanted {
        if !Case::ALL.iter().any(|case| case.is_called(name)) {
            bail!("--cases: there is no case `{name}`");
        }
    }
    Ok(Case::ALL
        .into_iter()
        .filter(|case| wanted.is_empty() || wanted.iter().any(|name| case.is_called(name)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> anyhow::Result<Plan> {
        Arguments::try_parse_from(line.split(' ')).expect("the line parses").plan()
    }

    #[test]
    fn a_group_stands_for_its_cases() {
        let plan = plan("bench --cases rr,udp").unwrap();
        assert_eq!(
            plan.cases,
            [
                Case::Exchange { connections: 1 },
                Case::Exchange { connections: 256 },
                Case::Datagrams
            ]
        );
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(plan("bench --cases nonsense").is_err());
        assert!(plan("bench --peers nobody").is_err());
        assert!(plan("bench --peer x=command-without-port").is_err());
        assert!(plan("bench --peer dante=danted{port}").is_err());
        assert!(plan("bench --rounds 0").is_err());
        assert!(plan("bench --seconds 0").is_err());
    }

    #[test]
    fn peers_with_an_audience_take_part_only_where_they_are_named() {
        let names = |line: &str| -> Vec<String> {
            plan(line).unwrap().peers.into_iter().map(|peer| peer.name).collect()
        };
        assert!(names("bench").iter().all(|name| name != "rustsocks-watched"));
        assert_eq!(names("bench --peers rustsocks-watched"), ["rustsocks-watched"]);
    }

    #[test]
    fn a_peer_given_by_command_joins_the_chosen_ones() {
        let plan = plan("bench --peers direct --peer other=proxy{port}").unwrap();
        let names: Vec<_> = plan.peers.iter().map(|peer| peer.name.as_str()).collect();
        assert_eq!(names, ["direct", "other"]);
    }
}

//! The report: every figure of every round for programs, and tables for readers. It is made of
//! what was measured and knows nothing of how.

mod markdown;

use std::fmt;

use serde::Serialize;

use crate::case::Case;
use crate::goal::{self, Judged};
use crate::machine::Machine;
use crate::metric::{Better, Metric};
use crate::run::{Outcome, Plan};
use crate::summary::Summary;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    rounds: usize,
    seconds: f64,
    took_seconds: f64,
    subject: String,
    missing: Vec<String>,
    cases: Vec<CaseReport>,
    goals: Vec<Judged>,
}

#[derive(Debug, Serialize)]
struct CaseReport {
    case: String,
    title: String,
    peers: Vec<PeerReport>,
}

#[derive(Debug, Serialize)]
struct PeerReport {
    peer: String,
    /// False where the peer has no such function at all.
    suits: bool,
    failures: Vec<String>,
    figures: Vec<FigureReport>,
}

#[derive(Debug, Serialize)]
struct FigureReport {
    metric: Metric,
    #[serde(flatten)]
    summary: Option<Summary>,
    /// By round; null where the round failed.
    rounds: Vec<Option<f64>>,
    ratios: Vec<Ratio>,
}

#[derive(Debug, Serialize)]
struct Ratio {
    to: Reference,
    #[serde(flatten)]
    summary: Summary,
}

/// What ratios are taken to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Reference {
    Direct,
    Relay,
    /// The best SOCKS peer, by name.
    Best(String),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct"),
            Self::Relay => f.write_str("relay"),
            Self::Best(name) => write!(f, "best ({name})"),
        }
    }
}

impl Report {
    /// `machine` as it was before the run.
    pub(crate) fn new(plan: &Plan, machine: Machine, outcome: &Outcome) -> Self {
        let missing = plan.peers.iter().filter(|peer| !peer.is_installed());
        Self {
            machine,
            rounds: plan.rounds,
            seconds: plan.setting.window.as_secs_f64(),
            took_seconds: outcome.took_seconds,
            subject: plan.subject.clone(),
            missing: missing.map(|peer| peer.name.clone()).collect(),
            cases: plan.cases.iter().map(|case| CaseReport::new(*case, plan, outcome)).collect(),
            goals: goal::judge(plan, outcome),
        }
    }
}

impl CaseReport {
    fn new(case: Case, plan: &Plan, outcome: &Outcome) -> Self {
        let metrics = outcome.metrics(case);
        let peers = plan.peers.iter().filter(|peer| peer.is_installed());
        let peers = peers
            .map(|peer| PeerReport {
                peer: peer.name.clone(),
                suits: case.suits(peer),
                failures: outcome.failures(case, &peer.name),
                figures: metrics
                    .iter()
                    .map(|metric| FigureReport {
                        metric: *metric,
                        summary: outcome.summary(case, &peer.name, *metric),
                        rounds: outcome.values(case, &peer.name, *metric),
                        ratios: ratios(case, *metric, &peer.name, (plan, outcome)),
                    })
                    .collect(),
            })
            .collect();
        Self { case: case.to_string(), title: case.title(), peers }
    }
}

fn ratios(
    case: Case,
    metric: Metric,
    peer: &str,
    (plan, outcome): (&Plan, &Outcome),
) -> Vec<Ratio> {
    if metric.better() == Better::Neither {
        return Vec::new();
    }
    let best = goal::best_peer(plan, outcome, case, metric);
    [
        (Reference::Direct, Some("direct")),
        (Reference::Relay, Some("relay")),
        (Reference::Best(best.unwrap_or_default().to_owned()), best),
    ]
    .into_iter()
    .filter_map(|(to, name)| {
        let name = name.filter(|name| *name != peer)?;
        Some(Ratio { to, summary: outcome.ratio(case, metric, peer, name)? })
    })
    .collect()
}

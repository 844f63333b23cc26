//! What RustSocks is to reach, as ratios within one run. The list is data; judging a goal is one
//! comparison.

use serde::Serialize;

use crate::case::{Case, Flow};
use crate::metric::{Better, Metric};
use crate::peer::Peer;
use crate::run::{Outcome, Plan};

/// The name under which sessions are switched off.
const OFF: &str = "rustsocks-off";

const DOWN_1: Case = Case::Bulk { flow: Flow::Down, streams: 1 };
const DOWN_16: Case = Case::Bulk { flow: Flow::Down, streams: 16 };
const UP_1: Case = Case::Bulk { flow: Flow::Up, streams: 1 };
const UP_16: Case = Case::Bulk { flow: Flow::Up, streams: 16 };
const RR_256: Case = Case::Exchange { connections: 256 };

/// What a figure is set against.
#[derive(Clone, Copy, Debug)]
enum Against {
    /// A peer by name.
    Named(&'static str),
    /// The SOCKS peer with the best median, RustSocks itself left out.
    Best,
    /// Nothing: the figure is the bound's own unit.
    Nothing,
}

/// Which side of the bound is right.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

struct Goal {
    case: Case,
    metric: Metric,
    against: Against,
    bound: Bound,
}

const fn goal(case: Case, metric: Metric, against: Against, bound: Bound) -> Goal {
    Goal { case, metric, against, bound }
}

const GOALS: [Goal; 19] = {
    use Against::{Best, Named, Nothing};
    use Bound::{AtLeast, AtMost};
    use Metric::{CpuMicrosEach, CpuSecondsPerGb, GbPerSecond, KibEach, P99Micros, PerSecond};
    [
        goal(DOWN_16, CpuSecondsPerGb, Named("relay"), AtMost(0.60)),
        goal(UP_16, CpuSecondsPerGb, Named("relay"), AtMost(0.60)),
        goal(DOWN_16, GbPerSecond, Best, AtLeast(1.0)),
        goal(UP_16, GbPerSecond, Best, AtLeast(1.0)),
        goal(DOWN_1, GbPerSecond, Best, AtLeast(0.95)),
        goal(UP_1, GbPerSecond, Best, AtLeast(0.95)),
        goal(Case::Short, CpuMicrosEach, Named("microsocks"), AtMost(0.90)),
        goal(Case::Short, PerSecond, Best, AtLeast(1.1)),
        goal(RR_256, CpuMicrosEach, Named("dante"), AtMost(0.75)),
        goal(RR_256, P99Micros, Best, AtMost(1.1)),
        goal(Case::Datagrams, PerSecond, Named("dante"), AtLeast(3.0)),
        goal(Case::Datagrams, CpuMicrosEach, Named("dante"), AtMost(0.4)),
        goal(Case::Idle, KibEach, Nothing, AtMost(4.0)),
        goal(DOWN_16, CpuSecondsPerGb, Named(OFF), AtMost(1.03)),
        goal(UP_16, CpuSecondsPerGb, Named(OFF), AtMost(1.03)),
        goal(DOWN_1, CpuSecondsPerGb, Named(OFF), AtMost(1.03)),
        goal(UP_1, CpuSecondsPerGb, Named(OFF), AtMost(1.03)),
        goal(RR_256, CpuMicrosEach, Named(OFF), AtMost(1.03)),
        goal(Case::Short, CpuMicrosEach, Named(OFF), AtMost(1.12)),
    ]
};

/// How a goal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    Reached,
    NotReached,
    /// The run has no figure for one of the two.
    NoFigure,
}

/// A goal with its figure.
#[derive(Debug, Serialize)]
pub(crate) struct Judged {
    /// The case's name on the command line.
    pub(crate) case: String,
    pub(crate) metric: Metric,
    /// The bound in words.
    pub(crate) wanted: String,
    /// The ratio, or the figure itself where there is nothing to compare with.
    pub(crate) figure: Option<f64>,
    pub(crate) standing: Standing,
}

/// Judges every goal whose case was in the plan.
pub(crate) fn judge(plan: &Plan, outcome: &Outcome) -> Vec<Judged> {
    GOALS
        .iter()
        .filter(|goal| plan.cases.contains(&goal.case))
        .map(|goal| judge_one(goal, plan, outcome))
        .collect()
}

/// The SOCKS peer with the best median of a figure, the subject and RustSocks without sessions
/// left out.
pub(crate) fn best_peer<'a>(
    plan: &'a Plan,
    outcome: &Outcome,
    case: Case,
    metric: Metric,
) -> Option<&'a str> {
    let ranked = |peer: &'a Peer| {
        let median = outcome.summary(case, &peer.name, metric)?.median;
        let rank = if metric.better() == Better::Higher { -median } else { median };
        Some((rank, peer.name.as_str()))
    };
    plan.peers
        .iter()
        .filter(|peer| peer.is_socks() && peer.name != plan.subject && peer.name != OFF)
        .filter_map(ranked)
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

fn judge_one(goal: &Goal, plan: &Plan, outcome: &Outcome) -> Judged {
    let subject = plan.subject.as_str();
    let (figure, whom) = match goal.against {
        Against::Named(name) => {
            (outcome.ratio(goal.case, goal.metric, subject, name), format!(" × {name}"))
        }
        Against::Best => match best_peer(plan, outcome, goal.case, goal.metric) {
            Some(name) => (
                outcome.ratio(goal.case, goal.metric, subject, name),
                format!(" × the best SOCKS peer ({name})"),
            ),
            None => (None, " × the best SOCKS peer".to_owned()),
        },
        Against::Nothing => (
            outcome.summary(goal.case, subject, goal.metric).map(|summary| summary.median),
            String::new(),
        ),
    };
    let (wanted, reached) = match goal.bound {
        Bound::AtMost(bound) => (format!("≤ {bound}{whom}"), figure.map(|figure| figure <= bound)),
        Bound::AtLeast(bound) => (format!("≥ {bound}{whom}"), figure.map(|figure| figure >= bound)),
    };
    let standing = match reached {
        Some(true) => Standing::Reached,
        Some(false) => Standing::NotReached,
        None => Standing::NoFigure,
    };
    Judged { case: goal.case.to_string(), metric: goal.metric, wanted, figure, standing }
}

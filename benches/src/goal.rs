//! What RustSocks is to reach, as ratios within one run. The list is data; judging a goal is one
//! comparison.

use serde::Serialize;

use crate::case::{Case, Flow, IDLE_HELD};
use crate::metric::{Better, Metric};
use crate::peer::Peer;
use crate::run::{Outcome, Plan};
use crate::summary::Summary;

/// RustSocks with sessions, and without.
const ON: &str = "rustsocks";
const OFF: &str = "rustsocks-off";

/// Those that have an audience at their API, and may lose no more than 3 % by it.
const ASKED: &str = "rustsocks-asked";
const WATCHED: &str = "rustsocks-watched";

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
    /// Whose figure it is where it is not the subject's; asked of runs in which that one takes part.
    whose: Option<&'static str>,
    case: Case,
    metric: Metric,
    against: Against,
    bound: Bound,
}

const fn goal(case: Case, metric: Metric, against: Against, bound: Bound) -> Goal {
    Goal { whose: None, case, metric, against, bound }
}

impl Goal {
    const fn of(self, peer: &'static str) -> Self {
        Self { whose: Some(peer), ..self }
    }
}

const GOALS: [Goal; 23] = {
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
        goal(DOWN_16, GbPerSecond, Named(ON), AtLeast(0.97)).of(ASKED),
        goal(RR_256, PerSecond, Named(ON), AtLeast(0.97)).of(ASKED),
        goal(DOWN_16, GbPerSecond, Named(ON), AtLeast(0.97)).of(WATCHED),
        goal(RR_256, PerSecond, Named(ON), AtLeast(0.97)).of(WATCHED),
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
    pub(crate) figure: Option<Summary>,
    pub(crate) standing: Standing,
}

/// Judges every goal whose case, and whose peer if it names one, was in the plan.
pub(crate) fn judge(plan: &Plan, outcome: &Outcome) -> Vec<Judged> {
    let takes_part = |name| plan.peers.iter().any(|peer| peer.name == name);
    GOALS
        .iter()
        .filter(|goal| plan.cases.contains(&goal.case) && goal.whose.is_none_or(takes_part))
        .map(|goal| judge_one(goal, plan, outcome))
        .collect()
}

/// The SOCKS peer with the best median of a figure, the subject and RustSocks in other scenes left
/// out.
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
        .filter(|peer| peer.is_socks() && peer.name != plan.subject)
        .filter(|peer| ![ON, OFF, ASKED, WATCHED].contains(&peer.name.as_str()))
        .filter_map(ranked)
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

fn judge_one(goal: &Goal, plan: &Plan, outcome: &Outcome) -> Judged {
    let subject = goal.whose.unwrap_or(plan.subject.as_str());
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
        Against::Nothing => (outcome.summary(goal.case, subject, goal.metric), String::new()),
    };
    let (wanted, reached) = match goal.bound {
        Bound::AtMost(bound) => {
            (format!("≤ {bound}{whom}"), figure.map(|figure| figure.median <= bound))
        }
        Bound::AtLeast(bound) => {
            (format!("≥ {bound}{whom}"), figure.map(|figure| figure.median >= bound))
        }
    };
    // A few sessions share the process' fixed costs among too few.
    let enough = goal.case != Case::Idle
        || outcome
            .summary(goal.case, subject, Metric::Held)
            .is_some_and(|held| held.min >= IDLE_HELD as f64);
    let standing = match reached.filter(|_| enough) {
        Some(true) => Standing::Reached,
        Some(false) => Standing::NotReached,
        None => Standing::NoFigure,
    };
    let wanted = match goal.whose {
        Some(name) => format!("{name} {wanted}"),
        None => wanted,
    };
    Judged { case: goal.case.to_string(), metric: goal.metric, wanted, figure, standing }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::case::Setting;
    use crate::metric::Figure;
    use crate::peer::Kind;

    fn plan(cases: &[Case], peers: &[&str]) -> Plan {
        let second = Duration::from_secs(1);
        Plan {
            peers: peers
                .iter()
                .map(|name| Peer {
                    name: (*name).to_owned(),
                    kind: if *name == "relay" {
                        Kind::Relay
                    } else {
                        Kind::Command("{port}".to_owned())
                    },
                })
                .collect(),
            cases: cases.to_vec(),
            rounds: 1,
            setting: Setting { window: second, warm_up: second, idle_limit: second },
            limit: None,
            subject: "rustsocks".to_owned(),
        }
    }

    fn standing(judged: &[Judged], metric: Metric, wanted: &str) -> Standing {
        judged
            .iter()
            .find(|goal| goal.metric == metric && goal.wanted.contains(wanted))
            .expect("the goal is in the list")
            .standing
    }

    #[test]
    fn a_goal_is_judged_against_the_peer_it_names_or_the_best_one() {
        let peers = ["relay", "rustsocks", OFF, "dante", "microsocks"];
        let mut outcome = Outcome::default();
        for (peer, rate, cost) in [
            ("relay", 900.0, 1.0),
            ("rustsocks", 120.0, 8.0),
            (OFF, 500.0, 7.5),
            ("dante", 50.0, 30.0),
            ("microsocks", 100.0, 10.0),
        ] {
            let figures = vec![
                Figure::new(Metric::PerSecond, rate),
                Figure::new(Metric::CpuMicrosEach, cost),
            ];
            outcome.note(Case::Short, peer, Ok(figures));
        }
        let judged = judge(&plan(&[Case::Short], &peers), &outcome);
        assert_eq!(judged.len(), 3);
        assert_eq!(standing(&judged, Metric::CpuMicrosEach, "microsocks"), Standing::Reached);
        assert_eq!(
            standing(&judged, Metric::PerSecond, "best SOCKS peer (microsocks)"),
            Standing::Reached
        );
        assert_eq!(standing(&judged, Metric::CpuMicrosEach, OFF), Standing::Reached);

        outcome.note(Case::Short, "rustsocks", Ok(vec![Figure::new(Metric::PerSecond, 1.0)]));
        outcome.note(Case::Short, "microsocks", Ok(vec![Figure::new(Metric::PerSecond, 100.0)]));
        let judged = judge(&plan(&[Case::Short], &peers), &outcome);
        assert_eq!(standing(&judged, Metric::PerSecond, "microsocks"), Standing::NotReached);
    }

    #[test]
    fn without_the_peer_or_enough_sessions_there_is_no_verdict() {
        let mut outcome = Outcome::default();
        outcome.note(Case::Short, "rustsocks", Ok(vec![Figure::new(Metric::PerSecond, 1.0)]));
        let idle = |held| vec![Figure::new(Metric::KibEach, 2.0), Figure::new(Metric::Held, held)];
        outcome.note(Case::Idle, "rustsocks", Ok(idle(100.0)));
        let plan = plan(&[Case::Short, Case::Idle], &["rustsocks"]);
        let judged = judge(&plan, &outcome);
        assert!(judged.iter().all(|goal| goal.standing == Standing::NoFigure), "{judged:?}");

        let mut outcome = Outcome::default();
        outcome.note(Case::Idle, "rustsocks", Ok(idle(9_000.0)));
        assert_eq!(standing(&judge(&plan, &outcome), Metric::KibEach, "4"), Standing::Reached);
    }
}

//! The run itself: every round gives every case to every peer in turn, so that whatever the
//! machine does meanwhile hits all of them alike. It orders and collects, and judges nothing.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::case::{Case, Setting, Stage};
use crate::descriptors;
use crate::metric::{Figure, Metric};
use crate::peer::Peer;
use crate::roster::Roster;
use crate::summary::{Summary, ratio};

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) peers: Vec<Peer>,
    pub(crate) cases: Vec<Case>,
    pub(crate) rounds: usize,
    pub(crate) setting: Setting,
    /// After this time no further case begins; what was measured by then is reported.
    pub(crate) limit: Option<Duration>,
    /// The peer that the goals are about.
    pub(crate) subject: String,
}

/// What one peer did in one case, by round: its figures, or why there are none.
type Rounds = Vec<Result<Vec<Figure>, String>>;

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    rounds: BTreeMap<(Case, String), Rounds>,
    pub(crate) took_seconds: f64,
}

impl Outcome {
    /// Adds what a peer did in its next round.
    pub(crate) fn note(&mut self, case: Case, peer: &str, result: Result<Vec<Figure>, String>) {
        self.rounds.entry((case, peer.to_owned())).or_default().push(result);
    }

    /// A figure in each round; `None` where the round failed.
    pub(crate) fn values(&self, case: Case, peer: &str, metric: Metric) -> Vec<Option<f64>> {
        let Some(rounds) = self.rounds.get(&(case, peer.to_owned())) else { return Vec::new() };
        rounds
            .iter()
            .map(|round| {
                let figures = round.as_ref().ok()?;
                figures.iter().find(|figure| figure.metric == metric).map(|figure| figure.value)
            })
            .collect()
    }

    /// The figure over all rounds that gave one.
    pub(crate) fn summary(&self, case: Case, peer: &str, metric: Metric) -> Option<Summary> {
        let values: Vec<f64> = self.values(case, peer, metric).into_iter().flatten().collect();
        Summary::of(&values)
    }

    /// The ratio of one peer's figure to another's, paired by round.
    pub(crate) fn ratio(&self, case: Case, metric: Metric, of: &str, to: &str) -> Option<Summary> {
        ratio(&self.values(case, of, metric), &self.values(case, to, metric))
    }

    /// The figures that this case has, in the order in which they were reported.
    pub(crate) fn metrics(&self, case: Case) -> Vec<Metric> {
        let mut metrics = Vec::new();
        for ((_, _), rounds) in self.rounds.iter().filter(|((of, _), _)| *of == case) {
            for figure in rounds.iter().flatten().flatten() {
                if !metrics.contains(&figure.metric) {
                    metrics.push(figure.metric);
                }
            }
        }
        metrics.sort_by_key(|metric| *metric as u8);
        metrics
    }

    /// Why rounds have no figures, each reason once.
    pub(crate) fn failures(&self, case: Case, peer: &str) -> Vec<String> {
        let mut reasons: Vec<String> = Vec::new();
        for round in self.rounds.get(&(case, peer.to_owned())).into_iter().flatten() {
            if let Err(reason) = round
                && !reasons.contains(reason)
            {
                reasons.push(reason.clone());
            }
        }
        reasons
    }
}

/// Does what the plan says, or as much of it as its time limit allows. A peer that fails is noted
/// and tried again in the next round.
pub(crate) fn run(plan: &Plan, roster: &Arc<Roster>) -> Outcome {
    descriptors::raise_limit();
    let started = Instant::now();
    let mut outcome = Outcome::default();
    let turns =
        (1..=plan.rounds).flat_map(|round| plan.cases.iter().map(move |case| (round, *case)));
    for (round, case) in turns {
        // Only between cases: within one, every peer gets its turn.
        if plan.limit.is_some_and(|limit| started.elapsed() > limit) {
            say("the time is up\n");
            break;
        }
        for peer in plan.peers.iter().filter(|peer| peer.is_installed() && case.suits(peer)) {
            say(&format!(
                "round {round}/{}  {:<8} {:<14}",
                plan.rounds,
                case.to_string(),
                peer.name
            ));
            let stage = Stage { peer, setting: plan.setting, roster };
            let result = case.measure(stage).map_err(|error| format!("{error:#}"));
            say(&match &result {
                Ok(figures) => format!("{}\n", in_one_line(figures)),
                Err(error) => format!("failed: {error}\n"),
            });
            outcome.note(case, &peer.name, result);
        }
    }
    outcome.took_seconds = started.elapsed().as_secs_f64();
    outcome
}

fn in_one_line(figures: &[Figure]) -> String {
    let parts: Vec<String> = figures
        .iter()
        .map(|figure| format!("{:.3} {}", figure.value, figure.metric.heading()))
        .collect();
    parts.join(", ")
}

/// Progress goes to standard error, where nobody need listen.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_round_leaves_a_gap_and_a_reason() {
        let mut outcome = Outcome::default();
        let rate = |value| Ok(vec![Figure::new(Metric::PerSecond, value)]);
        for (a, b) in [
            (Ok(10.0), Ok(5.0)),
            (Err("fell over"), Ok(1.0)),
            (Err("fell over"), Ok(1.0)),
            (Ok(30.0), Ok(10.0)),
        ] {
            outcome.note(Case::Short, "a", a.map_err(str::to_owned).and_then(rate));
            outcome.note(
                Case::Short,
                "b",
                b.map_err(|error: &str| error.to_owned()).and_then(rate),
            );
        }
        assert_eq!(outcome.summary(Case::Short, "a", Metric::PerSecond).unwrap().median, 20.0);
        assert_eq!(outcome.ratio(Case::Short, Metric::PerSecond, "a", "b").unwrap().median, 2.5);
        assert_eq!(outcome.failures(Case::Short, "a"), ["fell over"]);
        assert_eq!(outcome.summary(Case::Idle, "a", Metric::PerSecond), None);
    }
}

//! The report as Markdown: one table per case, a peer per line, and the table of goals.

use std::fmt::Write;

use crate::goal::Standing;
use crate::metric::{Better, Metric};
use crate::report::{CaseReport, FigureReport, PeerReport, Report};

impl Report {
    /// The tables that a reader wants to see.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let machine = &self.machine;
        writeln!(text, "# Benchmark of {}\n", machine.date)?;
        writeln!(
            text,
            "Commit {}; {}; {} × {}, {} GiB; load average {:.1} before; loopback, load and targets on \
             the same cores. {} rounds, interleaved, {} s per figure, {:.0} s in all. Each figure: \
             median (lowest–highest). Ratios: median of the ratios within each round.",
            machine.commit,
            machine.kernel,
            machine.cpus,
            machine.cpu_model,
            machine.memory_gib,
            machine.load_average,
            self.rounds,
            self.seconds,
            self.took_seconds
        )?;
        if !self.missing.is_empty() {
            writeln!(text, "\nNot installed: {}.", self.missing.join(", "))?;
        }
        for case in &self.cases {
            case.write(text)?;
        }
        self.write_goals(text)
    }

    fn write_goals(&self, text: &mut String) -> std::fmt::Result {
        if self.goals.is_empty() {
            return Ok(());
        }
        writeln!(
            text,
            "\n## To reach: {}\n\n| case | figure | to reach | measured | |\n|---|---|---|---:|---|",
            self.subject
        )?;
        for goal in &self.goals {
            let measured = goal.figure.map_or_else(
                || "–".to_owned(),
                |figure| format!("{:.2} ({:.2}–{:.2})", figure.median, figure.min, figure.max),
            );
            let standing = match goal.standing {
                Standing::Reached => "reached",
                Standing::NotReached => "**not reached**",
                Standing::NoFigure => "no figure",
            };
            let heading = goal.metric.heading();
            writeln!(
                text,
                "| {} | {heading} | {} | {measured} | {standing} |",
                goal.case, goal.wanted
            )?;
        }
        Ok(())
    }
}

impl CaseReport {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n## {} (`{}`)\n", self.title, self.case)?;
        let Some(first) = self.peers.first() else { return writeln!(text, "No peer.") };
        let mut line = "| peer |".to_owned();
        let mut rule = "|---|".to_owned();
        for figure in &first.figures {
            write!(line, " {} |", figure.metric.heading())?;
            rule.push_str("---:|");
            if figure.metric.better() != Better::Neither {
                line.push_str(" × |");
                rule.push_str("---|");
            }
        }
        writeln!(text, "{line}\n{rule}")?;
        for peer in &self.peers {
            let cells: String = peer.figures.iter().map(cells).collect();
            writeln!(text, "| {} |{cells}", peer.peer)?;
        }
        for peer in &self.peers {
            peer.write_failures(text)?;
        }
        Ok(())
    }
}

impl PeerReport {
    fn write_failures(&self, text: &mut String) -> std::fmt::Result {
        if !self.suits {
            return writeln!(text, "\n{}: has no such function.", self.peer);
        }
        for reason in &self.failures {
            writeln!(text, "\n{}: failed: {reason}", self.peer)?;
        }
        Ok(())
    }
}

fn cells(figure: &FigureReport) -> String {
    let value = match figure.summary {
        Some(summary) => format!(
            " {} ({}–{}) |",
            number(figure.metric, summary.median),
            number(figure.metric, summary.min),
            number(figure.metric, summary.max)
        ),
        None => " – |".to_owned(),
    };
    if figure.metric.better() == Better::Neither {
        return value;
    }
    let ratios: Vec<String> = figure
        .ratios
        .iter()
        .map(|ratio| format!("{:.2} {}", ratio.summary.median, ratio.to))
        .collect();
    format!("{value} {} |", ratios.join(" · "))
}

/// As many digits as the measurement is good for.
fn number(metric: Metric, value: f64) -> String {
    match metric {
        Metric::CpuSecondsPerGb => format!("{value:.3}"),
        Metric::GbPerSecond | Metric::LostPercent => format!("{value:.2}"),
        Metric::CpuMicrosEach | Metric::KibEach | Metric::MibInAll => format!("{value:.1}"),
        Metric::PerSecond
        | Metric::P50Micros
        | Metric::P99Micros
        | Metric::Failures
        | Metric::Held => {
            format!("{value:.0}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_is_missing_is_a_dash_in_as_many_cells() {
        let figure =
            |metric| FigureReport { metric, summary: None, rounds: vec![None], ratios: Vec::new() };
        assert_eq!(cells(&figure(Metric::PerSecond)), " – |  |");
        assert_eq!(cells(&figure(Metric::Failures)), " – |");
    }
}

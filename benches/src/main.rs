//! Load generator that compares proxies side by side, on one machine, over loopback.
//!
//! It starts every peer itself, gives each the same work in turn (A B C A B C …) and reports
//! medians with their range. The figure to trust is processor time per unit of work, set against
//! another peer of the same run: rates swing with whatever else the machine does. It knows
//! nothing of RustSocks but its command line, so that it cannot favour it.
//!
//! ```text
//! rustsocks-bench --quick
//! rustsocks-bench --cases bulk,short --peers direct,relay,rustsocks,dante --rounds 5
//! rustsocks-bench --peer 'hev=hev-socks5-server /tmp/hev.yml' --json out.json
//! rustsocks-bench relay --listen 127.0.0.1:4000 --target 127.0.0.1:5000
//! ```

mod case;
mod cli;
mod descriptors;
mod goal;
mod machine;
mod metric;
mod pattern;
mod peer;
mod relay;
mod report;
mod roster;
mod run;
mod source;
mod summary;
mod target;
mod usage;
mod way;

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;

use crate::cli::{Arguments, Mode};
use crate::machine::Machine;
use crate::report::Report;
use crate::roster::Roster;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Mode::Relay(relay)) = arguments.mode {
        return relay::run(relay.listen, relay.target).context("plain relay");
    }
    let plan = arguments.plan()?;
    let roster = Arc::new(Roster::new()?);
    roster::end_all_on_signal(&roster)?;

    let machine = Machine::here();
    let outcome = run::run(&plan, &roster);
    let report = Report::new(&plan, machine, &outcome);
    let markdown = report.markdown();
    if let Some(file) = &arguments.run.markdown {
        std::fs::write(file, &markdown).with_context(|| format!("writing {}", file.display()))?;
    }
    if let Some(file) = &arguments.run.json {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, json).with_context(|| format!("writing {}", file.display()))?;
    }
    io::stdout().write_all(markdown.as_bytes()).context("writing the report")
}

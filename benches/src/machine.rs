//! Where and when a run took place, as far as its figures depend on it.

use std::process::Command;
use std::thread;

use serde::Serialize;

/// The circumstances of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The commit that was checked out, with `-dirty` if files differed from it.
    pub(crate) commit: String,
    pub(crate) kernel: String,
    pub(crate) cpus: usize,
    pub(crate) cpu_model: String,
    pub(crate) memory_gib: u64,
    /// How many processes wanted a core in the minute before; noise, unless it is near zero.
    pub(crate) load_average: f64,
    /// When the run began, in UTC.
    pub(crate) date: String,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let kernel = rustix::system::uname();
        Self {
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
            kernel: format!(
                "{} {} {}",
                kernel.sysname().to_string_lossy(),
                kernel.release().to_string_lossy(),
                kernel.machine().to_string_lossy()
            ),
            cpus: thread::available_parallelism().map_or(0, usize::from),
            cpu_model: cpu_model().unwrap_or_else(|| "unknown".to_owned()),
            memory_gib: rustix::system::sysinfo().totalram >> 30,
            load_average: load_average().unwrap_or(f64::NAN),
            date: now(),
        }
    }
}

fn now() -> String {
    #[expect(clippy::disallowed_methods, reason = "a report is dated; nothing is measured by it")]
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn commit() -> Option<String> {
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

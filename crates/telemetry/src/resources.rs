//! What the process takes of the machine, and what the machine has.

use std::fs;
use std::str::FromStr;

/// A reading of `/proc` and of the process's limits. What cannot be read is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Resources {
    /// CPU time of the process, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Memory of the process, in bytes.
    pub resident_bytes: u64,
    /// Address space of the process, in bytes.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// How many file descriptors may be open; `u64::MAX` where there is no limit.
    pub max_fds: u64,
    /// Threads of the process.
    pub threads: u64,
    /// Processors that the process may use.
    pub cores: u64,
    /// Tasks that ran or waited to run on the machine, averaged over a minute.
    pub load_1m: f64,
    /// Memory of the machine, in bytes.
    pub memory_total_bytes: u64,
    /// Memory of the machine that programs could still take, in bytes.
    pub memory_available_bytes: u64,
}

impl Resources {
    /// Reads them now. Takes longer the more files are open, about a microsecond for each four.
    pub fn read() -> Self {
        let stat = Stat::read().unwrap_or_default();
        let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = |nth| word::<u64>(&pages, nth) * rustix::param::page_size() as u64;
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cpu_seconds: stat.cpu_seconds,
            // proc(5): size and resident set, in pages.
            virtual_bytes: pages(0),
            resident_bytes: pages(1),
            open_fds: fs::read_dir("/proc/self/fd").map_or(0, |found| found.count() as u64),
            max_fds: limit.current.unwrap_or(u64::MAX),
            threads: stat.threads,
            cores: cores as u64,
            load_1m: word(&load, 0),
            memory_total_bytes: kilobytes(&memory, "MemTotal:"),
            memory_available_bytes: kilobytes(&memory, "MemAvailable:"),
        }
    }
}

/// When the process started, in seconds since 1970, by the machine's record of its own start.
pub fn start_seconds() -> Option<f64> {
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<f64>().ok()? + Stat::read()?.start_seconds)
}

/// What `/proc/self/stat` tells (proc(5)).
#[derive(Debug, Default)]
struct Stat {
    cpu_seconds: f64,
    threads: u64,
    /// After the machine's start.
    start_seconds: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The command's name may hold spaces; the fields after it are counted from its bracket,
        // behind which is field 3.
        let fields = stat.rsplit_once(')')?.1;
        let seconds = |ticks: f64| ticks / rustix::param::clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: seconds(word::<f64>(fields, 11) + word::<f64>(fields, 12)),
            threads: word(fields, 17),
            start_seconds: seconds(word(fields, 19)),
        })
    }
}

/// One of the words of a text as a number; the default where it is none.
fn word<T: FromStr + Default>(text: &str, nth: usize) -> T {
    text.split_whitespace().nth(nth).and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// A line of `/proc/meminfo`, in bytes.
fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |rest| word::<u64>(rest, 0) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_a_running_process_is_there_and_plausible() {
        let found = Resources::read();
        assert!(found.resident_bytes > 100_000 && found.virtual_bytes >= found.resident_bytes);
        assert!(found.open_fds >= 3 && found.max_fds >= found.open_fds, "{found:?}");
        assert!(found.threads >= 1 && found.cores >= 1, "{found:?}");
        assert!(found.memory_total_bytes > found.memory_available_bytes, "{found:?}");
        assert!(found.memory_available_bytes > 0 && found.load_1m >= 0.0, "{found:?}");
        assert!(start_seconds().unwrap() > 1.0e9);
    }

    #[test]
    fn lines_that_are_not_there_count_as_nothing() {
        assert_eq!(kilobytes("MemTotal:  12 kB\n", "MemTotal:"), 12 * 1024);
        assert_eq!(kilobytes("MemTotal:  12 kB\n", "MemFree:"), 0);
        assert_eq!(word::<u64>("1 x 3", 1), 0);
    }
}

//! What a peer costs: processor time and memory of a process with all its descendants, read from
//! `/proc`. A reader only: it starts and ends nothing.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Pid;

/// One line of `/proc/<pid>/stat`, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: i32,
    group: i32,
    /// Clock ticks of the process itself, its ended threads included.
    own_ticks: u64,
    /// Clock ticks of the children it has waited for.
    reaped_ticks: u64,
}

/// A process with its descendants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    leader: i32,
}

impl Tree {
    /// The tree of `leader`, which leads a process group of its own.
    pub(crate) fn of(leader: Pid) -> Self {
        Self { leader: leader.as_raw_nonzero().get() }
    }

    /// Processor time spent so far, by the living and by those that were waited for.
    ///
    /// Nanoseconds where all threads still live, clock ticks (10 ms) where some have ended.
    pub(crate) fn cpu(self) -> Duration {
        self.members().into_iter().map(|(pid, stat)| cpu_of(pid, &stat)).sum()
    }

    /// Memory in bytes: what each process holds alone plus its part of what they share.
    pub(crate) fn memory(self) -> u64 {
        self.members().into_iter().filter_map(|(pid, _)| proportional_bytes(pid)).sum()
    }

    /// Whether the leader still runs.
    pub(crate) fn is_alive(self) -> bool {
        stat_of(self.leader).is_some_and(|stat| stat.state != 'Z')
    }

    /// Whether anything of the tree still runs.
    pub(crate) fn has_living_members(self) -> bool {
        self.members().iter().any(|(_, stat)| stat.state != 'Z')
    }

    fn members(self) -> Vec<(i32, Stat)> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let mut others: Vec<(i32, Stat)> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Some((pid, stat_of(pid)?)))
            .collect();
        let mut known = HashSet::from([self.leader]);
        let mut members = Vec::new();
        // A pass may meet a grandchild before its parent, hence until nothing more is found.
        loop {
            let (found, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|(pid, stat)| {
                known.contains(pid) || stat.group == self.leader || known.contains(&stat.parent)
            });
            if found.is_empty() {
                return members;
            }
            known.extend(found.iter().map(|(pid, _)| *pid));
            members.extend(found);
            others = rest;
        }
    }
}

/// The larger of two true lower bounds: the exact time of the threads that live, and the
/// rounded time of all threads there ever were.
fn cpu_of(pid: i32, stat: &Stat) -> Duration {
    let exact = Duration::from_nanos(living_threads_nanos(pid));
    exact.max(from_ticks(stat.own_ticks)) + from_ticks(stat.reaped_ticks)
}

fn living_threads_nanos(pid: i32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    threads
        .filter_map(|thread| {
            let path: PathBuf = thread.ok()?.path().join("schedstat");
            fs::read_to_string(path).ok()?.split(' ').next()?.parse::<u64>().ok()
        })
        .sum()
}

fn from_ticks(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / per_second))
}

fn stat_of(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name of the program may hold spaces and brackets: fields are counted behind the last one.
fn parse_stat(line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line[line.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        own_ticks: number(11)? + number(12)?,
        reaped_ticks: number(13)? + number(14)?,
    })
}

fn proportional_bytes(pid: i32) -> Option<u64> {
    parse_proportional(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

fn parse_proportional(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_the_name_whatever_the_name_is() {
        let line = "42 (a) b (c)) S 7 8 9 0 -1 4194304 100 0 0 0 150 50 30 20 20 0 4 0 1234";
        let stat = parse_stat(line).unwrap();
        assert_eq!(
            stat,
            Stat { state: 'S', parent: 7, group: 8, own_ticks: 200, reaped_ticks: 50 }
        );
        assert_eq!(parse_stat("42 (x) S 7"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn memory_is_the_proportional_set_and_nothing_that_starts_alike() {
        let rollup = "55d-7ff ---p 00000000 00:00 0 [rollup]\nRss:    900 kB\n\
                      Pss:    812 kB\nPss_Dirty:  3 kB\n";
        assert_eq!(parse_proportional(rollup), Some(812 * 1024));
        assert_eq!(parse_proportional("Rss: 1 kB\n"), None);
    }

    #[test]
    fn processor_time_of_this_process_grows_with_work() {
        let tree = Tree { leader: i32::try_from(std::process::id()).unwrap() };
        let before = tree.cpu();
        let mut sum = 0_u64;
        // Bounded by the work, not by a clock: a few hundred milliseconds at most.
        for round in 0..2_000 {
            sum = (0..20_000_u64)
                .fold(sum ^ round, |sum, n| std::hint::black_box(sum.rotate_left(3) ^ n));
        }
        assert_ne!(sum, 1);
        assert!(tree.cpu() > before);
        assert!(tree.is_alive());
        assert!(tree.memory() > 100 * 1024);
    }
}

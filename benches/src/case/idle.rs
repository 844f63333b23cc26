//! Idle sessions: opened, used once so that both sides certainly exist, then left alone. Memory
//! is what the processes gained by them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::Instant;

use crate::case::{Stage, settle};
use crate::descriptors;
use crate::metric::{Figure, Metric};
use crate::peer::Running;
use crate::source;
use crate::target::answer::{AnswerTarget, REQUEST_BYTES};

/// The share of each session is taken at this many,
pub(super) const FOR_EACH: usize = 8_000;

/// and the whole at this many.
const IN_ALL: usize = 10_000;

/// Threads that open sessions.
const OPENERS: usize = 8;

/// Descriptors left for everything but sessions.
const RESERVE: u64 = 128;

pub(super) fn measure(stage: Stage<'_>) -> anyhow::Result<Vec<Figure>> {
    let target = AnswerTarget::start(REQUEST_BYTES)?;
    let running = stage.start(target.addresses())?;
    let tree = running.usage().context("there is no process to look at")?;
    // Both ends of a session are ours.
    let possible = (descriptors::raise_limit().saturating_sub(RESERVE) / 2) as usize;
    let started = Instant::now();
    let before = tree.memory();

    let mut held = Vec::new();
    let mut memory_at = |wanted: usize| -> anyhow::Result<(usize, u64)> {
        let left = stage.setting.idle_limit.saturating_sub(started.elapsed());
        held.append(&mut open_more(&running, &target, (held.len(), wanted.min(possible)), left)?);
        settle(&running, Duration::from_millis(200));
        running.check_alive()?;
        Ok((held.len(), tree.memory()))
    };
    let (some, memory_of_some) = memory_at(FOR_EACH)?;
    if some == 0 {
        bail!("no session could be opened");
    }
    let (all, memory_of_all) = memory_at(IN_ALL)?;
    let gained = memory_of_some.saturating_sub(before) as f64;
    Ok(vec![
        Figure::new(Metric::KibEach, gained / 1024.0 / some as f64),
        Figure::new(Metric::MibInAll, memory_of_all as f64 / 1024.0 / 1024.0),
        Figure::new(Metric::Held, all as f64),
    ])
}

/// Opens sessions number `from` to `until`, or as many as the time allows.
fn open_more(
    running: &Running,
    target: &AnswerTarget,
    (from, until): (usize, usize),
    limit: Duration,
) -> anyhow::Result<Vec<TcpStream>> {
    let started = Instant::now();
    let next = AtomicUsize::new(from);
    thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    while started.elapsed() < limit {
                        let index = next.fetch_add(1, Relaxed);
                        if index >= until {
                            break;
                        }
                        match open_one(running, target, index) {
                            Ok(session) => mine.push(session),
                            // The limit of this peer is reached: what it holds is reported.
                            Err(_) if index >= OPENERS => break,
                            Err(error) => return Err(error),
                        }
                    }
                    anyhow::Ok(mine)
                })
            })
            .collect();
        let mut all = Vec::new();
        for opener in openers {
            all.append(&mut opener.join().map_err(|_| anyhow::anyhow!("an opener panicked"))??);
        }
        Ok(all)
    })
}

fn open_one(running: &Running, target: &AnswerTarget, index: usize) -> anyhow::Result<TcpStream> {
    let mut stream = running
        .way
        .connect(source::client(index), target.address(index))
        .with_context(|| format!("opening session {index}"))?;
    let request = [index as u8; REQUEST_BYTES];
    stream.write_all(&request)?;
    let mut answer = [0; REQUEST_BYTES];
    stream.read_exact(&mut answer)?;
    if answer != request {
        bail!("the answer belongs to another session");
    }
    Ok(stream)
}

//! Short connections: 32 workers that connect, ask once, read the answer and reset. What the
//! proxy puts off until later (rows in a database) is waited for and counted.

use std::io::{Read, Write};
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::bail;
use socket2::SockRef;

use crate::case::{Moment, Stage, settle};
use crate::metric::{Figure, Metric};
use crate::peer::Running;
use crate::source;
use crate::target::answer::{AnswerTarget, REQUEST_BYTES};
use crate::way::Way;

const WORKERS: usize = 32;
const ANSWER_BYTES: usize = 256;

/// A worker that fails this often in a row has nobody to talk to any more.
const FAILURES_MAX: u32 = 5;

/// A writer may wait a second before it writes what is left: RustSocks' default.
const WRITER_PAUSE: Duration = Duration::from_millis(1100);

#[derive(Debug, Default)]
struct Tally {
    done: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
}

pub(super) fn measure(stage: Stage<'_>) -> anyhow::Result<Vec<Figure>> {
    let target = AnswerTarget::start(ANSWER_BYTES)?;
    let running = stage.start(target.addresses())?;

    let warm_up = Tally::default();
    load(&running, &target, &warm_up, || thread::sleep(stage.setting.warm_up))?;
    settle(&running, Duration::ZERO);

    let tally = Tally::default();
    let before = Moment::now(&running, 0);
    let after = load(&running, &target, &tally, || {
        thread::sleep(stage.setting.window);
        Moment::now(&running, tally.done.load(Relaxed))
    })?;
    settle(&running, WRITER_PAUSE);
    let settled = Moment::now(&running, tally.done.load(Relaxed));
    running.check_alive()?;
    if after.count == 0 {
        bail!("no connection succeeded");
    }

    let mut figures = vec![Figure::new(Metric::PerSecond, after.rate_since(&before))];
    figures.extend(
        settled.cpu_each_since(&before).map(|each| Figure::new(Metric::CpuMicrosEach, each * 1e6)),
    );
    figures.push(Figure::new(Metric::Failures, tally.failed.load(Relaxed) as f64));
    Ok(figures)
}

/// Runs the workers for as long as `meanwhile` takes.
fn load<T>(
    running: &Running,
    target: &AnswerTarget,
    tally: &Tally,
    meanwhile: impl FnOnce() -> T,
) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let way = running.way;
        let workers: Vec<_> = (0..WORKERS)
            .map(|index| {
                let address = target.address(index);
                scope.spawn(move || work(way, index, address, tally))
            })
            .collect();
        let result = meanwhile();
        tally.stop.store(true, Relaxed);
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        Ok(result)
    })
}

fn work(way: Way, index: usize, target: SocketAddrV4, tally: &Tally) -> anyhow::Result<()> {
    let mut in_a_row = 0;
    let mut request = [index as u8; REQUEST_BYTES];
    let mut number = 0_u64;
    while !tally.stop.load(Relaxed) {
        number += 1;
        request[..8].copy_from_slice(&number.to_le_bytes());
        match once(way, index, target, &request) {
            Ok(()) => {
                in_a_row = 0;
                tally.done.fetch_add(1, Relaxed);
            }
            Err(error) => {
                in_a_row += 1;
                tally.failed.fetch_add(1, Relaxed);
                if in_a_row == FAILURES_MAX {
                    return Err(error.context(format!("{FAILURES_MAX} failures in a row")));
                }
            }
        }
    }
    Ok(())
}

fn once(
    way: Way,
    index: usize,
    target: SocketAddrV4,
    request: &[u8; REQUEST_BYTES],
) -> anyhow::Result<()> {
    let mut stream = way.connect(source::client(index), target)?;
    stream.write_all(request)?;
    let mut answer = [0; ANSWER_BYTES];
    stream.read_exact(&mut answer)?;
    if answer.chunks(REQUEST_BYTES).any(|part| part != request) {
        bail!("the answer belongs to another request");
    }
    // Closing resets: no TIME_WAIT on this side.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    Ok(())
}

//! Bulk: a few streams, each as fast as it goes. Everything that was sent must have arrived at
//! the end, and a sample of it is compared byte by byte.

use std::sync::Arc;
use std::thread;

use anyhow::{Context, bail};
use tokio::time::Instant;

use crate::case::{Moment, Setting, Stage};
use crate::metric::{Figure, Metric};
use crate::peer::Running;
use crate::source;
use crate::target::LOOK;
use crate::target::bulk::{BulkTarget, Flow, Lanes};
use crate::way::PATIENCE;

/// Figures are per gigabyte, 10⁹ bytes.
const GB: f64 = 1e9;

pub(super) fn measure(stage: Stage<'_>, flow: Flow, streams: usize) -> anyhow::Result<Vec<Figure>> {
    let lanes = Arc::new(Lanes::new(streams));
    let target = BulkTarget::start(Arc::clone(&lanes))?;
    let address = target.address();
    let running = stage.start(&[address])?;
    let way = running.way;

    let figures = thread::scope(|scope| {
        let clients: Vec<_> = (0..streams)
            .map(|index| {
                let lanes = &lanes;
                scope.spawn(move || -> anyhow::Result<()> {
                    let stream =
                        way.connect(source::client(index), address).context("connecting")?;
                    lanes.client(stream, index, flow).context("a stream broke")
                })
            })
            .collect();
        let figures = watch(&lanes, &running, stage.setting);
        lanes.stop();
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        figures
    });
    running.check_alive()?;
    let figures = figures?;
    // Waits until the target has read everything.
    drop(target);
    lanes.verify()?;
    Ok(figures)
}

fn watch(lanes: &Lanes, running: &Running, setting: Setting) -> anyhow::Result<Vec<Figure>> {
    let started = Instant::now();
    while !lanes.all_flow() {
        if started.elapsed() > PATIENCE {
            bail!("not every stream began within {} s", PATIENCE.as_secs());
        }
        thread::sleep(LOOK / 4);
    }
    thread::sleep(setting.warm_up);
    let before = Moment::now(running, lanes.received());
    thread::sleep(setting.window);
    let after = Moment::now(running, lanes.received());
    if after.count == before.count {
        bail!("nothing moved");
    }
    let mut figures = vec![Figure::new(Metric::GbPerSecond, after.rate_since(&before) / GB)];
    figures.extend(
        after.cpu_each_since(&before).map(|each| Figure::new(Metric::CpuSecondsPerGb, each * GB)),
    );
    Ok(figures)
}

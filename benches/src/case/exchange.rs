//! Request and response on connections that stay open: each has one request under way at any
//! time, so the answer's time at many connections is that of a busy proxy.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use tokio::time::Instant;

use crate::case::{Moment, Stage};
use crate::metric::{Figure, Metric};
use crate::source;
use crate::target::LOOK_TIMESPEC;
use crate::target::answer::{AnswerTarget, REQUEST_BYTES};

/// Threads that share many connections.
const THREADS: usize = 2;

/// Answer times up to here are told apart; longer ones count as this.
const SLOWEST_NANOS: u64 = 10_000_000_000;

#[derive(Debug, Default)]
struct Tally {
    done: AtomicU64,
    /// Answers that come while this is set go into the histogram.
    measuring: AtomicBool,
    stop: AtomicBool,
}

struct Conversation {
    stream: TcpStream,
    asked: Instant,
    number: u64,
    request: [u8; REQUEST_BYTES],
}

pub(super) fn measure(stage: Stage<'_>, connections: usize) -> anyhow::Result<Vec<Figure>> {
    let target = AnswerTarget::start(REQUEST_BYTES)?;
    let running = stage.start(target.addresses())?;
    let threads = connections.min(THREADS);
    let mut shares: Vec<Vec<Conversation>> = (0..threads).map(|_| Vec::new()).collect();
    for index in 0..connections {
        let stream = running
            .way
            .connect(source::client(index), target.address(index))
            .with_context(|| format!("opening connection {index}"))?;
        shares[index % threads].push(Conversation {
            stream,
            asked: Instant::now(),
            number: 0,
            request: [index as u8; REQUEST_BYTES],
        });
    }

    let tally = Tally::default();
    let (before, after, times) = thread::scope(|scope| {
        let talks: Vec<_> =
            shares.into_iter().map(|share| scope.spawn(|| talk(share, &tally))).collect();
        thread::sleep(stage.setting.warm_up);
        tally.measuring.store(true, Relaxed);
        let before = Moment::now(&running, tally.done.load(Relaxed));
        thread::sleep(stage.setting.window);
        let after = Moment::now(&running, tally.done.load(Relaxed));
        tally.stop.store(true, Relaxed);
        let mut times = histogram()?;
        for talk in talks {
            times.add(talk.join().map_err(|_| anyhow::anyhow!("a client panicked"))??)?;
        }
        anyhow::Ok((before, after, times))
    })?;
    running.check_alive()?;
    if after.count == before.count {
        bail!("no request was answered");
    }
    let mut figures = after.figures_since(&before);
    figures.push(Figure::new(Metric::P50Micros, times.value_at_quantile(0.50) as f64 / 1e3));
    figures.push(Figure::new(Metric::P99Micros, times.value_at_quantile(0.99) as f64 / 1e3));
    Ok(figures)
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(SLOWEST_NANOS, 3)?)
}

/// Keeps all conversations going until told to stop; returns how long answers took.
fn talk(mut conversations: Vec<Conversation>, tally: &Tally) -> anyhow::Result<Histogram<u64>> {
    let mut times = histogram()?;
    if let [only] = &mut conversations[..] {
        // One connection can simply wait for its answer.
        while !tally.stop.load(Relaxed) {
            only.ask()?;
            only.hear(tally, &mut times)?;
        }
        return Ok(times);
    }
    let epoll = watch_all(&conversations)?;
    for conversation in &mut conversations {
        conversation.ask()?;
    }
    let mut events = Vec::with_capacity(conversations.len());
    let mut last_answer = Instant::now();
    while !tally.stop.load(Relaxed) {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), Some(&LOOK_TIMESPEC))?;
        if !events.is_empty() {
            last_answer = Instant::now();
        } else if last_answer.elapsed() > crate::way::PATIENCE {
            bail!("no connection was answered any more");
        }
        for event in &events {
            // Tokens are indices of this very vector.
            let conversation = &mut conversations[event.data.u64() as usize];
            conversation.hear(tally, &mut times)?;
            conversation.ask()?;
        }
    }
    Ok(times)
}

fn watch_all(conversations: &[Conversation]) -> io::Result<OwnedFd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (index, conversation) in conversations.iter().enumerate() {
        let token = epoll::EventData::new_u64(index as u64);
        epoll::add(&epoll, &conversation.stream, token, epoll::EventFlags::IN)?;
    }
    Ok(epoll)
}

impl Conversation {
    fn ask(&mut self) -> io::Result<()> {
        self.number += 1;
        self.request[..8].copy_from_slice(&self.number.to_le_bytes());
        self.asked = Instant::now();
        self.stream.write_all(&self.request)
    }

    /// Reads the whole answer. Once some of it is there the rest follows at once, so blocking
    /// for it holds up nobody.
    fn hear(&mut self, tally: &Tally, times: &mut Histogram<u64>) -> anyhow::Result<()> {
        let mut answer = [0; REQUEST_BYTES];
        self.stream.read_exact(&mut answer)?;
        if answer != self.request {
            bail!("the answer belongs to another request");
        }
        tally.done.fetch_add(1, Relaxed);
        if tally.measuring.load(Relaxed) {
            times.saturating_record(saturating_nanos(self.asked.elapsed()));
        }
        Ok(())
    }
}

fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

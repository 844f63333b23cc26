//! Signals that tell a command to end, and the exit codes for them.

use std::io;
use std::process::ExitCode;

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::console::Fault;

/// The signals that end a command: by default each does, and `nohup` wants one ignored.
#[derive(Debug)]
pub(crate) struct Endings([(Option<Signal>, u8); 3]);

impl Endings {
    /// Listens from here on, but for what was ignored when the program started.
    pub(crate) fn listen() -> Result<Self, Fault> {
        let listen = |number: Number| -> io::Result<_> {
            let number = number.as_raw();
            let heard = (!is_ignored(number)).then(|| signal(SignalKind::from_raw(number)));
            // As a shell tells of it.
            Ok((heard.transpose()?, 128 + number as u8))
        };
        let all = || Ok([listen(Number::HUP)?, listen(Number::INT)?, listen(Number::TERM)?]);
        all().map(Self).map_err(Fault::Output)
    }

    /// Waits for one of them; gives the exit code. Cancel safe.
    pub(crate) async fn told(&mut self) -> ExitCode {
        async fn heard(signal: &mut (Option<Signal>, u8)) -> ExitCode {
            match signal {
                (Some(signal), code) => {
                    signal.recv().await;
                    ExitCode::from(*code)
                }
                (None, _) => std::future::pending().await,
            }
        }
        let [hang_up, interrupt, terminate] = &mut self.0;
        tokio::select! {
            code = heard(hang_up) => code,
            code = heard(interrupt) => code,
            code = heard(terminate) => code,
        }
    }
}

/// Whether the process ignores a signal (proc(5), `SigIgn`).
fn is_ignored(number: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (number - 1) & 1 == 1
}

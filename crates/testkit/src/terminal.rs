//! A program on a terminal of its own: what it shows there, what is typed.

use std::fs::File;
use std::io::{PipeWriter, Read as _, Write as _};
use std::num::NonZeroU16;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::eventually;

/// A program on its terminal. Killed when dropped.
pub struct Terminal {
    child: Child,
    /// Our side of the terminal.
    ours: File,
    screen: Arc<Mutex<vt100::Parser>>,
    raw: Arc<Mutex<Vec<u8>>>,
    /// Reads our side until the other end of this is closed.
    reader: Option<(PipeWriter, JoinHandle<()>)>,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("shown", &self.shown()).finish_non_exhaustive()
    }
}

impl Terminal {
    /// Starts a program, with its arguments, on a terminal of this size; `setup` may say more
    /// about how it runs.
    pub fn start(
        words: &[&str],
        (columns, rows): (u16, u16),
        setup: impl Fn(&mut Command),
    ) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        tcsetwinsize(&ours, size(columns, rows)).unwrap();
        let theirs = || {
            let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
            ioctl_tiocgptpeer(&ours, flags).unwrap()
        };
        // A session of its own whose terminal this is, so that a new size is told.
        let mut command = Command::new("setsid");
        // Signals as a shell at a terminal has them, whatever runs the tests ignores.
        command.args(["--ctty", "env", "--default-signal"]).args(words);
        command.env("TERM", "xterm-256color");
        command.stdin(theirs()).stdout(theirs()).stderr(theirs());
        setup(&mut command);
        let child = command.spawn().unwrap();
        drop(command);
        let ours = File::from(ours);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(number(rows), number(columns), 0)));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let (mut reading, shown, kept) =
            (ours.try_clone().unwrap(), Arc::clone(&screen), Arc::clone(&raw));
        let (closed, open) = std::io::pipe().unwrap();
        let thread = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            loop {
                let wanted = PollFlags::IN;
                let mut both = [PollFd::new(&reading, wanted), PollFd::new(&closed, wanted)];
                poll(&mut both, None).unwrap();
                if !both[1].revents().is_empty() {
                    break;
                }
                // Ends with the program too: its terminal cannot be read then.
                let Ok(length @ 1..) = reading.read(&mut piece) else { break };
                shown.lock().unwrap().process(&piece[..length]);
                kept.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        Self { child, ours, screen, raw, reader: Some((open, thread)) }
    }

    /// Closes the terminal under the program, as closing its window does; gives how it ended.
    pub fn hang_up(mut self) -> ExitStatus {
        let (open, thread) = self.reader.take().unwrap();
        drop(open);
        thread.join().unwrap();
        self.ours = File::open("/dev/null").unwrap();
        self.wait()
    }

    /// What is to be seen.
    pub fn shown(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Every byte that came.
    pub fn bytes(&self) -> Vec<u8> {
        self.raw.lock().unwrap().clone()
    }

    /// Waits until this is to be seen; gives everything that is.
    pub fn see(&self, text: &str) -> String {
        eventually(&format!("{text:?} on the terminal; it shows\n{}", self.shown()), || {
            Some(self.shown()).filter(|shown| shown.contains(text))
        })
    }

    /// Waits until this is not to be seen any more.
    pub fn see_gone(&self, text: &str) {
        eventually(&format!("{text:?} to go from the terminal"), || {
            (!self.shown().contains(text)).then_some(())
        });
    }

    /// Types keys.
    pub fn type_keys(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).unwrap();
    }

    /// Changes the terminal's size.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.screen.lock().unwrap().set_size(number(rows), number(columns));
        tcsetwinsize(&self.ours, size(columns, rows)).unwrap();
    }

    /// Whether the program has the whole screen, or has changed how keys are read.
    pub fn is_taken(&self) -> bool {
        let whole = self.screen.lock().unwrap().screen().alternate_screen();
        let hidden = self.screen.lock().unwrap().screen().hide_cursor();
        let modes = tcgetattr(&self.ours).unwrap().local_modes;
        whole || hidden || !modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the program has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the program on the terminal to end", || child.try_wait().unwrap())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn number(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

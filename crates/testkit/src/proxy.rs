//! The program as a process of its own, in a folder of its own, on ports of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Answer};
use crate::{PATIENCE, eventually};

/// A running proxy. Killed when dropped.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    folder: Option<TempDir>,
    program: PathBuf,
    prefix: Vec<String>,
    socks: SocketAddr,
    api: SocketAddr,
    log: Log,
}

/// The lines of a log, as a thread reads them.
type Log = Arc<Mutex<String>>;

impl Proxy {
    /// Starts `program` with this configuration, which says nothing about ports and paths.
    pub fn start(program: &str, config: &str) -> Self {
        Self::start_under(program, config, &[])
    }

    /// As [`Proxy::start`], run by another command such as `prlimit --nofile=40`.
    pub fn start_under(program: &str, config: &str, prefix: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("rustsocks.toml"), with_ports(config)).unwrap();
        let prefix: Vec<String> = prefix.iter().map(|&word| word.to_owned()).collect();
        let log = Log::default();
        let (child, socks, api) = launch(Path::new(program), folder.path(), &prefix, &log);
        let program = program.into();
        Self { child, folder: Some(folder), program, prefix, socks, api, log }
    }

    /// Starts it again in the same folder, after it has ended.
    pub fn restart(&mut self) {
        let folder = self.folder();
        self.log = Log::default();
        let (child, socks, api) = launch(&self.program, &folder, &self.prefix, &self.log);
        (self.child, self.socks, self.api) = (child, socks, api);
    }

    /// Its folder: `rustsocks.toml`, `data/sessions.db`.
    pub fn folder(&self) -> PathBuf {
        self.folder.as_ref().map(|folder| folder.path().to_owned()).unwrap_or_default()
    }

    /// A file for the folder.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder().join(name), text).unwrap();
    }

    /// Where it serves SOCKS.
    pub fn socks(&self) -> SocketAddr {
        self.socks
    }

    /// Where it serves its API.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the API.
    pub fn get(&self, path: &str) -> Answer {
        http::request(self.api, "GET", path, "").unwrap()
    }

    /// Tells the API.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        http::request(self.api, "POST", path, body).unwrap()
    }

    /// Asks or tells the API, with more headers.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        http::request_with(self.api, method, path, headers, body).unwrap()
    }

    /// What it has logged since it was started.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Every ended session that the ledger has, the newest end first.
    pub fn records(&self) -> Vec<Value> {
        let mut records = Vec::new();
        let mut path = "/api/sessions/history?page_size=1000".to_owned();
        loop {
            let answer = self.get(&path);
            assert_eq!(answer.status, 200, "{answer:?}");
            let page = answer.json();
            records.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(cursor) => {
                    path = format!("/api/sessions/history?page_size=1000&cursor={cursor}");
                }
                None => return records,
            }
        }
    }

    /// The one record for which this holds, as soon as there is one.
    pub fn record(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || {
            let mut found: Vec<Value> = self.records().into_iter().filter(&wanted).collect();
            assert!(found.len() < 2, "{what}: {found:#?}");
            found.pop()
        })
    }

    /// The record of the session that came from this client port, as soon as it has ended.
    pub fn record_from(&self, source: SocketAddr) -> Value {
        self.record(&format!("the session from {source}"), |record| {
            record["source_port"] == source.port()
        })
    }

    /// Running sessions.
    pub fn active(&self) -> Vec<Value> {
        let page = self.get("/api/sessions/active?page_size=1000").json();
        page["data"].as_array().unwrap().clone()
    }

    /// The value of a metric without labels.
    pub fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics").body;
        let line = page.lines().find(|line| line.split(' ').next() == Some(name));
        let value = line.and_then(|line| line.split(' ').nth(1)).map(str::parse::<f64>);
        value.unwrap_or_else(|| panic!("no metric {name}")).unwrap() as u64
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the proxy to end", || child.try_wait().unwrap())
    }

    /// Ends it as an operator would, and returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait().code()
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The configuration with free ports and a log that a program can read.
fn with_ports(config: &str) -> String {
    let mut text = String::new();
    let mut added = [false; 3];
    let extra = [
        ("[server]", "bind_port = 0\n"),
        ("[sessions]", "stats_api_port = 0\nbatch_interval_ms = 50\n"),
        ("[logging]", "format = \"json\"\n"),
    ];
    for line in config.lines() {
        text.push_str(line);
        text.push('\n');
        for ((section, keys), added) in extra.iter().zip(&mut added) {
            if line.trim() == *section {
                text.push_str(keys);
                *added = true;
            }
        }
    }
    for ((section, keys), added) in extra.iter().zip(added) {
        if !added {
            text.push_str(&format!("{section}\n{keys}"));
        }
    }
    text
}

/// Starts the program and reads from its log where it serves.
fn launch(
    program: &Path,
    folder: &Path,
    prefix: &[String],
    lines: &Log,
) -> (Child, SocketAddr, SocketAddr) {
    let mut words = prefix.iter().map(String::as_str).chain([program.to_str().unwrap()]);
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .args(["--config", "rustsocks.toml"])
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let (tell, told) = mpsc::channel();
    let show = std::env::var_os("RUSTSOCKS_TEST_LOG").is_some();
    // Reads on after the ports are known, so that the program never waits for its log.
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            lines.lock().unwrap().push_str(&format!("{line}\n"));
            if show {
                eprintln!("{line}");
            }
            let serving = serde_json::from_str::<Value>(&line)
                .ok()
                .filter(|line| line["message"] == "serving");
            // Nobody listens any more once the ports are known.
            let _known = tell.send(serving.ok_or(line));
        }
    });
    let mut complaints = Vec::new();
    loop {
        match told.recv_timeout(PATIENCE) {
            Ok(Ok(serving)) => {
                let socks = serving["socks"].as_str().unwrap().parse().unwrap();
                let api = serving["api"].as_str().unwrap();
                let api = api.trim_start_matches("http://").split('/').next().unwrap();
                return (child, socks, api.parse().unwrap());
            }
            Ok(Err(line)) => complaints.push(line),
            Err(_) => panic!("the proxy did not start: {}", complaints.join("\n")),
        }
    }
}

//! Disks that fill up, that are read-only, that belong to somebody else; files that are damaged,
//! and the commands that look after them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output};

use rustsocks_testkit::{Proxy, eventually};
use tempfile::TempDir;

use super::ledger::hold;
use super::{bytes, ports_of, proxy, some_sessions, sorted, verify};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rustsocks");

/// A proxy whose folder `small` is a disk of two megabytes of its own, which it alone sees.
fn with_a_small_disk(config: &str) -> Proxy {
    let script = "mkdir small && mount -t tmpfs -o size=2m tmpfs small && exec \"$@\"";
    let prefix = ["unshare", "--mount", "sh", "-ec", script, "sh"];
    Proxy::start_under(PROGRAM, config, &prefix)
}

/// The small disk, from outside.
fn small(proxy: &Proxy) -> PathBuf {
    format!("/proc/{}/cwd/small", proxy.pid()).into()
}

/// Fills the small disk to the last byte.
fn fill(proxy: &Proxy) {
    let mut file = std::fs::File::create(small(proxy).join("filling")).unwrap();
    for size in [65_536, 1024, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

fn empty(proxy: &Proxy) {
    std::fs::remove_file(small(proxy).join("filling")).unwrap();
}

#[test]
fn a_full_disk_for_the_database_the_journal_or_both_loses_nothing_once_there_is_room() {
    for (database, journal) in [("small", "large"), ("large", "small"), ("small", "small")] {
        let proxy = with_a_small_disk(&format!(
            "[sessions]\ndatabase_url = \"sqlite://{database}/sessions.db\"\n\
             journal_dir = \"{journal}/journal\"\n"
        ));
        let mut ports = some_sessions(&proxy, 20);
        eventually("the first records", || (proxy.records().len() == 20).then_some(()));
        fill(&proxy);
        ports.extend(some_sessions(&proxy, 300));
        eventually("degraded", || {
            // Each asks the disk for a little more room.
            ports.extend(some_sessions(&proxy, 5));
            let health = proxy.get("/health").json();
            let database_is = database == "large" || health["storage"]["status"] == "degraded";
            let journal_is = journal == "large" || health["journal"]["status"] == "failed";
            (database_is && journal_is && health["status"] == "degraded").then_some(())
        });
        ports.extend(some_sessions(&proxy, 100));
        empty(&proxy);
        eventually("health", || (proxy.get("/health").json()["status"] == "ok").then_some(()));
        let records = eventually("every record", || {
            let records = proxy.records();
            (records.len() >= ports.len()).then_some(records)
        });
        assert_eq!(ports_of(&records), sorted(ports), "{database} {journal}");
        assert!(records.iter().all(|record| bytes(record) == (5, 3)));
        assert_eq!(proxy.metric("rustsocks_records_lost_total"), 0);
        if database == "large" {
            verify::says(&proxy, 0);
        }
    }
}

#[test]
fn a_server_that_turns_all_clients_away_for_want_of_room_is_not_ready() {
    let proxy = with_a_small_disk(
        "[sessions]\ndatabase_url = \"sqlite://small/sessions.db\"\n\
         journal_dir = \"small/journal\"\non_journal_full = \"refuse\"\n",
    );
    let ready = || proxy.get("/ready");
    assert_eq!(ready().status, 200);
    fill(&proxy);
    eventually("a client to be turned away", || {
        // Each that is not asks the disk for a little more room.
        let port_0_of_nobody = [5, 1, 0, 1, 127, 0, 0, 1, 0, 0];
        let mut client = TcpStream::connect(proxy.socks()).ok()?;
        let greeted = client.write_all(&[5, 1, 0]).and_then(|()| client.read_exact(&mut [0; 2]));
        let served = greeted.and_then(|()| client.write_all(&port_0_of_nobody));
        served.and_then(|()| client.read_exact(&mut [0; 10])).is_err().then_some(())
    });
    let answer = ready();
    assert_eq!(answer.status, 503, "{answer:?}");
    let status = Process::new(PROGRAM)
        .args(["status", "--api", &format!("http://{}", proxy.api())])
        .output()
        .unwrap();
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    let text = String::from_utf8(status.stdout).unwrap();
    assert!(text.contains("takes no clients: too many records wait"), "{text}");
    empty(&proxy);
    eventually("room", || (ready().status == 200).then_some(()));
}

#[test]
fn a_segment_of_a_former_run_that_cannot_be_read_is_told_as_long_as_the_process_runs() {
    let mut proxy = proxy("");
    assert_eq!(proxy.terminate(), Some(0));
    let segment = proxy.folder().join("data/sessions.db.journal/0000000001.journal");
    std::fs::create_dir(&segment).unwrap();
    proxy.restart();
    let health = eventually("the recovery", || {
        let health = proxy.get("/health").json();
        (health["journal"]["replaying"] == false).then_some(health)
    });
    assert_eq!(
        (&health["status"], &health["journal"]["unreadable"]),
        (&"degraded".into(), &1.into())
    );
    assert!(segment.exists());
}

#[test]
fn a_journal_whose_disk_is_full_at_the_start_is_replayed_and_makes_room_by_that() {
    // What the first run leaves there is there for the second, and nothing else has room.
    let script = "mkdir -p small && mount -t tmpfs -o size=2m tmpfs small && \
                  if test -d kept; then cp -r kept small/journal; cat /dev/zero > small/filling || :; fi && \
                  exec \"$@\"";
    let prefix = ["unshare", "--mount", "sh", "-ec", script, "sh"];
    let config = "[sessions]\njournal_dir = \"small/journal\"\n";
    let mut proxy = Proxy::start_under(PROGRAM, config, &prefix);
    let holder = hold(&proxy.folder().join("data/sessions.db"));
    let mut ports = some_sessions(&proxy, 20);
    eventually("the sessions in the journal", || {
        let kept = proxy.folder().join("kept");
        let journal = small(&proxy).join("journal");
        let copied = Process::new("cp").arg("-rT").arg(journal).arg(&kept).status().unwrap();
        let shown = rustsocks(&proxy.folder(), &["journal", "show", "--dir", "kept"]);
        (copied.success() && said(&shown).contains("20 ended")).then_some(())
    });
    proxy.kill();
    drop(holder);
    proxy.restart();
    ports.extend(some_sessions(&proxy, 10));
    let records = eventually("every record", || {
        let records = proxy.records();
        (records.len() >= ports.len()).then_some(records)
    });
    assert_eq!(ports_of(&records), sorted(ports));
    eventually("room", || (proxy.get("/health").json()["status"] == "ok").then_some(()));
    let events = proxy.get("/api/telemetry/events?category=storage&severity=error").json();
    assert!(events.to_string().contains("No space left"), "{events}");
    assert_eq!(proxy.metric("rustsocks_records_lost_total"), 0);
}

/// The program's answer when it will not start.
fn refused(prefix: &[&str], folder: &Path) -> String {
    refused_with("", prefix, folder)
}

/// The same, with more settings of `[sessions]`.
fn refused_with(sessions: &str, prefix: &[&str], folder: &Path) -> String {
    let text = format!("[server]\nbind_port = 0\n[sessions]\nstats_api_port = 0\n{sessions}");
    std::fs::write(folder.join("rustsocks.toml"), text).unwrap();
    let mut words = prefix.iter().copied().chain([PROGRAM, "--config", "rustsocks.toml"]);
    let output =
        Process::new(words.next().unwrap()).args(words).current_dir(folder).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn a_place_where_nothing_can_be_written_is_told_in_one_line() {
    let folder = TempDir::new().unwrap();
    let script = "mkdir data && mount -t tmpfs -o ro tmpfs data && exec \"$@\"";
    let text = refused(&["unshare", "--mount", "sh", "-ec", script, "sh"], folder.path());
    assert!(text.contains("Read-only file system"), "{text}");
    let folder = TempDir::new().unwrap();
    std::fs::create_dir_all(folder.path().join("data/sessions.db")).unwrap();
    let text = refused(&[], folder.path());
    assert!(text.contains("it is a directory"), "{text}");
    // Root may write anywhere, so somebody else tries; the folder itself he may enter.
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/sessions.db"), "").unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let program = folder.path().join("rustsocks");
    std::fs::copy(PROGRAM, &program).unwrap();
    let script = format!("exec {} --config rustsocks.toml", program.display());
    let nobody = ["setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", &script];
    let text = refused(&nobody, folder.path());
    assert!(text.contains("Permission denied") && text.contains("give this user"), "{text}");
}

#[test]
fn a_place_for_the_journal_that_takes_nothing_is_told_with_its_key_and_leaves_the_database_closed()
{
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    // The second time there would be more than one line, had the first left the database open.
    for _ in 0..2 {
        let text = refused_with("journal_dir = \"file\"\n", &[], folder.path());
        assert!(text.contains("sessions.journal_dir: the journal file cannot be used"), "{text}");
    }
}

#[test]
fn an_archive_that_takes_nothing_is_told_at_the_start_with_its_key() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for _ in 0..2 {
        let text = refused_with("archive_dir = \"file\"\n", &[], folder.path());
        assert!(text.contains("sessions.archive_dir: cannot write into file; name"), "{text}");
    }
    let script = "mkdir -p full && mount -t tmpfs -o ro tmpfs full && exec \"$@\"";
    let mount = ["unshare", "--mount", "sh", "-ec", script, "sh"];
    let text = refused_with("archive_dir = \"full\"\n", &mount, folder.path());
    assert!(text.contains("sessions.archive_dir") && text.contains("Read-only"), "{text}");
    let proxy = proxy("[sessions]\narchive_dir = \"deep/archive\"\n");
    let archive = proxy.folder().join("deep/archive");
    assert_eq!(std::fs::read_dir(archive).unwrap().count(), 0, "the try leaves nothing");
}

#[test]
fn a_second_process_on_the_same_file_is_refused_by_name() {
    let proxy = proxy("");
    let text = refused(&[], &proxy.folder());
    assert!(text.contains(&format!("in use by process {}", proxy.pid())), "{text}");
    some_sessions(&proxy, 3);
    eventually("the records", || (proxy.records().len() == 3).then_some(()));
}

#[test]
fn a_damaged_database_is_moved_aside_told_everywhere_and_service_goes_on() {
    let mut proxy = proxy("");
    assert_eq!(proxy.terminate(), Some(0));
    proxy.write("data/sessions.db", "somebody saved a letter here");
    proxy.restart();
    some_sessions(&proxy, 3);
    eventually("the records", || (proxy.records().len() == 3).then_some(()));
    let health = proxy.get("/health").json();
    assert_eq!(health["status"], "degraded");
    let aside = health["storage"]["quarantined"].as_str().unwrap();
    let kept = std::fs::read_to_string(proxy.folder().join(aside)).unwrap();
    assert_eq!(kept, "somebody saved a letter here");
    let events = proxy.get("/api/telemetry/events?category=storage&severity=error").json();
    assert!(events[0]["message"].as_str().unwrap().contains("mistyped path"), "{events}");
    assert_eq!(proxy.terminate(), Some(0));
    proxy.restart();
    assert_eq!(proxy.get("/health").json()["status"], "ok");
    assert_eq!(proxy.records().len(), 3);
}

fn rustsocks(folder: &Path, words: &[&str]) -> Output {
    Process::new(PROGRAM).args(words).current_dir(folder).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn the_commands_look_after_a_file_that_a_server_uses() {
    let mut proxy = proxy("");
    some_sessions(&proxy, 10);
    eventually("the records", || (proxy.records().len() == 10).then_some(()));
    let folder = proxy.folder();
    let run = |words: &[&str], code: i32, part: &str| {
        let output = rustsocks(&folder, words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
        assert!(said(&output).contains(part), "{words:?}: {}", said(&output));
    };
    run(&["db", "check"], 0, "closed: 10");
    run(&["db", "verify"], 0, "bytes sent: 50");
    run(&["db", "backup", "copy.db"], 0, "copied and verified");
    run(&["db", "backup", "copy.db"], 4, "exists already");
    run(&["db", "--database", "copy.db", "verify"], 0, "sessions: 10");
    run(&["db", "vacuum"], 4, "in use by process");
    run(&["db", "migrate", "--dry-run"], 0, "nothing to do");
    run(&["journal", "show"], 0, "version 2");
    run(&["db", "--database", "missing.db", "check"], 4, "no such file");
    assert_eq!(proxy.terminate(), Some(0));
    run(&["db", "vacuum"], 0, "bytes before");
    run(&["journal", "show"], 0, "0 segments");
    let wrong = "UPDATE sessions SET bytes_sent = -5 WHERE rowid = 4";
    let copy = folder.join("copy.db");
    assert!(Process::new("sqlite3").arg(&copy).arg(wrong).status().unwrap().success());
    run(&["db", "--database", "copy.db", "verify"], 1, "bytes_sent is negative");
    std::fs::write(&copy, "SQLite format 3\0 and then nonsense").unwrap();
    run(&["db", "--database", "copy.db", "check"], 1, "damaged");
}

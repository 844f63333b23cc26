//! What goes wrong between a command and a server: one line, and an exit code.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command as Process, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};
use rustsocks_access::operators::new_token;
use rustsocks_testkit::{PATIENCE, eventually};
use secrecy::ExposeSecret as _;

use super::{complains, listener, program, proxy};

/// A server that answers each request as it is told, and tells each request's head.
fn server(
    answer: impl Fn(&mut TcpStream) + Send + 'static,
) -> (SocketAddr, mpsc::Receiver<String>) {
    let (listener, address): (TcpListener, _) = listener();
    let (tell, heads) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            // The test may not want to know.
            let _unheard = tell.send(String::from_utf8(head).unwrap());
            answer(&mut stream);
        }
    });
    (address, heads)
}

/// A server with one answer for everything.
fn always(status: &'static str, kind: &'static str, body: &'static str) -> SocketAddr {
    let answer = move |stream: &mut TcpStream| {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}");
        // A client that has what it needs may be gone.
        let _sent = write!(stream, "{head}\r\n\r\n{body}");
    };
    server(answer).0
}

const PROBLEM: &str = "application/problem+json";

#[test]
fn a_server_that_is_not_there_is_said() {
    let (closed, address) = listener();
    drop(closed);
    for command in [&["status"][..], &["sessions", "tail"], &["events", "--follow"]] {
        let line = complains(address, 4, command);
        assert!(line.contains("is the server running?") && line.contains("--api"), "{line}");
        assert!(line.contains(&address.to_string()), "{line}");
    }
}

#[test]
fn what_is_not_the_api_is_said() {
    let foreign = always("404 Not Found", "text/html", "<h1>\u{1b}[2J</h1>");
    let html = always("200 OK", "text/html", "<h1>hello</h1>");
    let json = always("200 OK", "application/json", "{\"hello\":1}");
    let (mute, _heads) = server(|stream| {
        let _sent = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
    });
    for address in [foreign, html, json, mute] {
        let line = complains(address, 4, &["status"]);
        assert!(line.contains("is not the API of RustSocks") && line.contains("--api"), "{line}");
        assert!(!line.trim_end().contains(char::is_control), "{line}");
    }
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let line = complains(proxy.socks(), 4, &["status"]);
    assert!(line.contains(&proxy.socks().to_string()), "{line}");
    assert!(line.contains("is this the API's port?"), "{line}");
}

#[test]
fn what_a_reverse_proxy_says_of_its_server_is_no_word_of_a_stranger() {
    for (status, code, word) in [
        ("502 Bad Gateway", 4, "cannot answer"),
        ("504 Gateway Timeout", 4, "cannot answer"),
        ("401 Unauthorized", 5, "RUSTSOCKS_TOKEN"),
        ("403 Forbidden", 5, "refuses"),
    ] {
        let line = complains(always(status, "text/html", "<h1>"), code, &["status"]);
        assert!(line.contains(word) && line.contains(&status[4..]), "{line}");
    }
}

#[test]
fn a_refusal_names_the_token() {
    for (status, code, word) in [
        ("401 Unauthorized", 5, "RUSTSOCKS_TOKEN"),
        ("403 Forbidden", 5, "refuses"),
        ("429 Too Many Requests", 5, "refuses"),
        ("503 Service Unavailable", 4, "cannot answer"),
        ("409 Conflict", 1, "why"),
        ("422 Unprocessable Content", 2, "does not take"),
    ] {
        let address = always(status, PROBLEM, "{\"detail\":\"why\\u001b[2J\"}");
        let line = complains(address, code, &["sessions", "list"]);
        assert!(line.contains(word) && line.contains("why\\u{1b}[2J"), "{status}: {line}");
    }
}

#[test]
fn the_token_is_sent_and_never_said() {
    let (address, heads) = server(|stream| {
        let body = "{\"detail\":\"no\"}";
        let length = body.len();
        let head = format!("HTTP/1.1 401 Unauthorized\r\nContent-Type: {PROBLEM}");
        let _sent = write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    });
    let sent = |token: Option<&str>, arguments: &[&str]| {
        let mut program = program(address);
        if let Some(token) = token {
            program.env("RUSTSOCKS_TOKEN", token);
        }
        let output = program.args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(5));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("s3cret"));
        let head = heads.recv_timeout(PATIENCE).unwrap().to_ascii_lowercase();
        head.lines().find(|line| line.starts_with("authorization:")).map(str::to_owned)
    };
    let header = Some("authorization: bearer s3cret".to_owned());
    assert_eq!(sent(Some("s3cret"), &["status"]), header);
    assert_eq!(sent(Some("other"), &["sessions", "--token", "s3cret", "list"]), header);
    assert_eq!(sent(Some("other"), &["sessions", "list", "--token", "s3cret"]), header);
    assert_eq!(sent(Some(""), &["status"]), None);
    assert_eq!(sent(None, &["status"]), None);
    let line = complains(address, 2, &["status", "--token", "s3\ncret"]);
    assert!(line.contains("--token") && !line.contains("cret"), "{line}");
    let help =
        program(address).env("RUSTSOCKS_TOKEN", "s3cret").args(["status", "--help"]).output();
    assert!(!String::from_utf8(help.unwrap().stdout).unwrap().contains("s3cret"));
}

#[test]
fn what_a_token_may_do_decides_the_server_and_no_output_ever_says_it() {
    let make = || {
        let (token, hash) = new_token().unwrap();
        (token.expose_secret().to_owned(), hash)
    };
    let ((reader, reader_hash), (operator, operator_hash), (stranger, _)) =
        (make(), make(), make());
    let proxy = proxy(&format!(
        "[sessions]\n[sessions.dashboard_auth]\nenabled = true\n\
         [[sessions.api_tokens]]\nname = \"r\"\ntoken_hash = \"{reader_hash}\"\nrole = \"read\"\n\
         [[sessions.api_tokens]]\nname = \"o\"\ntoken_hash = \"{operator_hash}\"\n"
    ));
    let said = std::cell::RefCell::new(String::new());
    let run = |token: &str, code: i32, arguments: &[&str]| {
        let mut program = program(proxy.api());
        let output = program.env("RUSTSOCKS_TOKEN", token).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        said.borrow_mut().push_str(&text);
        text
    };
    let mut client = super::session(&proxy, 100);
    let listed = run(&reader, 0, &["sessions", "list", "--json"]);
    let id = super::json(&listed)["data"][0]["session_id"].as_str().unwrap().to_owned();
    for command in [
        &["sessions", "list"][..],
        &["sessions", "kill", "--yes", &id],
        &["sessions", "tail"],
        &["sessions", "export"],
        &["stats"],
        &["events"],
    ] {
        for token in ["", &stranger] {
            let line = run(token, 5, command);
            assert!(line.contains("RUSTSOCKS_TOKEN"), "{command:?}: {line}");
        }
    }
    for command in
        [&["sessions", "kill", "--yes", &id][..], &["sessions", "kill", "--yes", "--all"]]
    {
        let line = run(&reader, 5, command);
        assert!(line.contains("the server refuses"), "{line}");
    }
    run(&reader, 0, &["stats"]);
    run(&reader, 0, &["status"]);
    run("", 0, &["status"]);
    let listed = super::json(&run(&reader, 0, &["sessions", "list", "--json"]));
    assert_eq!(listed["data"][0]["session_id"], id, "nobody has ended it");
    run(&operator, 0, &["sessions", "kill", "--yes", "--reason", "abuse", &id]);
    // Reset or closed, it is over.
    assert!(matches!(client.stream.read(&mut [0; 1]), Ok(0) | Err(_)));
    let shown = rustsocks_testkit::eventually("the record", || {
        let shown = run(&reader, 0, &["sessions", "show", &id]);
        shown.contains("admin_terminated").then_some(shown)
    });
    assert!(shown.contains("ended by the token o through the API: abuse"), "{shown}");
    let config = proxy.folder().join("rustsocks.toml");
    let database = proxy.folder();
    let verified = program(proxy.api())
        .env("RUSTSOCKS_TOKEN", &reader)
        .args(["--config", config.to_str().unwrap(), "db", "verify"])
        .current_dir(database)
        .output()
        .unwrap();
    let verified = String::from_utf8([verified.stdout, verified.stderr].concat()).unwrap();
    assert!(verified.contains("has counted what the rows give"), "{verified}");
    let everything = format!("{}{verified}{}", said.borrow(), proxy.log());
    for token in [&reader, &operator, &stranger] {
        assert!(!everything.contains(token.as_str()), "a token was said");
    }
}

#[test]
fn what_the_server_does_not_take_is_named() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    for (arguments, name) in [
        (&["sessions", "list", "--limit", "0"][..], "page_size"),
        (&["sessions", "list", "--user", ""], "user"),
        (&["sessions", "list", "--source-ip", "here"], "source_ip"),
        (&["sessions", "tail", "--scope", "cluster"], "scope"),
        (&["sessions", "export", "--hours", "0"], "hours"),
        (&["stats", "--window", "0"], "window_hours"),
        (&["events", "--minutes", "0"], "minutes"),
    ] {
        let line = complains(proxy.api(), 2, arguments);
        assert!(line.contains(&format!("{name}: ")), "{line}");
    }
    let unknown = "01a209d1-312c-7766-9078-e3ca9fe9a20f";
    let line = complains(proxy.api(), 1, &["sessions", "show", unknown]);
    assert!(line.contains("there is no such session"), "{line}");
    // What the command line itself refuses, it explains in its own way.
    for arguments in [
        &["sessions", "show", "../../health"][..],
        &["sessions", "list", "--status", "open"],
        &["sessions", "list", "--at", "yesterday"],
        &["sessions", "list", "--scope", "node", "--node", "a"],
        &["sessions", "list", "--close-reason", "bored"],
        &["events", "--severity", "bad"],
    ] {
        let output = program(proxy.api()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
}

#[test]
fn an_export_that_is_cut_is_not_taken_for_a_whole_one() {
    let (address, _heads) = server(|stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked";
        let _sent = write!(stream, "{head}\r\n\r\n5\r\na,b\r\n\r\n");
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.csv");
    let line = complains(address, 4, &["sessions", "export", "-o", file.to_str().unwrap()]);
    assert!(line.contains("broke off"), "{line}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    complains(address, 4, &["sessions", "export"]);
}

#[test]
fn an_export_that_is_told_to_end_leaves_nothing_behind() {
    let (address, heads) = server(|stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked";
        let _sent = write!(stream, "{head}\r\n\r\n5\r\na,b\r\n\r\n");
        // Until the program has gone.
        let _gone = stream.read(&mut [0]);
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv");
    // Whatever runs the tests may ignore signals itself.
    let begun = |signals: &str| {
        let mut export = Process::new("env");
        export.args([signals, env!("CARGO_BIN_EXE_rustsocks"), "sessions", "export", "-o"]);
        export.arg(&file).env("RUSTSOCKS_API", address.to_string()).stderr(Stdio::piped());
        let export = export.spawn().unwrap();
        heads.recv_timeout(PATIENCE).unwrap();
        let part = folder.path().join(format!("a.csv.{}.part", export.id()));
        eventually("the first piece", || {
            std::fs::metadata(&part).is_ok_and(|part| part.len() > 0).then_some(())
        });
        export
    };
    let ended = |mut export: Child, code| {
        assert_eq!(export.wait().unwrap().code(), Some(code));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    };
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        let export = begun("--default-signal");
        kill_process(Pid::from_child(&export), signal).unwrap();
        ended(export, code);
    }
    // Told to ignore it, as nohup(1) does, it goes on.
    let export = begun("--ignore-signal=HUP");
    kill_process(Pid::from_child(&export), Signal::HUP).unwrap();
    kill_process(Pid::from_child(&export), Signal::TERM).unwrap();
    ended(export, 143);
}

#[test]
fn an_export_of_any_length_takes_the_same_memory() {
    const PIECES: usize = 2048;
    let (done, end) = mpsc::channel::<()>();
    let end = std::sync::Mutex::new(end);
    let (sent_all, all_sent) = mpsc::channel();
    let (address, _heads) = server(move |stream| {
        let piece = [b'x'; 64 << 10];
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length";
        write!(stream, "{head}: {}\r\n\r\n", PIECES * piece.len() + 1).unwrap();
        for _ in 0..PIECES {
            stream.write_all(&piece).unwrap();
        }
        sent_all.send(()).unwrap();
        // The last byte waits until the test has looked at the program.
        end.lock().unwrap().recv().unwrap();
        stream.write_all(b"x").unwrap();
    });
    let mut export =
        program(address).args(["sessions", "export"]).stdout(Stdio::null()).spawn().unwrap();
    all_sent.recv_timeout(PATIENCE).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", export.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    done.send(()).unwrap();
    assert!(export.wait().unwrap().success());
    // 128 MiB went through.
    assert!(peak < 48 << 10, "{peak} KiB");
}

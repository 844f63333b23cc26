//! The API: every route, every kind of wrong question, and nobody from outside.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::{Answer, PATIENCE, Proxy, eventually};

use super::{listener, proxy};

/// Checks that an answer is a problem detail of this status, and returns its text.
fn problem(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    let head = answer.head.to_ascii_lowercase();
    assert!(head.contains("content-type: application/problem+json"), "{answer:?}");
    let body = answer.json();
    assert_eq!(body["status"], status);
    body["detail"].as_str().unwrap().to_owned()
}

/// Sends bytes as they are and returns the answer's status line.
fn raw(proxy: &Proxy, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(proxy.api()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server may answer and close before it has read everything.
    let _early = stream.write_all(request);
    let mut answer = Vec::new();
    let _reset_after_the_answer = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sessions that ended one after the other, with distinct byte counts: 1, 2, … `count`.
fn sessions(proxy: &Proxy, count: usize) {
    let (target, address) = listener();
    for number in 1..=count {
        let mut client = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
        let (mut peer, _) = target.accept().unwrap();
        client.send(&vec![1; number]);
        peer.read_exact(&mut vec![0; number]).unwrap();
        drop((client, peer));
        eventually("the session to end", || (proxy.active().is_empty()).then_some(()));
    }
}

#[test]
fn every_wrong_parameter_is_a_400_that_names_it() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let wrong = [
        ("page", &["", "0", "-1", "x", "99999999999999999999", "1.5", "%00", "1%20OR%201"][..]),
        ("page_size", &["", "0", "1001", "-5", "%F0%9F%98%80"]),
        ("status", &["", "open", "ACTIVE", "'%3B%20DROP%20TABLE%20sessions"]),
        ("protocol", &["", "icmp", "%00"]),
        ("source_ip", &["", "1.2.3", "localhost", "1.2.3.4/8"]),
        ("egress_ip", &["", "x"]),
        ("egress_port", &["", "-1", "65536", "http"]),
        ("at", &["", "yesterday", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z"]),
        ("start_after", &["", "0", "2026-01-01", "-009999-01-02T00:00:00Z"]),
        ("start_before", &["", "never", "99999-01-01T00:00:00Z", "%00"]),
        ("hours", &["", "0", "-1", "87601", "x"]),
        ("min_bytes", &["", "-1", "many", "1e3"]),
        ("min_duration_secs", &["", "-1", "0.5"]),
        ("close_reason", &["", "bored"]),
        ("cursor", &["", "x", "1_2", "%00", "-5_01a209d1-312c-7766-9078-e3ca9fe9a20f"]),
        ("scope", &["", "world"]),
        ("sort_by", &["", "password", "end_time%3B--"]),
        ("sort_dir", &["", "up"]),
        ("bogus", &["", "1"]),
    ];
    let huge = "x".repeat(2000);
    let texts = ["", "%00", "a%00b", huge.as_str()];
    let texts = ["user", "dest", "dest_ip", "node"].map(|name| (name, &texts[..]));
    for path in [
        "/api/sessions/history?",
        "/api/sessions/active?",
        "/api/users/alice/sessions?",
        "/api/sessions/stream?",
        "/api/sessions/export?format=csv&",
        "/api/sessions/terminate?",
    ] {
        for (name, values) in wrong.into_iter().chain(texts) {
            for value in values {
                let path = format!("{path}{name}={value}");
                let answer = match path.contains("terminate") {
                    true => proxy.post(&path, ""),
                    false => proxy.get(&path),
                };
                let detail = problem(&answer, 400);
                assert!(detail.contains(name), "{path}: {detail}");
            }
        }
    }
    for path in ["/api/sessions/history", "/api/sessions/active"] {
        let twice = problem(&proxy.get(&format!("{path}?page=1&page=2")), 400);
        assert!(twice.contains("page"), "{twice}");
    }
    for (path, name) in [
        ("/api/sessions/export", "format"),
        ("/api/sessions/export?format=", "format"),
        ("/api/sessions/export?format=xml", "format"),
        ("/api/sessions/export?format=csv&format=csv", "format"),
        ("/api/sessions/export?format=csv&page=1", "page"),
        ("/api/sessions/stream?cursor=1", "cursor"),
        ("/api/sessions/stats?bogus=1", "bogus"),
        ("/api/stats/failures?bogus=1", "bogus"),
        ("/api/users/a%00b/sessions", "user"),
        (&format!("/api/users/{huge}/sessions"), "user"),
        ("/api/users/alice/sessions?user=bob", "user"),
    ] {
        let detail = problem(&proxy.get(path), 400);
        assert!(detail.contains(name), "{path}: {detail}");
    }
    for (query, name) in
        [("minutes=0", "minutes"), ("limit=0", "limit"), ("severity=bad", "severity"), ("x=1", "x")]
    {
        let detail = problem(&proxy.get(&format!("/api/telemetry/events?{query}")), 400);
        assert!(detail.contains(name), "{detail}");
    }
    assert_eq!(proxy.get("/api/telemetry/events?limit=100000").status, 200);
    for (name, values) in [
        ("minutes", &["", "0", "-1", "5256001", "x", "1.5", "99999999999999999999", "%00"][..]),
        ("points", &["", "0", "10001", "-5", "%F0%9F%98%80", "1%20OR%201"]),
        ("hours", &["1"]),
    ] {
        for value in values {
            let answer = proxy.get(&format!("/api/metrics/history?{name}={value}"));
            let detail = problem(&answer, 400);
            assert!(detail.contains(name), "{name}={value}: {detail}");
        }
    }
}

#[test]
fn hostile_text_that_is_no_error_finds_nothing_and_harms_nothing() {
    let proxy = proxy("");
    sessions(&proxy, 3);
    for text in ["%27%20OR%20%271%27=%271", "%25", "_", "%F0%9F%98%80", "a%0Ab", "%22%5C"] {
        for name in ["user", "dest", "dest_ip"] {
            let answer = proxy.get(&format!("/api/sessions/history?{name}={text}"));
            assert_eq!(answer.json()["total"], 0, "{name}={text}: {answer:?}");
        }
    }
    assert_eq!(proxy.records().len(), 3);
}

#[test]
fn ids_paths_and_methods_that_lead_nowhere_are_problem_details() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let unknown = "01a209d1-312c-7766-9078-e3ca9fe9a20f";
    problem(&proxy.get("/api/sessions/7"), 400);
    problem(&proxy.get(&format!("/api/sessions/{unknown}")), 404);
    problem(&proxy.post(&format!("/api/sessions/{unknown}/terminate"), ""), 404);
    problem(&proxy.post("/api/sessions/x/terminate", ""), 400);
    problem(&proxy.get("/api/nothing"), 404);
    problem(&proxy.get("/api/../../etc/passwd"), 404);
    problem(&proxy.get("/swagger-ui/..%2f..%2fetc%2fpasswd"), 404);
    problem(&proxy.post("/api/sessions/history", ""), 405);
    problem(&proxy.get(&format!("/api/sessions/{unknown}/terminate")), 405);
    for body in ["{", "[]", r#"{"reason":7}"#, r#"{"why":"x"}"#] {
        problem(&proxy.post(&format!("/api/sessions/{unknown}/terminate"), body), 400);
    }
    for body in ["", "{}", r#"{"dest":"","port":1}"#, r#"{"dest":"x","port":70000}"#] {
        problem(&proxy.post("/api/acl/test", body), 400);
    }
    problem(&proxy.post("/api/admin/reload-acl", ""), 409);
}

#[test]
fn a_body_over_a_megabyte_is_refused_announced_or_not() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let announced =
        b"POST /api/acl/test HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\
                      Connection: close\r\n\r\n";
    assert!(raw(&proxy, announced).starts_with("HTTP/1.1 413"), "announced");
    let mut chunked = b"POST /api/acl/test HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                        Transfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    for _ in 0..30 {
        chunked.extend(b"10000\r\n");
        chunked.extend(vec![b' '; 0x10000]);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    assert!(raw(&proxy, &chunked).starts_with("HTTP/1.1 413"), "chunked");
    assert_eq!(proxy.get("/health").status, 200);
}

#[test]
fn a_foreign_host_or_origin_is_refused() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let get =
        |host: &str| format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert!(raw(&proxy, get("localhost").as_bytes()).starts_with("HTTP/1.1 200"));
    assert!(raw(&proxy, get("evil.example").as_bytes()).starts_with("HTTP/1.1 403"));
    let post = |origin: &str| {
        let host = proxy.api();
        format!(
            "POST /api/admin/reload-acl HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
    };
    assert!(raw(&proxy, post("http://evil.example").as_bytes()).starts_with("HTTP/1.1 403"));
    let own = format!("http://{}", proxy.api());
    assert!(raw(&proxy, post(&own).as_bytes()).starts_with("HTTP/1.1 409"), "the rules are off");
}

#[test]
fn pages_and_cursors_cover_the_history_once_while_it_grows() {
    let proxy = proxy("");
    sessions(&proxy, 25);
    let first = proxy.get("/api/sessions/history?page_size=10").json();
    assert_eq!((&first["total"], &first["total_pages"]), (&25.into(), &3.into()));
    assert_eq!(first["data"].as_array().unwrap().len(), 10);
    let mut seen = Vec::new();
    let mut path = "/api/sessions/history?page_size=10".to_owned();
    loop {
        let page = proxy.get(&path).json();
        let sizes = page["data"].as_array().unwrap().iter();
        seen.extend(sizes.map(|record| record["bytes_sent"].as_u64().unwrap()));
        sessions(&proxy, 2);
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/sessions/history?page_size=10&cursor={cursor}"),
            None => break,
        }
    }
    let expected: Vec<u64> = (1..=25).rev().collect();
    assert_eq!(seen, expected);
}

#[test]
fn filters_and_orders_narrow_the_history() {
    let proxy = proxy("");
    sessions(&proxy, 8);
    let ask = |query: &str| -> Vec<u64> {
        let page = proxy.get(&format!("/api/sessions/history?{query}")).json();
        let data = page["data"].as_array().unwrap_or_else(|| panic!("{query}: {page}"));
        data.iter().map(|record| record["bytes_sent"].as_u64().unwrap()).collect()
    };
    assert_eq!(ask("min_bytes=6&sort_by=bytes&sort_dir=asc"), [6, 7, 8]);
    assert_eq!(ask("sort_by=bytes_sent&page_size=2&page=2"), [6, 5]);
    assert_eq!(ask("user=anonymous&hours=1").len(), 8);
    assert_eq!(ask("user=nobody").len(), 0);
    assert_eq!(ask("status=closed&protocol=tcp&dest=127.0.0.1").len(), 8);
    // However an address is written.
    assert_eq!(ask("source_ip=::ffff:127.0.0.1&dest_ip=0:0:0:0:0:FFFF:7F00:1").len(), 8);
    assert_eq!(ask("dest=::ffff:127.0.0.1&egress_ip=::ffff:7f00:1").len(), 8);
    assert_eq!(ask("status=active").len(), 0);
    assert_eq!(ask("start_before=2020-01-01T00:00:00Z").len(), 0);
    let one = proxy.records().remove(0);
    let (port, at) = (&one["egress_port"], one["start_time"].as_str().unwrap());
    let at = at.replace('+', "%2B");
    let who = ask(&format!("egress_ip=127.0.0.1&egress_port={port}&at={at}"));
    assert_eq!(who, [one["bytes_sent"].as_u64().unwrap()]);
    let of_user = proxy.get("/api/users/anonymous/sessions?min_bytes=8").json();
    assert_eq!(of_user["total"], 1);
    let id = one["session_id"].as_str().unwrap();
    assert_eq!(proxy.get(&format!("/api/sessions/{id}")).json(), one);
}

#[test]
fn what_runs_is_found_and_ordered_by_how_long_it_has_run() {
    let proxy = proxy("");
    let (_target, address) = listener();
    let open = || Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    let first = open();
    // The clock must have moved on, or the two would have started at the same time.
    eventually("the first to have lasted", || {
        let one = proxy.active().remove(0);
        (one["updated_at"] != one["start_time"]).then_some(())
    });
    let second = open();
    let ask = |query: &str| -> Vec<u64> {
        let page = proxy.get(&format!("/api/sessions/{query}")).json();
        let data = page["data"].as_array().unwrap_or_else(|| panic!("{query}: {page}"));
        assert!(data.iter().all(|one| one["duration_ms"].is_null()), "{page}");
        data.iter().map(|one| one["source_port"].as_u64().unwrap()).collect()
    };
    let [old, young] = [first, second].map(|client| {
        let port = client.source().port();
        // It stays open to the end.
        std::mem::forget(client);
        u64::from(port)
    });
    assert_eq!(ask("active?sort_by=duration&sort_dir=desc"), [old, young]);
    assert_eq!(ask("active?sort_by=duration&sort_dir=asc"), [young, old]);
    assert_eq!(ask("active?min_duration_secs=0").len(), 2);
    assert!(ask("active?min_duration_secs=3600").is_empty());
    eventually("both to have lasted a second", || {
        (ask("active?min_duration_secs=1").len() == 2).then_some(())
    });
    let dry = |least: u64| {
        let path = format!("/api/sessions/terminate?min_duration_secs={least}");
        proxy.post(&path, r#"{"dry_run":true}"#).json()["matched"].clone()
    };
    assert_eq!((dry(1), dry(3600)), (2.into(), 0.into()));
    let stored = "history?status=active&sort_by=duration&min_duration_secs";
    eventually("their rows", || (ask(&format!("{stored}=1")) == [old, young]).then_some(()));
    assert!(ask(&format!("{stored}=3600")).is_empty());
}

#[test]
fn every_path_lies_below_the_base_path() {
    let proxy = proxy("[sessions]\nbase_path = \"/books/\"\n");
    for path in [
        "/health",
        "/ready",
        "/metrics",
        "/api/sessions/active",
        "/api/sessions/history",
        "/api/acl/rules",
        "/api/telemetry/events",
        "/api/metrics/history",
        "/api/pool/stats",
        "/api/system/resources",
        "/api/system/counters",
        "/api/system/config",
        "/api/openapi.json",
        "/swagger-ui/",
    ] {
        assert_eq!(proxy.get(&format!("/books{path}")).status, 200, "{path}");
        problem(&proxy.get(path), 404);
    }
    let answer = proxy.get("/books/swagger-ui");
    assert_eq!(answer.header("location"), Some("/books/swagger-ui/"), "{answer:?}");
}

#[test]
fn a_path_that_is_not_utf_8_is_told_by_the_name_of_its_part() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    for (path, name) in [("/api/users/%FF/sessions", "user: "), ("/api/sessions/%FF", "id: ")] {
        let answer = proxy.get(path);
        problem(&answer, 400);
        assert!(answer.json()["detail"].as_str().unwrap().starts_with(name), "{answer:?}");
    }
}

#[test]
fn the_api_browser_fetches_nothing_from_elsewhere() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let page = proxy.get("/swagger-ui/").body;
    for attribute in page.split(['"', '\'']).filter(|text| text.contains("//")) {
        assert!(!attribute.starts_with("http") && !attribute.starts_with("//"), "{attribute}");
    }
    for file in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"] {
        assert_eq!(proxy.get(&format!("/swagger-ui/{file}")).status, 200, "{file}");
    }
    assert_eq!(proxy.get("/api/openapi.json").json()["openapi"], "3.1.0");
}

#[test]
fn the_metrics_page_has_the_published_families_and_promtool_accepts_it() {
    let users = "[auth]\nsocks_method = \"userpass\"\n[metrics]\nmax_user_labels = 2\n\
                 [[auth.users]]\nusername = 'q\"uo\\te{}='\npassword = \"p\"\n\
                 [[auth.users]]\nusername = \"名前 ünï\"\npassword = \"p\"\n\
                 [[auth.users]]\nusername = \"third\"\npassword = \"p\"\n";
    let proxy = proxy(users);
    let (target, address) = listener();
    for name in ["q\"uo\\te{}=", "名前 ünï", "third"] {
        let mut client = Client::connect(proxy.socks());
        assert!(client.log_in(name, "p").is_some());
        client.ask(Command::Connect, &at(address)).granted();
        target.accept().unwrap();
    }
    let page = proxy.get("/metrics").body;
    for line in [
        "# TYPE rustsocks_active_sessions gauge",
        "# TYPE rustsocks_sessions_total counter",
        "# TYPE rustsocks_sessions_rejected_total counter",
        "# TYPE rustsocks_session_duration_seconds histogram",
        "# TYPE rustsocks_bytes_sent_total counter",
        "# TYPE rustsocks_bytes_received_total counter",
        "# TYPE rustsocks_user_sessions_total counter",
        "# TYPE rustsocks_user_bandwidth_bytes_total counter",
        r#"rustsocks_user_sessions_total{user="q\"uo\\te{}="} 1"#,
        "rustsocks_user_sessions_total{user=\"名前 ünï\"} 1",
        r#"rustsocks_user_sessions_total{user="_other"} 1"#,
        r#"rustsocks_user_bandwidth_bytes_total{user="_other",direction="sent"} 0"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    let bounds: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("rustsocks_session_duration_seconds_bucket{le=\""))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(bounds, ["0.1", "0.5", "1.0", "5.0", "10.0", "30.0", "60.0", "300.0", "+Inf"]);
    if !Path::new("/usr/bin/promtool").exists() {
        eprintln!("SKIPPED: promtool (Debian package prometheus) is not installed");
        return;
    }
    let mut promtool = Process::new("/usr/bin/promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn names_and_types_of_the_page_are_those_of_the_list() {
    let page = proxy("").get("/metrics").body;
    let mut found: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    found.sort_unstable();
    // Adding a line is a promise, changing one breaks somebody's alerts.
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/metrics.txt");
    let list = std::fs::read_to_string(list).unwrap();
    assert_eq!(found, list.lines().collect::<Vec<_>>());
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manual/metrics.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    for family in found {
        let name = family.split(' ').next().unwrap();
        assert!(manual.contains(&format!("`{name}")), "the manual does not name {name}");
    }
    // Labels come from closed sets, but for users' names.
    let labels = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (_, rest) = line.split_once('{')?;
        rest.split_once('=').map(|(label, _)| label)
    });
    for label in labels {
        let known = ["le", "user", "reason", "verdict", "category", "fate", "direction"];
        assert!(known.contains(&label), "{label}");
    }
}

#[test]
fn openmetrics_is_for_who_asks() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let get = |accept: &str| {
        let head = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: ";
        raw(&proxy, format!("{head}{accept}\r\n\r\n").as_bytes())
    };
    let open = get("application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert!(open.contains("application/openmetrics-text; version=1.0.0") && open.contains("# EOF"));
    let classic = get("*/*");
    assert!(classic.contains("text/plain; version=0.0.4") && !classic.contains("# EOF"));
}

#[test]
fn a_client_that_sends_its_body_slowly_is_cut() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let head = b"POST /api/acl/test HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    let answer = raw(&proxy, head);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[test]
fn a_slow_client_is_cut() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let mut slow = TcpStream::connect(proxy.api()).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nHost:").unwrap();
    let mut rest = Vec::new();
    // Ended by the server, in order or by a reset, well before this test gives up.
    let _reset = slow.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
}

//! What an operator asks of a running process: its course, its spares, its resources, its settings.

use std::io::{Read as _, Write as _};

use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::eventually;
use serde_json::Value;

use super::{listener, proxy};

/// Relays 1000 bytes to a destination and 3000 back.
fn one_session(socks: std::net::SocketAddr) {
    let (target, address) = listener();
    let mut client = Client::socks5(socks, Command::Connect, &at(address)).granted();
    let (mut peer, _) = target.accept().unwrap();
    client.send(&[1; 1000]);
    peer.read_exact(&mut [0; 1000]).unwrap();
    peer.write_all(&[2; 3000]).unwrap();
    client.stream.read_exact(&mut [0; 3000]).unwrap();
}

fn sum(points: &[Value], key: &str) -> f64 {
    points.iter().map(|point| point[key].as_f64().unwrap()).sum()
}

#[test]
fn the_metrics_history_adds_up_to_what_was_relayed() {
    let proxy = proxy("[metrics]\ncollection_interval_secs = 1\nstorage = \"memory\"\n");
    (0..10).for_each(|_| one_session(proxy.socks()));
    let points = eventually("every byte in the history", || {
        let history = proxy.get("/api/metrics/history?minutes=1").json();
        assert_eq!(history["interval_secs"], 1);
        let points = history["data"].as_array().unwrap().clone();
        (sum(&points, "bytes_received_per_sec") > 29_000.0).then_some(points)
    });
    // Each span is a second long, give or take what a busy machine adds.
    let near = |value: f64, wanted: f64| (value / wanted - 1.0).abs() < 0.2;
    assert!(near(sum(&points, "sessions_per_sec"), 10.0), "{points:?}");
    assert!(near(sum(&points, "bytes_sent_per_sec"), 10_000.0), "{points:?}");
    assert!(near(sum(&points, "bytes_received_per_sec"), 30_000.0), "{points:?}");
    let times: Vec<&str> = points.iter().map(|p| p["timestamp"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let few = proxy.get("/api/metrics/history?minutes=60&points=2").json();
    assert!(few["data"].as_array().unwrap().len() <= 2 && few["interval_secs"] == 1800, "{few}");
}

#[test]
fn the_pool_tells_its_spares_by_destination() {
    let proxy = proxy("[server.pool]\nenabled = true\nmax_idle_per_dest = 2\nmax_total_idle = 2\n");
    let (target, address) = listener();
    std::thread::spawn(move || {
        // Accepted connections stay open until the test is over.
        let _open: Vec<_> = target.incoming().map_while(Result::ok).collect();
    });
    let state = eventually("a spare", || {
        Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
        let state = proxy.get("/api/pool/stats").json();
        (state["idle"] != 0 && state["reused"] != 0).then_some(state)
    });
    assert_eq!((&state["enabled"], &state["max_total_idle"]), (&true.into(), &2.into()));
    assert_eq!(state["max_idle_per_dest"], 2);
    assert_eq!(state["destinations"][0]["dest"], address.to_string());
    assert_eq!(state["destinations"][0]["idle"], state["idle"]);
    assert!(state["opened"].as_u64() >= state["reused"].as_u64(), "{state}");
}

#[test]
fn a_pool_that_is_off_says_so() {
    let state = proxy("").get("/api/pool/stats").json();
    assert_eq!((&state["enabled"], &state["idle"]), (&false.into(), &0.into()));
    assert_eq!(state["destinations"], serde_json::json!([]));
}

#[test]
fn the_resources_are_those_of_the_process() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", proxy.pid()));
    let found = proxy.get("/api/system/resources").json();
    let status = read("status").unwrap();
    let line = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    assert_eq!(found["threads"], line("Threads:"));
    let resident = found["resident_bytes"].as_u64().unwrap();
    assert!(resident.abs_diff(line("VmRSS:") * 1024) < 8 << 20, "{found} {status}");
    assert!(found["open_fds"].as_u64().unwrap() >= 5, "{found}");
    assert!(found["max_fds"].as_u64() >= found["open_fds"].as_u64(), "{found}");
    assert!(found["cores"].as_u64().unwrap() >= 1, "{found}");
    assert!(found["memory_total_bytes"].as_u64() > found["memory_available_bytes"].as_u64());
    assert!(found["cpu_seconds"].is_number() && found["load_1m"].is_number(), "{found}");
}

#[test]
fn the_configuration_in_force_is_shown_without_secrets() {
    let proxy = proxy(
        "[auth]\nsocks_method = \"userpass\"\n[[auth.users]]\nusername = \"alice\"\n\
         password = \"geheim\"\n[server]\nidle_timeout_secs = 77\n",
    );
    let answer = proxy.get("/api/system/config");
    assert!(!answer.body.contains("geheim"), "{answer:?}");
    let config = answer.json();
    assert_eq!(config["file"], "rustsocks.toml");
    assert_eq!(config["settings"]["server"]["idle_timeout_secs"], 77);
    assert_eq!(config["settings"]["server"]["max_connections"], 10_000);
    assert_eq!(config["settings"]["sessions"]["database_url"], "sqlite://data/sessions.db");
    let alice = serde_json::json!([{ "username": "alice", "password": "***" }]);
    assert_eq!(config["settings"]["auth"]["users"], alice);
}

#[test]
fn the_metrics_history_survives_a_restart_and_shows_the_gap() {
    let mut proxy = proxy("[metrics]\ncollection_interval_secs = 1\n");
    (0..10).for_each(|_| one_session(proxy.socks()));
    let points = |proxy: &rustsocks_testkit::Proxy| -> Vec<Value> {
        let history = proxy.get("/api/metrics/history?minutes=10").json();
        history["data"].as_array().unwrap().clone()
    };
    let before = eventually("a point", || Some(points(&proxy)).filter(|points| !points.is_empty()));
    // The last point is taken at the stop.
    assert_eq!(proxy.terminate(), Some(0));
    proxy.restart();
    let after = eventually("the points of the last run", || {
        let after = points(&proxy);
        (after.len() > before.len()).then_some(after)
    });
    assert_eq!(after[..before.len()], before[..], "every point as it was");
    for rate in ["bytes_sent_per_sec", "bytes_received_per_sec"] {
        assert!(sum(&after, rate) > 0.0, "{rate}: {after:?}");
    }
    proxy.kill();
    proxy.restart();
    eventually("the points of the run before", || {
        (points(&proxy).len() >= after.len()).then_some(())
    });
}

#[test]
fn a_history_that_is_kept_in_memory_leaves_no_row() {
    let mut proxy = proxy("[metrics]\ncollection_interval_secs = 1\nstorage = \"memory\"\n");
    eventually("a point", || {
        let history = proxy.get("/api/metrics/history").json();
        (!history["data"].as_array().unwrap().is_empty()).then_some(())
    });
    assert_eq!(proxy.terminate(), Some(0));
    let database = proxy.folder().join("data/sessions.db");
    let sql = "SELECT COUNT(*) FROM metrics_points";
    let output = std::process::Command::new("sqlite3").arg(database).arg(sql).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0", "{output:?}");
}

#[test]
fn metrics_that_are_off_have_neither_page_nor_history() {
    let proxy = proxy("[metrics]\nenabled = false\n");
    for path in ["/metrics", "/api/metrics/history"] {
        let answer = proxy.get(path);
        assert_eq!(answer.status, 404, "{answer:?}");
        assert!(answer.body.contains("metrics.enabled"), "{answer:?}");
    }
}

/// With `RUSTSOCKS_SCRAPE_USERS=1000` and `--release --nocapture` this is the manual's figure.
#[test]
#[expect(clippy::disallowed_methods, reason = "a figure in real time is what is wanted")]
fn a_scrape_shows_every_user() {
    let users = std::env::var("RUSTSOCKS_SCRAPE_USERS");
    let users: usize = users.map_or(40, |count| count.parse().unwrap());
    let mut config = "[auth]\nsocks_method = \"userpass\"\n".to_owned();
    for nth in 0..users {
        config.push_str(&format!("[[auth.users]]\nusername = \"u{nth}\"\npassword = \"p\"\n"));
    }
    let proxy = proxy(&config);
    let (target, address) = listener();
    for nth in 0..users {
        let mut client = Client::connect(proxy.socks());
        assert!(client.log_in(&format!("u{nth}"), "p").is_some());
        client.ask(Command::Connect, &at(address)).granted();
        target.accept().unwrap();
    }
    let page = proxy.get("/metrics").body;
    let series = page.matches("rustsocks_user_bandwidth_bytes_total{").count();
    assert_eq!(series, 2 * users);
    let mut times: Vec<std::time::Duration> = (0..100)
        .map(|_| {
            let began = std::time::Instant::now();
            assert_eq!(proxy.get("/metrics").status, 200);
            began.elapsed()
        })
        .collect();
    times.sort();
    println!("{users} users: a scrape takes {:?}, p99 {:?}", times[50], times[98]);
}

/// The niceness of each thread of a process, by the thread's name (proc(5), `stat`).
fn niceness(pid: u32) -> Vec<(String, i32)> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let stats = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")));
    let parse = |stat: String| {
        let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
        (name.to_owned(), rest.split_whitespace().nth(16).unwrap().parse().unwrap())
    };
    // A thread may have ended since the folder was read.
    stats.filter_map(Result::ok).map(parse).collect()
}

#[test]
fn threads_that_answer_the_api_give_way_to_those_of_clients() {
    let proxy = proxy("");
    assert_eq!(proxy.get("/health").status, 200);
    let threads = niceness(proxy.pid());
    let of = |name: &str| -> Vec<i32> {
        threads.iter().filter(|(own, _)| own == name).map(|(_, nice)| *nice).collect()
    };
    let own = of("rustsocks")[0];
    assert_eq!(of("api"), [(own + 10).min(19); 2], "{threads:?}");
    let reading = of("sqlite-reads");
    assert!(!reading.is_empty(), "{threads:?}");
    assert!(reading.iter().all(|nice| *nice == (own + 10).min(19)), "{threads:?}");
    let clients = of("tokio-rt-worker");
    assert!(!clients.is_empty() && clients.iter().all(|nice| *nice == own), "{threads:?}");
}

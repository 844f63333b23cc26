//! The ledger on real database servers: outages of every kind, and several nodes on one database.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command as Process;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustsocks_access::operators::new_token;
use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::{DatabaseServer, Kind, Proxy, eventually};
use secrecy::ExposeSecret as _;

use super::{bytes, end, listener, ports_of, proxy, some_sessions, sorted};

fn config(kind: Kind, url: &str, node: &str) -> String {
    let storage = match kind {
        Kind::MariaDb => "mariadb",
        Kind::Postgres => "postgres",
    };
    format!(
        "[sessions]\nstorage = \"{storage}\"\ndatabase_url = \"{url}\"\nnode_id = \"{node}\"\n\
         node_lease_secs = 5\ndatabase_statement_timeout_secs = 3\n\
         [server]\nshutdown_grace_secs = 0\n"
    )
}

fn degraded(proxy: &Proxy) {
    eventually("degraded", || {
        (proxy.get("/health").json()["storage"]["status"] == "degraded").then_some(())
    });
}

/// Every one of these sessions is in the ledger, once, with its bytes, and no other.
fn recorded(proxy: &Proxy, ports: &[u16]) {
    eventually("health", || (proxy.get("/health").json()["status"] == "ok").then_some(()));
    let records = eventually("every record", || {
        let records = proxy.records();
        (records.len() >= ports.len()).then_some(records)
    });
    assert!(records.iter().all(|record| bytes(record) == (5, 3)), "{records:?}");
    assert_eq!(ports_of(&records), sorted(ports.to_vec()));
    assert_eq!(proxy.metric("rustsocks_records_lost_total"), 0);
}

/// An outage of the server: begins, ends; sessions before, during and after it are all recorded.
fn survives(kind: Kind, server: &DatabaseServer, begin: impl FnOnce(&str), end: impl FnOnce(&str)) {
    let database = server.database();
    // However long the server takes to come back here, it is not longer than the lease.
    let config = config(kind, &server.url(&database), "a");
    let proxy = proxy(&config.replace("node_lease_secs = 5", "node_lease_secs = 600"));
    let mut ports = some_sessions(&proxy, 20);
    begin(&database);
    ports.extend(some_sessions(&proxy, 40));
    degraded(&proxy);
    ports.extend(some_sessions(&proxy, 40));
    end(&database);
    ports.extend(some_sessions(&proxy, 20));
    recorded(&proxy, &ports);
    let events = proxy.get("/api/telemetry/events?category=storage").json();
    assert_eq!(events.as_array().unwrap().len(), 2, "one each: {events}");
}

#[test]
fn a_server_that_is_stopped_or_killed_and_comes_back_has_every_record() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let server = DatabaseServer::start(kind);
        survives(kind, &server, |_| server.stop(), |_| server.start_again());
        survives(kind, &server, |_| server.kill(), |_| server.start_again());
    }
}

#[test]
fn a_changed_password_degrades_until_it_is_changed_back() {
    let alter = |kind, server: &DatabaseServer, password: &str| match kind {
        Kind::MariaDb => {
            server.sql("", &format!("SET PASSWORD FOR rustsocks = PASSWORD('{password}')"));
            // A password is asked for once per connection: those that are open go on.
            server.sql("", "KILL USER rustsocks");
        }
        Kind::Postgres => {
            server.sql("postgres", &format!("ALTER ROLE rustsocks PASSWORD '{password}'"));
            server.sql(
                "postgres",
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE usename = 'rustsocks'",
            );
        }
    };
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let server = DatabaseServer::start(kind);
        survives(
            kind,
            &server,
            |_| alter(kind, &server, "another"),
            |_| alter(kind, &server, rustsocks_testkit::database::PASSWORD),
        );
    }
}

#[test]
fn a_read_only_server_degrades_until_it_takes_writes_again() {
    let server = DatabaseServer::start(Kind::MariaDb);
    let switch = |on| server.sql("", &format!("SET GLOBAL read_only = {on}"));
    survives(Kind::MariaDb, &server, |_| drop(switch(1)), |_| drop(switch(0)));
    let server = DatabaseServer::start(Kind::Postgres);
    let switch = |on: &str, database: &str| {
        let words = format!(
            "ALTER DATABASE {database} SET default_transaction_read_only = {on}; \
             SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE usename = 'rustsocks'"
        );
        server.sql("postgres", &words);
    };
    survives(
        Kind::Postgres,
        &server,
        |database| switch("on", database),
        |database| switch("off", database),
    );
}

/// A network between the proxy and the server, with a fault that a test chooses.
struct Network {
    at: SocketAddr,
    fault: Arc<AtomicU8>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

const FINE: u8 = 0;
/// Nothing is carried any more; connections stay open.
const STALLED: u8 = 1;
/// Connections are reset, new ones too.
const CUT: u8 = 2;
/// Each piece arrives late.
const SLOW: u8 = 3;

impl Network {
    fn to(port: u16) -> Self {
        let (listener, at) = listener();
        let (fault, open) = (Arc::new(AtomicU8::new(FINE)), Arc::new(Mutex::default()));
        let network = Self { at, fault: Arc::clone(&fault), open: Arc::clone(&open) };
        std::thread::spawn(move || carry(&listener, port, &fault, &open));
        network
    }

    fn set(&self, fault: u8) {
        self.fault.store(fault, SeqCst);
        if fault != STALLED && fault != SLOW {
            // A network that comes back does not bring its old connections back.
            for stream in self.open.lock().unwrap().drain(..) {
                // The carrying threads hold it too, and let go of it then.
                let _gone = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

fn carry(listener: &TcpListener, port: u16, fault: &Arc<AtomicU8>, open: &Mutex<Vec<TcpStream>>) {
    for client in listener.incoming().map_while(Result::ok) {
        if fault.load(SeqCst) == CUT {
            super::reset(client);
            continue;
        }
        let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let fault = Arc::clone(fault);
            std::thread::spawn(move || {
                let mut buffer = [0; 16_384];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    if fault.load(SeqCst) == SLOW {
                        std::thread::park_timeout(Duration::from_millis(60));
                    }
                    while fault.load(SeqCst) == STALLED {
                        std::thread::park_timeout(Duration::from_millis(5));
                    }
                    if to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            });
        }
        open.lock().unwrap().extend([client, server]);
    }
}

#[test]
fn a_network_that_stalls_is_cut_or_is_slow_costs_no_record() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let server = DatabaseServer::shared(kind);
        let network = Network::to(server.port());
        for fault in [STALLED, CUT, SLOW] {
            let database = server.database();
            let url = server.url_behind(network.at.port(), &database);
            let proxy = proxy(&config(kind, &url, "a"));
            let mut ports = some_sessions(&proxy, 20);
            network.set(fault);
            ports.extend(some_sessions(&proxy, 40));
            if fault != SLOW {
                degraded(&proxy);
            }
            ports.extend(some_sessions(&proxy, 40));
            network.set(FINE);
            ports.extend(some_sessions(&proxy, 20));
            recorded(&proxy, &ports);
        }
    }
}

#[test]
fn a_server_that_is_gone_at_the_stop_gets_everything_at_the_next_start() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let server = DatabaseServer::start(kind);
        let mut proxy = proxy(&config(kind, &server.url(&server.database()), "a"));
        let ports = some_sessions(&proxy, 20);
        server.kill();
        let mut all = some_sessions(&proxy, 20);
        all.extend(ports);
        assert_eq!(proxy.terminate(), Some(0));
        server.start_again();
        proxy.restart();
        recorded(&proxy, &all);
    }
}

#[test]
fn a_start_while_the_server_is_away_serves_clients_and_records_all_when_it_is_back() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let server = DatabaseServer::start(kind);
        let mut proxy = proxy(&config(kind, &server.url(&server.database()), "a"));
        let mut ports = some_sessions(&proxy, 20);
        server.kill();
        for kills in [false, true, true] {
            match kills {
                true => proxy.kill(),
                false => assert_eq!(proxy.terminate(), Some(0)),
            }
            proxy.restart();
            degraded(&proxy);
            ports.extend(some_sessions(&proxy, 20));
            // In the journal, and so in no danger.
            eventually("the last record on disk", || {
                let journal = proxy.get("/health").json()["journal"].clone();
                (journal["queued"].as_u64() >= Some(20)).then_some(())
            });
            let answer = proxy.get("/api/sessions/stats");
            assert_eq!(answer.status, 503, "{answer:?}");
        }
        assert_eq!(proxy.terminate(), Some(0));
        proxy.restart();
        ports.extend(some_sessions(&proxy, 20));
        server.start_again();
        ports.extend(some_sessions(&proxy, 20));
        recorded(&proxy, &ports);
    }
}

#[test]
fn a_start_while_the_server_is_away_takes_nothing_from_whoever_has_the_name() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let server = DatabaseServer::start(kind);
        let config = config(kind, &server.url(&server.database()), "a");
        let config = config.replace("node_lease_secs = 5", "node_lease_secs = 600");
        let mut late = proxy(&config);
        assert_eq!(late.terminate(), Some(0));
        let owner = proxy(&config);
        let (_target, address) = listener();
        let client = Client::socks5(owner.socks(), Command::Connect, &at(address)).granted();
        let running = |status: &str| {
            let path = format!("/api/sessions/history?status={status}");
            owner.get(&path).json()["total"].clone()
        };
        eventually("its row", || (running("active") == 1).then_some(()));
        server.stop();
        late.restart();
        server.start_again();
        eventually("the reason why nothing is taken", || {
            let health = late.get("/health").json();
            let error = health["storage"]["last_error"].as_str()?.to_owned();
            error.contains("another RustSocks").then_some(())
        });
        eventually("the owner to be well again", || {
            (owner.get("/health").json()["status"] == "ok").then_some(())
        });
        assert_eq!((running("active"), running("failed")), (1.into(), 0.into()));
        owner.post("/api/sessions/terminate?all=true", "");
        let record = owner.record_from(client.source());
        assert_eq!(end(&record), ("closed", "admin_terminated"));
    }
}

#[test]
fn a_dead_nodes_sessions_and_only_those_become_server_crash_after_the_lease() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let server = DatabaseServer::shared(kind);
        let url = server.url(&server.database());
        let mut dying = proxy(&config(kind, &url, "dying"));
        let living = proxy(&config(kind, &url, "living"));
        let (_target, address) = listener();
        let open =
            |proxy: &Proxy| Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
        let (lost, kept) = (open(&dying), open(&living));
        let everywhere = |count: usize| {
            eventually("the sessions of both nodes", || {
                let page = living.get("/api/sessions/active?scope=cluster").json();
                (page["total"] == count).then(|| page["data"].as_array().unwrap().clone())
            })
        };
        everywhere(2);
        let of_one = living.get("/api/sessions/active?node=dying").json();
        assert_eq!(of_one["total"], 1, "{of_one}");
        assert_eq!(living.get("/api/sessions/active").json()["total"], 1);
        // Nothing moves, so that the rows stay as old as they are; they have lasted all the same.
        let long = |least: u64| {
            let query = format!("scope=cluster&sort_by=duration&min_duration_secs={least}");
            living.get(&format!("/api/sessions/active?{query}")).json()["total"].clone()
        };
        eventually("both to have lasted a second", || (long(1) == 2).then_some(()));
        assert_eq!(long(3600), 0);
        dying.kill();
        let record = living.record_from(lost.source());
        assert_eq!(end(&record), ("failed", "server_crash"));
        assert_eq!(record["node_id"], "dying");
        assert_eq!(everywhere(1)[0]["source_port"], kept.source().port());
        // The node comes back under its name, at once, and knows better when it was last alive.
        dying.restart();
        assert_eq!(end(&dying.record_from(lost.source())), ("failed", "server_crash"));
        drop(kept);
    }
}

#[test]
fn a_session_on_one_node_is_ended_from_another() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let server = DatabaseServer::shared(kind);
        let url = server.url(&server.database());
        let (near, far) = (proxy(&config(kind, &url, "near")), proxy(&config(kind, &url, "far")));
        let (_target, address) = listener();
        let mut client = Client::socks5(far.socks(), Command::Connect, &at(address)).granted();
        let found = eventually("the session", || {
            let page = near.get("/api/sessions/active?node=far").json();
            page["data"].as_array().unwrap().first().cloned()
        });
        let id = found["session_id"].as_str().unwrap();
        let path = format!("/api/sessions/{id}/terminate");
        let answer = near.post(&path, "{\"reason\": \"abuse\"}");
        assert_eq!(answer.status, 202, "{answer:?}");
        // Reset or closed, it is over.
        assert!(matches!(client.stream.read(&mut [0; 1]), Ok(0) | Err(_)));
        let record = near.record_from(client.source());
        assert_eq!(end(&record), ("closed", "admin_terminated"));
        assert!(record["close_detail"].as_str().unwrap().contains("abuse"), "{record}");
        assert_eq!(near.post(&path, "").status, 409);
    }
}

#[test]
fn the_record_of_a_session_ended_from_another_node_names_the_operator_and_the_reason() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let server = DatabaseServer::shared(kind);
        let url = server.url(&server.database());
        let (token, hash) = new_token().unwrap();
        let operators = format!(
            "[sessions.dashboard_auth]\nenabled = true\n\
             [[sessions.dashboard_auth.users]]\nusername = \"admin\"\npassword = \"hunter2\"\n\
             [[sessions.api_tokens]]\nname = \"ci\"\ntoken_hash = \"{hash}\"\n"
        );
        let near = proxy(&format!("{}{operators}", config(kind, &url, "near")));
        let far = proxy(&config(kind, &url, "far"));
        let bearer = format!("Bearer {}", token.expose_secret());
        let (_target, address) = listener();
        for (authorization, who) in
            [(bearer.as_str(), "the token ci"), ("Basic YWRtaW46aHVudGVyMg==", "admin")]
        {
            let proof = [("Authorization", authorization)];
            let client = Client::socks5(far.socks(), Command::Connect, &at(address)).granted();
            let id = eventually("the session", || {
                let page = near.send("GET", "/api/sessions/active?node=far", &proof, "").json();
                page["data"][0]["session_id"].as_str().map(str::to_owned)
            });
            let path = format!("/api/sessions/{id}/terminate");
            let answer = near.send("POST", &path, &proof, "{\"reason\": \"abuse report 4711\"}");
            assert_eq!(answer.status, 202, "{answer:?}");
            let record = far.record_from(client.source());
            assert_eq!(end(&record), ("closed", "admin_terminated"));
            let detail = record["close_detail"].as_str().unwrap();
            assert_eq!(detail, format!("ended by {who} through the API: abuse report 4711"));
            eventually("the end as the other node knows it", || {
                let path = format!("/api/sessions/{id}");
                let record = near.send("GET", &path, &proof, "").json();
                (record["close_detail"] == detail).then_some(())
            });
        }
    }
}

#[test]
fn two_nodes_of_one_name_are_refused() {
    let server = DatabaseServer::shared(Kind::Postgres);
    let text = config(Kind::Postgres, &server.url(&server.database()), "same");
    let _first = proxy(&text);
    let complaint = refused(&text);
    assert!(complaint.contains("node_id") && complaint.contains("\"same\""), "{complaint}");
}

#[test]
fn a_schema_that_broke_off_for_want_of_rights_is_told_with_what_to_do() {
    let server = DatabaseServer::shared(Kind::MariaDb);
    let database = server.database();
    let text = config(Kind::MariaDb, &server.url_as("reader", "s3cret%2F%26word", &database), "a");
    let grant = |rights: &str| {
        server.sql("", &format!("GRANT {rights} ON {database}.* TO 'reader'@'%'"));
    };
    grant("SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, REFERENCES");
    let complaint = refused(&text);
    assert!(complaint.contains("all rights") && complaint.contains("views"), "{complaint}");
    grant("ALL");
    let complaint = refused(&text);
    assert!(
        complaint.contains("broke off") && complaint.contains("drop its tables"),
        "{complaint}"
    );
    let drops = "SELECT GROUP_CONCAT(CONCAT('DROP TABLE `', table_name, '`') SEPARATOR '; ') \
                 FROM information_schema.tables WHERE table_schema = DATABASE()";
    let drops = server.sql(&database, drops);
    server.sql(&database, drops.lines().last().unwrap());
    drop(proxy(&text));
}

/// The one line with which the program refuses to start.
fn refused(config: &str) -> String {
    let folder = tempfile::TempDir::new().unwrap();
    let ports = config.replace("[server]\n", "[server]\nbind_port = 0\n");
    let ports = ports.replace("[sessions]\n", "[sessions]\nstats_api_port = 0\n");
    std::fs::write(folder.path().join("rustsocks.toml"), ports).unwrap();
    let output = Process::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["--config", "rustsocks.toml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    text
}

#[test]
fn what_is_wrong_with_a_database_is_told_in_one_line_that_names_the_key() {
    let complaint = |kind, url: &str| {
        let text = refused(&config(kind, url, "a"));
        assert!(text.contains("sessions.database_url"), "{text}");
        text
    };
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let server = DatabaseServer::shared(kind);
        let database = server.database();
        let text = complaint(kind, &server.url_as("rustsocks", "s3cret-wrong", &database));
        assert!(text.contains("check user and password"), "{text}");
        let text = complaint(kind, &server.url("nowhere"));
        // MariaDB does not tell whether a database exists to whom has no rights on it.
        assert!(text.contains("create the database") || text.contains("grant"), "{text}");
        let reader = server.url_as("reader", "s3cret%2F%26word", &database);
        let text = complaint(kind, &reader);
        assert!(text.contains("grant"), "{text}");
        let strange = super::interop::web("no database");
        let text = complaint(kind, &server.url_behind(strange.port(), &database));
        assert!(text.contains("check host"), "{text}");
        let (_nobody, address) = listener();
        let text = complaint(kind, &server.url_behind(address.port(), &database));
        assert!(text.contains("does not answer"), "{text}");
        drop(_nobody);
        let text = complaint(kind, &server.url_behind(address.port(), &database));
        assert!(text.contains("cannot be reached"), "{text}");
        let proxy = proxy(&config(kind, &server.url(&database), "a"));
        drop(proxy);
        let newer = match kind {
            Kind::MariaDb => "'future', NOW(), 1, x'00', 1",
            Kind::Postgres => "'future', now(), true, '\\x00', 1",
        };
        server.sql(
            &database,
            &format!(
                "INSERT INTO _sqlx_migrations (version, description, installed_on, success, \
                 checksum, execution_time) VALUES (99, {newer})"
            ),
        );
        let text = complaint(kind, &server.url(&database));
        assert!(text.contains("newer RustSocks") && text.contains("99"), "{text}");
    }
}

#[test]
fn a_server_that_is_too_old_is_refused_with_its_version_and_the_one_that_is_needed() {
    for (kind, old, new, name, least) in [
        (Kind::MariaDb, "10.4.34-MariaDB", "10.5.1-MariaDB", "MariaDB", "10.5"),
        (Kind::Postgres, "12.22 (Debian 12.22-1)", "13.0", "PostgreSQL", "13"),
    ] {
        let server = DatabaseServer::start(kind);
        let database = server.database();
        let text = config(kind, &server.url(&database), "a");
        server.claim(old, &database);
        let complaint = refused(&text);
        let words = format!(
            "sessions.database_url: the server is {name} {old}; {name} {least} or newer is needed"
        );
        assert!(complaint.contains(&words), "{complaint}");
        let tables = match kind {
            Kind::MariaDb => "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ",
            Kind::Postgres => {
                "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public' AND current_database() = "
            }
        };
        let left = server.sql(&database, &format!("{tables}'{database}'"));
        assert_eq!(left, "0", "nothing was made there");
        if kind == Kind::MariaDb {
            server.claim(new, &database);
            let proxy = proxy(&text);
            recorded(&proxy, &some_sessions(&proxy, 5));
        }
    }
}

#[test]
fn with_an_authority_the_server_must_prove_who_it_is() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let server = DatabaseServer::start(kind);
        let other = DatabaseServer::start(kind);
        other.certify();
        server.certify();
        server.stop();
        server.start_again();
        let url = server.url(&server.database());
        let trusting = |authority: &std::path::Path| {
            let line = format!("database_ca_file = \"{}\"\n[server]\n", authority.display());
            config(kind, &url, "a").replace("[server]\n", &line)
        };
        let proxy = proxy(&trusting(&server.authority()));
        let ports = some_sessions(&proxy, 5);
        recorded(&proxy, &ports);
        let encrypted = match kind {
            Kind::MariaDb => server.sql(
                "",
                "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'rustsocks'",
            ),
            Kind::Postgres => server.sql(
                "postgres",
                "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE ssl AND usename = 'rustsocks'",
            ),
        };
        assert!(encrypted.parse::<u32>().unwrap() > 0, "{encrypted}");
        let text = refused(&trusting(&other.authority()));
        assert!(text.contains("TLS") || text.contains("certificate"), "{text}");
    }
}

#[test]
fn the_ledger_on_a_server_is_looked_at_and_recomputed() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let server = DatabaseServer::shared(kind);
        let database = server.database();
        let proxy = proxy(&config(kind, &server.url(&database), "a"));
        let other = super::proxy(&config(kind, &server.url(&database), "b"));
        let ports = some_sessions(&proxy, 5);
        recorded(&proxy, &ports);
        let run = |words: &[&str], code: i32, part: &str| {
            let output = Process::new(env!("CARGO_BIN_EXE_rustsocks"))
                .args(["--config", "rustsocks.toml", "db"])
                .args(words)
                .env("RUSTSOCKS_API", proxy.api().to_string())
                .current_dir(proxy.folder())
                .output()
                .unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert!(said.contains(part), "{said}");
        };
        run(&["check"], 0, "sessions: 5");
        run(&["verify"], 0, "bytes sent: 25");
        some_sessions(&other, 3);
        let counted = "has counted what the rows give since its start: 5 sessions";
        run(&["verify"], 0, counted);
        let beside = other.api().to_string();
        run(&["verify", "--api", &beside], 0, "has counted what the rows give");
        run(&["vacuum"], 4, "own tools");
        let hour = "WHERE kind = 'user' AND span = 3600 AND node_id = 'a'";
        server.sql(&database, &format!("UPDATE rollups SET bytes_sent = bytes_sent + 1 {hour}"));
        run(&["verify"], 1, "gives: 1; the first is user \"anonymous\" on node \"a\", 3600 s from");
        server.sql(&database, &format!("UPDATE rollups SET bytes_sent = bytes_sent - 1 {hour}"));
        let of_a = "FROM sessions WHERE node_id = 'a'";
        server.sql(&database, "UPDATE sessions SET duration_ms = 99000000 WHERE node_id = 'a'");
        run(&["verify"], 1, "rows that contradict themselves: 5");
        let one = server.sql(&database, &format!("SELECT MIN(source_port) {of_a}"));
        server.sql(&database, &format!("DELETE {of_a} AND source_port = {one}"));
        run(&["verify"], 1, "the rows since then give: ");
    }
}

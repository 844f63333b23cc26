//! Looking at sessions, ending them, and taking them away as a file.

use std::net::SocketAddr;
use std::process::{Command as Process, Stdio};

use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::{Proxy, Terminal, eventually};
use serde_json::Value;

use super::{complains, json, listener, program, proxy, run, running, says, session};

const MEMORY: &str = "[sessions]\nstorage = \"memory\"\n";

/// A proxy and the id of its one running session, which has sent 2048 bytes.
fn with_session() -> (Proxy, Client, String) {
    let proxy = proxy(MEMORY);
    let client = session(&proxy, 2048);
    let id = running(&proxy).pop().unwrap();
    (proxy, client, id)
}

#[test]
fn status_says_that_the_server_is_well() {
    let (proxy, _client, _) = with_session();
    let text = says(&proxy, 0, &["status"]);
    for part in
        ["RustSocks 0.", "ok, takes clients", "1 session", "memory, ok", &proxy.api().to_string()]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(json(&says(&proxy, 0, &["status", "--json"]))["active_sessions"], 1);
}

#[test]
fn sessions_are_listed_and_shown_running_and_ended() {
    let (proxy, client, id) = with_session();
    let table = says(&proxy, 0, &["sessions", "list"]);
    let line = table.lines().find(|line| line.starts_with(&id)).unwrap();
    assert!(line.contains(&client.source().to_string()) && line.contains("2.0 KiB"), "{table}");
    assert!(table.starts_with("SESSION") && table.lines().count() == 2, "{table}");
    let shown = says(&proxy, 0, &["sessions", "show", &id]);
    assert!(shown.contains("status       active\n") && shown.contains("command      connect\n"));
    assert_eq!(json(&says(&proxy, 0, &["sessions", "show", &id, "--json"]))["bytes_sent"], 2048);
    assert_eq!(says(&proxy, 1, &["sessions", "list", "--ended"]), "no ended session is found\n");
    let source = client.source();
    drop(client);
    proxy.record_from(source);
    assert_eq!(says(&proxy, 1, &["sessions", "list"]), "no running session is found\n");
    let ended = says(&proxy, 0, &["sessions", "list", "--ended"]);
    assert!(ended.contains(&id) && ended.contains("client_closed"), "{ended}");
    let page = json(&says(&proxy, 0, &["sessions", "list", "--status", "closed", "--json"]));
    assert_eq!((&page["total"], &page["data"][0]["session_id"]), (&1.into(), &id.into()));
    let _second = session(&proxy, 1);
    let both = json(&says(&proxy, 0, &["sessions", "list", "--all", "--json"]));
    assert_eq!((both["total"].as_u64(), both["data"].as_array().unwrap().len()), (Some(2), 2));
    let both = says(&proxy, 0, &["sessions", "list", "--all"]);
    assert!(both.contains("still running") && both.contains("client_closed"), "{both}");
}

#[test]
fn lists_have_order_and_pages() {
    let proxy = proxy(MEMORY);
    for sent in [30, 10, 20] {
        let client = session(&proxy, sent);
        let source = client.source();
        drop(client);
        proxy.record_from(source);
    }
    let sent = |arguments: &[&str]| -> (Vec<u64>, Value) {
        let base = ["sessions", "list", "--ended", "--json"];
        let page = json(&says(&proxy, 0, &[&base, arguments].concat()));
        let data = page["data"].as_array().unwrap();
        (data.iter().map(|one| one["bytes_sent"].as_u64().unwrap()).collect(), page)
    };
    assert_eq!(sent(&[]).0, [20, 10, 30]);
    assert_eq!(sent(&["--reverse"]).0, [30, 10, 20]);
    assert_eq!(sent(&["--sort", "bytes"]).0, [30, 20, 10]);
    assert_eq!(sent(&["--sort", "bytes", "--reverse", "--limit", "2"]).0, [10, 20]);
    assert_eq!(sent(&["--limit", "2", "--page", "2"]).0, [30]);
    let cursor = sent(&["--limit", "2"]).1["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(sent(&["--limit", "2", "--cursor", &cursor]).0, [30]);
    assert_eq!(sent(&["--min-bytes", "20"]).0, [20, 30]);
    let table = says(&proxy, 0, &["sessions", "list", "--ended", "--limit", "2"]);
    assert!(table.ends_with("2 of 3 sessions; --page 2 goes on\n"), "{table}");
}

#[test]
fn every_filter_of_the_api_is_an_option_of_every_command_on_sessions() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi.json");
    let description = json(&std::fs::read_to_string(path).unwrap());
    let parameters = &description["paths"]["/api/sessions/history"]["get"]["parameters"];
    let names: Vec<&str> =
        parameters.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    let paging = ["page", "page_size", "cursor", "sort_by", "sort_dir"];
    let filters = names.iter().filter(|name| !paging.contains(name));
    assert!(filters.clone().count() >= 17);
    for command in ["list", "tail", "kill", "export"] {
        let help = Process::new(env!("CARGO_BIN_EXE_rustsocks"))
            .args(["sessions", command, "--help"])
            .output()
            .unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        for filter in filters.clone() {
            let option = format!("--{} ", filter.replace('_', "-"));
            assert!(help.contains(&option), "sessions {command} has no {option}");
        }
    }
}

#[test]
fn sessions_are_ended_by_id_after_a_word_of_consent() {
    let (proxy, client, id) = with_session();
    let shown = says(&proxy, 0, &["sessions", "kill", &id, "--dry-run"]);
    assert!(shown.contains(&id));
    let line = complains_to(&proxy, 2, &["sessions", "kill", &id]);
    assert!(line.contains("--yes"), "{line}");
    assert_eq!(running(&proxy), std::slice::from_ref(&id));
    let told = says(&proxy, 0, &["sessions", "kill", &id, "--yes", "--reason", "abuse \"4711\""]);
    assert_eq!(told, "1 session asked to end\n");
    let record = proxy.record_from(client.source());
    assert_eq!(record["close_reason"], "admin_terminated");
    assert!(record["close_detail"].as_str().unwrap().ends_with(": abuse \"4711\""), "{record}");
    for how in ["--yes", "--dry-run"] {
        let line = complains_to(&proxy, 1, &["sessions", "kill", &id, how]);
        assert!(line.contains(&id) && line.contains("ended"), "{line}");
    }
    let (twice, _open) = (session(&proxy, 1), session(&proxy, 1));
    let id = running(&proxy).remove(0);
    let told = says(&proxy, 0, &["sessions", "kill", &id, &id, "--yes"]);
    assert_eq!(told, "1 session asked to end\n");
    drop(twice);
}

fn complains_to(proxy: &Proxy, code: i32, arguments: &[&str]) -> String {
    complains(proxy.api(), code, arguments)
}

#[test]
fn sessions_are_ended_by_filter() {
    let (proxy, kept, _) = with_session();
    let (first, second) = (session(&proxy, 1), session(&proxy, 1));
    let filter = ["sessions", "kill", "--min-bytes", "1", "--dest", "127.0.0.1"];
    let dry = says(&proxy, 0, &[&filter[..], &["--dry-run"]].concat());
    assert!(dry.ends_with("3 sessions would be ended\n"), "{dry}");
    assert_eq!(running(&proxy).len(), 3);
    drop(kept);
    eventually("the first session to end", || (running(&proxy).len() == 2).then_some(()));
    let done = says(&proxy, 0, &[&filter[..], &["--yes", "--json"]].concat());
    assert_eq!(json(&done)["terminated"], 2);
    for client in [first, second] {
        assert_eq!(proxy.record_from(client.source())["close_reason"], "admin_terminated");
    }
    let none = says(&proxy, 1, &[&filter[..], &["--yes"]].concat());
    assert_eq!(none, "no running session is found\n");
    let line = complains_to(&proxy, 2, &["sessions", "kill"]);
    assert!(line.contains("--all"), "{line}");
}

/// Opens sessions of 5000 bytes beside one of a single byte, and ends what the filter finds; while
/// the question stands one more opens, and the small one grows. Gives the client ports of those
/// three kinds, and of what runs at the end.
fn end_while_more_come(
    proxy: &Proxy,
    filter: &[&str],
    large: usize,
    asked: usize,
) -> [Vec<u16>; 4] {
    let mut small = session(proxy, 1);
    let clients: Vec<Client> = (0..large).map(|_| session(proxy, 5000)).collect();
    let words = [&[env!("CARGO_BIN_EXE_rustsocks"), "sessions", "kill"], filter].concat();
    let mut terminal = Terminal::start(&words, (100, 150), |command| {
        command.env("RUSTSOCKS_API", proxy.api().to_string());
    });
    terminal.see(&format!("End {asked} running sessions? [y/N]"));
    let late = session(proxy, 5000);
    small.send(&[1; 5000]);
    eventually("the small one to have grown", || {
        let page = proxy.get("/api/sessions/active?min_bytes=5001").json();
        (page["total"] == 1).then_some(())
    });
    terminal.type_keys("y\r");
    terminal.see(&format!("{asked} sessions asked to end"));
    assert_eq!(terminal.wait().code(), Some(0));
    let ports = |clients: &[Client]| -> Vec<u16> {
        clients.iter().map(|client| client.source().port()).collect()
    };
    // Those that are left stay open until it is seen who they are.
    let (small, late) = ([small], [late]);
    let [large, small_port, late_port] = [&clients[..], &small, &late].map(ports);
    let left = eventually("their ends", || {
        let page = proxy.get("/api/sessions/active?page_size=1000").json();
        let left = super::super::ports_of(page["data"].as_array().unwrap());
        large.iter().all(|port| !left.contains(port)).then_some(left)
    });
    [large, small_port, late_port, left]
}

#[test]
fn what_opens_or_comes_to_suit_while_a_person_thinks_is_not_ended() {
    let proxy = proxy(MEMORY);
    let [_, small, late, left] = end_while_more_come(&proxy, &["--min-bytes", "5000"], 2, 2);
    assert_eq!(super::super::sorted(left), super::super::sorted([small, late].concat()));
}

#[test]
fn what_opens_while_a_person_thinks_is_not_ended_where_not_all_are_shown() {
    let proxy = proxy(MEMORY);
    let [_, _, late, left] = end_while_more_come(&proxy, &["--dest", "127.0.0.1"], 100, 101);
    assert_eq!(left, late);
}

#[test]
fn a_person_is_asked_before_sessions_end() {
    let (proxy, client, id) = with_session();
    let words = [env!("CARGO_BIN_EXE_rustsocks"), "sessions", "kill", &id];
    let api = proxy.api().to_string();
    let ask = || {
        Terminal::start(&words, (100, 20), |command| {
            command.env("RUSTSOCKS_API", &api);
        })
    };
    let mut terminal = ask();
    terminal.see("End 1 running session? [y/N]");
    terminal.type_keys("\r");
    terminal.see("nothing was ended");
    assert_eq!(terminal.wait().code(), Some(1));
    assert_eq!(running(&proxy), std::slice::from_ref(&id));
    let mut terminal = ask();
    terminal.see("End 1 running session? [y/N]");
    terminal.type_keys("y\r");
    terminal.see("1 session asked to end");
    assert_eq!(terminal.wait().code(), Some(0));
    assert_eq!(proxy.record_from(client.source())["close_reason"], "admin_terminated");
}

#[test]
fn an_export_is_what_the_api_gives_to_a_pipe_or_a_file() {
    let proxy = proxy(MEMORY);
    for sent in [1, 2, 3] {
        let client = session(&proxy, sent);
        let source = client.source();
        drop(client);
        proxy.record_from(source);
    }
    for format in ["csv", "ndjson"] {
        let wanted = proxy.get(&format!("/api/sessions/export?format={format}")).body;
        let command = ["sessions", "export", "--format", format];
        assert_eq!(says(&proxy, 0, &command), wanted);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sessions");
        let name = file.to_str().unwrap();
        assert_eq!(says(&proxy, 0, &[&command[..], &["--output", name]].concat()), "");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), wanted);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    assert_eq!(says(&proxy, 0, &["sessions", "export", "--min-bytes", "3"]).lines().count(), 2);
}

#[test]
fn a_reader_that_goes_is_no_error() {
    let proxy = proxy(MEMORY);
    let _clients: Vec<_> = (0..5).map(|_| session(&proxy, 1)).collect();
    for command in ["sessions list", "sessions export --status active", "stats", "status", "--help"]
    {
        let script = format!(
            "set -o pipefail; {} {command} | head -1 > /dev/null",
            env!("CARGO_BIN_EXE_rustsocks")
        );
        let mut shell = Process::new("bash");
        let shell = shell.args(["-c", &script]).env("RUSTSOCKS_API", proxy.api().to_string());
        let output = shell.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{command}: {output:?}");
    }
}

#[test]
fn statistics_name_who_used_the_most() {
    let (proxy, _client, _) = with_session();
    let text = says(&proxy, 0, &["stats", "--window", "2", "--top", "1"]);
    for part in ["2 hours until", "1 session", "2.0 KiB", "USER", "anonymous", "DESTINATION"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let stats = json(&says(&proxy, 0, &["stats", "--json"]));
    assert_eq!(stats["total_bytes_sent"], 2048);
}

#[test]
fn events_are_told_the_newest_last() {
    let proxy = proxy(MEMORY);
    assert_eq!(says(&proxy, 1, &["events", "--severity", "error"]), "no event is found\n");
    let (target, closed) = listener();
    drop(target);
    Client::socks5(proxy.socks(), Command::Connect, &at(closed)).refused();
    let text = eventually("the event", || {
        let output = run(&proxy, &["events", "--category", "connection_pool"]);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    assert!(text.contains("warning") && text.contains(&closed.port().to_string()), "{text}");
    let events = json(&says(&proxy, 0, &["events", "--json", "--limit", "1"]));
    assert_eq!(events.as_array().unwrap().len(), 1);
}

/// Text with everything that a terminal would obey.
const HOSTILE: &str = "\u{1b}[31mred\u{9b}2J\u{202e}\u{7f}";

/// Runs a command on a terminal of its own; gives what it wrote there.
fn on_terminal(api: SocketAddr, command: &[&str]) -> String {
    let words = [&[env!("CARGO_BIN_EXE_rustsocks")], command].concat();
    let mut terminal = Terminal::start(&words, (200, 50), |process| {
        process.env("RUSTSOCKS_API", api.to_string());
    });
    terminal.wait();
    terminal.see("red");
    String::from_utf8(terminal.bytes()).unwrap()
}

#[test]
fn nothing_that_a_user_chose_reaches_a_terminal_raw() {
    let users = "[sessions]\nstorage = \"memory\"\n[auth]\nsocks_method = \"userpass\"\n\
        [[auth.users]]\nusername = \"\\u202Ered\"\npassword = \"p\"\n";
    let proxy = proxy(users);
    let (_target, address) = listener();
    let open = || {
        let mut client = Client::connect(proxy.socks());
        client.log_in("\u{202e}red", "p").unwrap();
        client.ask(Command::Connect, &at(address)).granted()
    };
    let ended = open();
    let id = running(&proxy).pop().unwrap();
    says(&proxy, 0, &["sessions", "kill", &id, "--yes", "--reason", HOSTILE]);
    proxy.record_from(ended.source());
    let _client = open();
    for command in [
        &["sessions", "list"][..],
        &["sessions", "list", "--ended"],
        &["sessions", "list", "--ended", "--json"],
        &["sessions", "show", &id],
        &["sessions", "show", &id, "--json"],
        &["sessions", "kill", "--min-bytes", "0", "--dry-run"],
        &["sessions", "export"],
        &["sessions", "export", "--format", "ndjson"],
        &["stats"],
        &["stats", "--json"],
    ] {
        let written = on_terminal(proxy.api(), command);
        let raw = written
            .chars()
            .find(|char| char.is_control() && !['\r', '\n'].contains(char) || *char == '\u{202e}');
        assert_eq!(raw, None, "{command:?}: {written:?}");
    }
    // A program that asks for JSON or a file gets the text itself.
    assert!(says(&proxy, 0, &["sessions", "export"]).contains(HOSTILE));
    let shown = json(&says(&proxy, 0, &["sessions", "show", &id, "--json"]));
    assert!(shown["close_detail"].as_str().unwrap().ends_with(HOSTILE), "{shown}");
}

#[test]
fn the_configuration_file_says_where_the_api_is() {
    let config = "[sessions]\nstorage = \"memory\"\nbase_path = \"/behind/proxy\"\n";
    let proxy = proxy(config);
    let port = proxy.api().port();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rustsocks.toml");
    std::fs::write(&file, format!("{config}stats_api_port = {port}\n")).unwrap();
    let ask = |arguments: &[&str]| {
        let output = program(proxy.api())
            .env_remove("RUSTSOCKS_API")
            .args(arguments)
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let file = file.to_str().unwrap();
    assert_eq!(ask(&["--config", file, "status"]), (Some(0), String::new()));
    let url = format!("http://{}/behind/proxy/", proxy.api());
    assert_eq!(ask(&["status", "--api", &url]), (Some(0), String::new()));
    let (code, line) = ask(&["status", "--api", &proxy.api().to_string()]);
    assert!(code == Some(4) && line.contains("base path"), "{line}");
    let (code, line) = ask(&["status", "--config", "/nowhere/rustsocks.toml"]);
    assert!(code == Some(2) && line.lines().count() == 1, "{line}");
}

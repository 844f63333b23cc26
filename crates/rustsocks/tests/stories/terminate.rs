//! Ending many sessions at once: those that are meant, and not one more.

use std::net::TcpStream;

use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::{Proxy, eventually};

use super::{end, listener, proxy};

const TERMINATE: &str = "/api/sessions/terminate";

const TWO_USERS: &str = "[auth]\nsocks_method = \"userpass\"\n\
    [[auth.users]]\nusername = \"alice\"\npassword = \"a\"\n\
    [[auth.users]]\nusername = \"bob\"\npassword = \"b\"\n";

/// So many running sessions of a user.
fn running(proxy: &Proxy, user: &str, count: usize) -> Vec<(Client, TcpStream)> {
    let (target, address) = listener();
    let session = |_| {
        let mut client = Client::connect(proxy.socks());
        client.log_in(user, &user[..1]).unwrap();
        let client = client.ask(Command::Connect, &at(address)).granted();
        (client, target.accept().unwrap().0)
    };
    (0..count).map(session).collect()
}

#[test]
fn a_dry_run_tells_what_would_end_and_ends_nothing() {
    let proxy = proxy(TWO_USERS);
    let _alices = running(&proxy, "alice", 3);
    let _bobs = running(&proxy, "bob", 2);
    for (query, matched) in
        [("?user=alice", 3), ("?user=nobody", 0), ("?protocol=udp", 0), ("?dest=127.0.0.1", 5)]
    {
        let answer = proxy.post(&format!("{TERMINATE}{query}"), r#"{"dry_run":true}"#);
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = answer.json();
        assert_eq!((&told["dry_run"], &told["matched"]), (&true.into(), &matched.into()));
        assert_eq!(told["terminated"], 0);
        assert_eq!(told["sessions"].as_array().unwrap().len(), matched);
    }
    let all = proxy.post(TERMINATE, r#"{"dry_run":true,"all":true}"#).json();
    assert_eq!(all["matched"], 5);
    assert_eq!(proxy.active().len(), 5);
}

#[test]
fn only_what_the_filter_finds_ends_and_its_records_keep_the_reason() {
    let proxy = proxy(TWO_USERS);
    let _alices = running(&proxy, "alice", 3);
    let _bobs = running(&proxy, "bob", 2);
    let body = r#"{"reason":"abuse report 4711, \"quoted\""}"#;
    let answer = proxy.post(&format!("{TERMINATE}?user=alice&status=active"), body);
    assert_eq!(answer.status, 202, "{answer:?}");
    let told = answer.json();
    assert_eq!((&told["matched"], &told["terminated"]), (&3.into(), &3.into()));
    let records = eventually("their records", || {
        let records = proxy.records();
        (records.len() == 3).then_some(records)
    });
    for record in records {
        assert_eq!(
            (record["user"].as_str(), end(&record)),
            (Some("alice"), ("closed", "admin_terminated"))
        );
        let detail = record["close_detail"].as_str().unwrap();
        assert!(detail.ends_with(": abuse report 4711, \"quoted\""), "{detail}");
    }
    let left = proxy.active();
    assert!(left.len() == 2 && left.iter().all(|session| session["user"] == "bob"), "{left:?}");
    let all = proxy.post(TERMINATE, r#"{"all":true}"#);
    assert_eq!((all.status, &all.json()["terminated"]), (202, &2.into()));
    eventually("nobody", || proxy.active().is_empty().then_some(()));
}

#[test]
fn a_request_is_kept_to_what_a_dry_run_showed() {
    let proxy = proxy(TWO_USERS);
    let _alices = running(&proxy, "alice", 2);
    let dry =
        |query: &str| proxy.post(&format!("{TERMINATE}{query}"), r#"{"dry_run":true}"#).json();
    assert!(dry("?user=nobody")["start_before"].is_null());
    let found = dry("?user=alice");
    let sessions = found["sessions"].as_array().unwrap();
    let bound = found["start_before"].as_str().unwrap().replace('+', "%2B");
    assert_eq!(dry(&format!("?user=alice&start_before={bound}"))["matched"], 2);
    let newest = sessions.iter().map(|one| one["start_time"].as_str().unwrap()).max().unwrap();
    let newest = newest.replace('+', "%2B");
    assert_ne!(dry(&format!("?user=alice&start_before={newest}"))["matched"], 2);
    let _late = running(&proxy, "alice", 1);
    let _bobs = running(&proxy, "bob", 1);
    assert_eq!(proxy.active().len(), 4);
    let only: Vec<_> = sessions.iter().map(|one| one["session_id"].clone()).collect();
    let body = serde_json::json!({ "only": only }).to_string();
    assert_eq!(proxy.post(&format!("{TERMINATE}?user=bob"), &body).json()["matched"], 0);
    let told = proxy.post(&format!("{TERMINATE}?user=alice"), &body).json();
    assert_eq!((&told["matched"], &told["terminated"]), (&2.into(), &2.into()));
    eventually("the two to end", || (proxy.active().len() == 2).then_some(()));
}

#[test]
fn the_filter_and_the_wish_may_be_in_the_query_or_in_the_body() {
    let proxy = proxy(TWO_USERS);
    let _alices = running(&proxy, "alice", 2);
    let _bobs = running(&proxy, "bob", 1);
    for (query, body) in [
        ("", r#"{"user":"alice","dry_run":true}"#),
        ("?user=alice&dry_run=true", ""),
        ("?user=alice", r#"{"dry_run":true,"hours":1}"#),
        ("?dry_run=true&all=false", r#"{"user":"alice","min_bytes":0,"node":null}"#),
    ] {
        let told = proxy.post(&format!("{TERMINATE}{query}"), body);
        assert_eq!(told.status, 200, "{query} {body}: {told:?}");
        assert_eq!(told.json()["matched"], 2, "{query} {body}");
    }
    let told = proxy.post(&format!("{TERMINATE}?reason=abuse"), r#"{"user":"bob"}"#);
    assert_eq!((told.status, &told.json()["terminated"]), (202, &1.into()));
    let ended = proxy.record("bob's", |record| record["user"] == "bob");
    assert!(ended["close_detail"].as_str().unwrap().ends_with(": abuse"), "{ended}");
    assert_eq!(proxy.post(&format!("{TERMINATE}?all=true&dry_run=true"), "").status, 200);
}

#[test]
fn nothing_ends_without_a_filter_or_by_a_request_that_is_wrong() {
    let proxy = proxy(TWO_USERS);
    let _alices = running(&proxy, "alice", 2);
    for (query, body, name) in [
        ("", "", "all"),
        ("", "{}", "all"),
        ("", r#"{"all":false,"reason":"x"}"#, "all"),
        ("?status=active", "", "all"),
        ("?scope=node", "", "all"),
        ("?user=", "", "user"),
        ("?user=alice&user=bob", "", "user"),
        ("?usr=alice", "", "usr"),
        ("?user=a%00", "", "user"),
        ("?status=closed", r#"{"all":true}"#, "status"),
        ("?scope=cluster", r#"{"all":true}"#, "scope"),
        ("?node=elsewhere", r#"{"all":true}"#, "node"),
        ("?page=1&user=alice", "", "page"),
        ("?hours=0", "", "hours"),
        ("?source_ip=1.2.3", "", "source_ip"),
        ("?user=alice", "[]", "body"),
        ("?user=alice", "true", "body"),
        ("?user=alice", "{", "body"),
        ("?user=alice", r#"{"dry_run":"yes"}"#, "body"),
        ("?user=alice", r#"{"all":1}"#, "body"),
        ("?user=alice", r#"{"reason":7}"#, "body"),
        ("?user=alice", r#"{"force":true}"#, "force"),
        ("?user=alice&force=true", "", "force"),
        ("?user=alice&dry_run=maybe", "", "dry_run"),
        ("?user=alice&only=x", "", "only"),
        ("?user=alice", r#"{"user":"alice"}"#, "user"),
        ("?user=alice", r#"{"user":"bob"}"#, "user"),
        ("?user=alice&dry_run=true", r#"{"dry_run":true}"#, "dry_run"),
        ("?user=alice&reason=x", r#"{"reason":"x"}"#, "reason"),
        ("?all=true", r#"{"all":true}"#, "all"),
        ("", r#"{"user":"alice","user":"bob"}"#, "user"),
        ("", r#"{"user":7}"#, "body"),
        ("", r#"{"user":""}"#, "user"),
        ("", r#"{"usr":"alice"}"#, "usr"),
        ("", r#"{"user":null}"#, "all"),
        ("", r#"{"hours":"x"}"#, "body"),
        ("", r#"{"scope":"cluster","all":true}"#, "scope"),
        ("?user=alice", r#"{"only":["x"]}"#, "only"),
        ("?user=alice", r#"{"only":"x"}"#, "body"),
        ("", r#"{"only":[]}"#, "all"),
    ] {
        let answer = proxy.post(&format!("{TERMINATE}{query}"), body);
        assert_eq!(answer.status, 400, "{query} {body}: {answer:?}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(name), "{query} {body}: {detail}");
    }
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(1001));
    let answer = proxy.post(&format!("{TERMINATE}?user=alice"), &long);
    assert_eq!(answer.status, 400);
    assert_eq!(proxy.get(TERMINATE).status, 405);
    assert_eq!(proxy.active().len(), 2);
}

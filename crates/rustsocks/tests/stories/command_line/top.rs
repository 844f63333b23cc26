//! `rustsocks top` on a terminal of its own.

use std::net::SocketAddr;

use rustix::process::Signal;
use rustsocks_testkit::{Terminal, eventually};

use super::bridge::Bridge;
use super::{complains, proxy, running, session};

const MEMORY: &str = "[sessions]\nstorage = \"memory\"\n";

fn top(api: SocketAddr, size: (u16, u16)) -> Terminal {
    Terminal::start(&[env!("CARGO_BIN_EXE_rustsocks"), "top"], size, |command| {
        command.env("RUSTSOCKS_API", api.to_string());
    })
}

#[test]
fn top_shows_what_runs_and_ends_it_after_a_confirmation() {
    let proxy = proxy(MEMORY);
    let before = session(&proxy, 5000);
    let mut top = top(proxy.api(), (140, 20));
    let shown = top.see("1 session ");
    assert!(shown.contains(&before.source().to_string()) && shown.contains("4.9 KiB"), "{shown}");
    let mut second = session(&proxy, 1);
    let shown = top.see("2 sessions ");
    assert!(shown.contains(&second.source().to_string()), "{shown}");
    // The list moves with the traffic, and the busiest is first.
    eventually("a rate", || {
        second.send(&[0; 8192]);
        top.shown().lines().nth(3).filter(|line| line.contains("/s")).map(|_| ())
    });
    drop(second);
    top.see("1 session ");
    top.type_keys("/nobody\r");
    top.see("no running session");
    top.type_keys("/\u{1b}");
    top.see(&before.source().to_string());
    top.type_keys("k");
    top.see("End this session?");
    top.type_keys("\u{1b}");
    top.see_gone("End this session?");
    assert_eq!(running(&proxy).len(), 1);
    top.type_keys("k");
    top.see("End this session?");
    top.type_keys("too much\r");
    top.see("0 sessions ");
    let record = proxy.record_from(before.source());
    assert_eq!(record["close_reason"], "admin_terminated");
    assert!(record["close_detail"].as_str().unwrap().ends_with(": too much"), "{record}");
    top.type_keys("q");
    assert_eq!(top.wait().code(), Some(0));
    eventually("the terminal as it was", || (!top.is_taken()).then_some(()));
}

#[test]
fn top_gives_the_terminal_back_when_it_is_told_to_end() {
    let proxy = proxy(MEMORY);
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        let mut top = top(proxy.api(), (80, 24));
        top.see("no running session");
        assert!(top.is_taken());
        top.signal(signal);
        assert_eq!(top.wait().code(), Some(code));
        eventually("the terminal as it was", || (!top.is_taken()).then_some(()));
    }
}

#[test]
fn top_ends_when_its_window_is_closed() {
    let proxy = proxy(MEMORY);
    let top = top(proxy.api(), (80, 24));
    top.see("no running session");
    let ended = top.hang_up();
    assert_eq!(ended.code(), Some(129), "{ended:?}");
}

#[test]
fn top_fits_a_small_terminal_and_a_new_size() {
    let proxy = proxy(MEMORY);
    let client = session(&proxy, 1);
    let mut top = top(proxy.api(), (30, 5));
    let shown = top.see("DESTINATION");
    assert!(shown.contains("anonym") && shown.contains("127.0.0.1"), "{shown}");
    top.resize(1, 1);
    top.resize(140, 30);
    top.see(&client.source().to_string());
    top.type_keys("\r");
    top.see("destination");
    top.type_keys(" ");
    top.see_gone("destination");
    top.type_keys("?");
    top.see("after a confirmation");
}

#[test]
fn top_says_that_the_connection_is_lost_and_comes_back() {
    let mut proxy = proxy(MEMORY);
    let bridge = Bridge::to(proxy.api());
    let _client = session(&proxy, 1);
    let top = top(bridge.address(), (120, 20));
    top.see("1 session ");
    bridge.cut();
    top.see("CONNECTION LOST");
    proxy.kill();
    proxy.restart();
    let (_one, _two) = (session(&proxy, 1), session(&proxy, 1));
    bridge.lead_to(proxy.api());
    top.see("the connection is back");
    top.see("2 sessions ");
}

#[test]
fn top_without_a_terminal_or_a_server_is_one_line() {
    let proxy = proxy(MEMORY);
    let line = complains(proxy.api(), 2, &["top"]);
    assert!(line.contains("needs a terminal"), "{line}");
    let (closed, address) = super::listener();
    drop(closed);
    let mut top = top(address, (200, 24));
    assert_eq!(top.wait().code(), Some(4));
    top.see("is the server running?");
    assert!(!top.is_taken());
}

//! The dashboard's files as the program serves them, whether it was built or not.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustsocks_testkit::{Answer, PATIENCE, Proxy, http};

use super::proxy;

/// The value of a header field, empty where it is missing.
fn field<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    lines
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .next_back()
        .unwrap_or("")
}

fn not_found(answer: &Answer) {
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(field(answer, "content-type"), "application/problem+json", "{answer:?}");
}

/// The status line that a request with this host name earns.
fn under(proxy: &Proxy, host: &str) -> String {
    let mut stream = TcpStream::connect(proxy.api()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_page_is_at_the_root_and_what_it_names_is_there() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let page = proxy.get("/");
    assert_eq!(page.status, 200);
    assert_eq!(field(&page, "content-type"), "text/html; charset=utf-8");
    assert_eq!(field(&page, "cache-control"), "no-cache");
    assert!(field(&page, "content-security-policy").contains("default-src 'none'"));
    assert!(page.body.contains("RustSocks"));
    let named = page.body.split('"').filter_map(|text| text.strip_prefix("./"));
    for file in named {
        let answer = proxy.get(&format!("/{file}"));
        assert_eq!(answer.status, 200, "{file}");
        // It also names what it is going to ask first.
        let is_question = file.starts_with("api/");
        assert_eq!(field(&answer, "etag").is_empty(), is_question, "{file}");
    }
    assert_eq!(proxy.get("/health").status, 200);
}

#[test]
fn the_page_moves_with_the_base_path() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\nbase_path = \"/books\"\n");
    let page = proxy.get("/books/");
    assert_eq!(page.status, 200);
    for file in page.body.split('"').filter_map(|text| text.strip_prefix("./")) {
        assert_eq!(proxy.get(&format!("/books/{file}")).status, 200, "{file}");
    }
    let bare = proxy.get("/books");
    assert_eq!((bare.status, field(&bare, "location")), (307, "/books/"));
    for path in ["/", "/index.html", "/books/index.html", "/bookshelf", "/books//"] {
        not_found(&proxy.get(path));
    }
    assert_eq!(proxy.get("/books/health").status, 200);
}

#[test]
fn the_page_can_be_switched_off() {
    for base_path in ["", "/books"] {
        let config = format!(
            "[sessions]\nstorage = \"memory\"\ndashboard_enabled = false\nbase_path = \"/{base_path}\"\n",
        );
        let proxy = proxy(&config.replace("//", "/"));
        for path in ["/", "/favicon.svg", "/assets/"] {
            not_found(&proxy.get(&format!("{base_path}{path}")));
        }
        assert_eq!(proxy.get(&format!("{base_path}/health")).status, 200);
    }
    let proxy =
        proxy("[sessions]\nstorage = \"memory\"\nbase_path = \"/x\"\ndashboard_enabled = false\n");
    not_found(&proxy.get("/x"));
}

#[test]
fn paths_that_are_no_files_are_problem_details() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    for path in [
        "/index.html",
        "/assets",
        "/assets/nothing.js",
        "/assets/../../Cargo.toml",
        "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/%00",
        "/sessions",
    ] {
        not_found(&proxy.get(path));
    }
    let posted = proxy.post("/", "");
    assert_eq!((posted.status, field(&posted, "content-type")), (405, "application/problem+json"));
    let head = http::request(proxy.api(), "HEAD", "/", "").unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let length = proxy.get("/").body.len().to_string();
    assert_eq!(field(&head, "content-length"), length);
}

#[test]
fn a_foreign_host_name_gets_no_page() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    assert!(under(&proxy, "localhost").starts_with("HTTP/1.1 200"));
    assert!(under(&proxy, "evil.example").starts_with("HTTP/1.1 403"));
}

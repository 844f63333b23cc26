//! Who may use the API: people with a login, programs with a token, and nobody else.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;
use rustsocks_access::auth::hash_password;
use rustsocks_access::operators::new_token;
use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::{Answer, PATIENCE, Proxy, eventually};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::{end, listener, proxy};

/// The description, as it is published.
const DESCRIPTION: &str = include_str!("../../../../openapi.json");

/// What nobody needs a login for.
const OPEN: [&str; 3] = ["GET /health", "GET /ready", "POST /api/auth/login"];

/// What whoever may only read may send, although it is no GET.
const READABLE: [&str; 2] = ["POST /api/acl/test", "POST /api/auth/logout"];

/// A proxy whose API needs a login, and the tokens of two programs.
struct Guarded {
    proxy: Proxy,
    /// The `Authorization` of a program that may read.
    reader: String,
    /// The `Authorization` of a program that may do everything.
    ci: String,
}

fn guarded(sessions: &str) -> Guarded {
    let make = || new_token().unwrap();
    let ((reader, reader_hash), (ci, ci_hash)) = (make(), make());
    let config = format!(
        "[sessions]\n{sessions}\n[sessions.dashboard_auth]\nenabled = true\n\
         [[sessions.dashboard_auth.users]]\nusername = \"admin\"\npassword = \"hunter2hunter2\"\n\
         [[sessions.dashboard_auth.users]]\nusername = \"guest\"\npassword = \"just looking\"\nrole = \"read\"\n\
         [[sessions.api_tokens]]\nname = \"reader\"\ntoken_hash = \"{reader_hash}\"\nrole = \"read\"\n\
         [[sessions.api_tokens]]\nname = \"ci\"\ntoken_hash = \"{ci_hash}\"\n"
    );
    let bearer = |token: secrecy::SecretString| format!("Bearer {}", token.expose_secret());
    Guarded { proxy: proxy(&config), reader: bearer(reader), ci: bearer(ci) }
}

impl Guarded {
    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.proxy.send("GET", path, headers, "")
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.proxy.send("POST", path, headers, body)
    }

    fn log_in(&self, headers: &[(&str, &str)]) -> Login {
        let body = r#"{"username":"admin","password":"hunter2hunter2"}"#;
        let answer = self.post("/api/auth/login", headers, body);
        assert_eq!(answer.status, 200, "{answer:?}");
        let set = answer.header("set-cookie").unwrap().to_owned();
        let cookie = set.split(';').next().unwrap().to_owned();
        let session = answer.json();
        Login { csrf: session["csrf_token"].as_str().unwrap().to_owned(), cookie, set, session }
    }

    fn events(&self) -> Vec<Value> {
        let headers = [("Authorization", self.ci.as_str())];
        let answer = self.get("/api/telemetry/events?category=security", &headers);
        answer.json().as_array().unwrap().clone()
    }
}

/// What a browser holds after logging in.
struct Login {
    cookie: String,
    csrf: String,
    /// The whole `Set-Cookie`.
    set: String,
    session: Value,
}

/// Checks that an answer is a problem detail of this status, and returns its text.
fn problem(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    answer.json()["detail"].as_str().unwrap().to_owned()
}

/// Every operation of the description, as `GET /path` with its parameters filled in.
fn operations() -> Vec<String> {
    let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let mut all = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let path =
            path.replace("{id}", "01a209d1-312c-7766-9078-e3ca9fe9a20f").replace("{user}", "alice");
        assert!(!path.contains('{'), "{path}: give its parameter a value here");
        let methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
        let found = methods.iter().filter(|method| item.get(**method).is_some());
        all.extend(found.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    assert!(all.len() > 15, "{all:?}");
    all
}

fn send(proxy: &Proxy, operation: &str, headers: &[(&str, &str)]) -> Answer {
    let (method, path) = operation.split_once(' ').unwrap();
    // What streams does not end by itself; its head tells enough.
    let method = if method == "GET" { "HEAD" } else { method };
    proxy.send(method, path, headers, "")
}

#[test]
fn every_route_refuses_whoever_has_not_proved_who_they_are() {
    let guarded = guarded("storage = \"memory\"");
    let beside = [
        "/api/openapi.json",
        "/swagger-ui",
        "/swagger-ui/",
        "/swagger-ui/swagger-ui.css",
        "/api/nothing",
        "/nothing",
        "/API/sessions/active",
        "/api/sessions/active/",
        "//api/sessions/active",
        "/health/",
        "/health/../api/sessions/active",
    ];
    let operations = operations().into_iter();
    let operations: Vec<String> =
        operations.chain(beside.map(|path| format!("GET {path}"))).collect();
    for operation in &operations {
        if OPEN.contains(&operation.as_str()) {
            continue;
        }
        for headers in [&[][..], &[("Cookie", "rustsocks_session=0")], &[("Cookie", "other=1")]] {
            let answer = send(&guarded.proxy, operation, headers);
            assert_eq!(answer.status, 401, "{operation}: {answer:?}");
            // A browser would answer Basic with a dialog of its own.
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"rustsocks\""));
        }
    }
    assert_eq!(guarded.get("/health", &[]).status, 200);
    assert_eq!(guarded.get("/ready", &[]).status, 200);
    problem(&guarded.post("/api/auth/login", &[], "{}"), 400);
    problem(&guarded.proxy.get("/api/sessions/active"), 401);
}

#[cfg(all(feature = "metrics", feature = "api-docs"))]
#[test]
fn the_description_that_is_checked_is_the_one_that_is_served() {
    let guarded = guarded("storage = \"memory\"");
    let served = guarded.get("/api/openapi.json", &[("Authorization", &guarded.reader)]);
    assert_eq!(served.json(), serde_json::from_str::<Value>(DESCRIPTION).unwrap());
    let page = guarded.get("/swagger-ui/", &[("Authorization", &guarded.reader)]);
    assert_eq!(page.status, 200);
}

#[test]
fn whoever_may_only_read_is_refused_by_every_route_that_changes_something() {
    let guarded = guarded("storage = \"memory\"");
    let basic = "Basic Z3Vlc3Q6anVzdCBsb29raW5n";
    for authorization in [guarded.reader.as_str(), basic] {
        for operation in operations() {
            let answer = send(&guarded.proxy, &operation, &[("Authorization", authorization)]);
            let reads = operation.starts_with("GET ")
                || READABLE.contains(&operation.as_str())
                || OPEN.contains(&operation.as_str());
            match reads {
                true => {
                    assert!(![401, 403, 429].contains(&answer.status), "{operation}: {answer:?}")
                }
                false => assert_eq!(answer.status, 403, "{operation}: {answer:?}"),
            }
        }
    }
    let body = r#"{"dest":"example.com","port":443}"#;
    let asked = guarded.post("/api/acl/test", &[("Authorization", &guarded.reader)], body);
    assert_eq!(asked.status, 200, "a question changes nothing");
    let reload = "/api/admin/reload-acl";
    problem(&guarded.post(reload, &[("Authorization", &guarded.ci)], ""), 409);
}

#[test]
fn the_description_tells_how_each_route_refuses() {
    let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let schemes = description["components"]["securitySchemes"].as_object().unwrap();
    let names: BTreeSet<&str> = schemes.keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["basic", "bearer", "cookie"]));
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{} {path}", method.to_uppercase());
            let open = OPEN.contains(&name.as_str());
            let wanted: &[&str] = match (open, name.contains("login")) {
                (true, false) => &["403"],
                _ => &["401", "403", "429"],
            };
            for status in wanted {
                let refusal = &operation["responses"][status]["content"];
                assert!(refusal["application/problem+json"].is_object(), "{name} {status}");
            }
            let ways = operation["security"].as_array().unwrap().len();
            assert_eq!(ways, if open { 0 } else { 3 }, "{name}");
        }
    }
}

#[test]
fn a_browser_logs_in_acts_with_its_csrf_token_and_logs_out_for_good() {
    let guarded = guarded("storage = \"memory\"\nbase_path = \"/books\"");
    let proxy = &guarded.proxy;
    let body = r#"{"username":"admin","password":"hunter2hunter2"}"#;
    let answer = proxy.send("POST", "/books/api/auth/login", &[], body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let set = answer.header("set-cookie").unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/books"] {
        assert!(set.split("; ").any(|found| found == attribute), "{set}");
    }
    assert!(set.contains("; Max-Age=86"), "a day: {set}");
    let cookie = ("Cookie", set.split(';').next().unwrap());
    let session = answer.json();
    assert_eq!(session["auth_enabled"], true);
    assert_eq!((&session["user"], &session["role"]), (&"admin".into(), &"operate".into()));
    let csrf = ("X-CSRF-Token", session["csrf_token"].as_str().unwrap());

    let again = proxy.send("GET", "/books/api/auth/session", &[cookie], "").json();
    assert_eq!((&again["user"], &again["csrf_token"]), (&"admin".into(), &session["csrf_token"]));
    assert!(again["expires_at"].is_string());
    assert_eq!(proxy.send("GET", "/books/api/sessions/active", &[cookie], "").status, 200);

    let reload =
        |headers: &[(&str, &str)]| proxy.send("POST", "/books/api/admin/reload-acl", headers, "");
    let refused = problem(&reload(&[cookie]), 403);
    assert!(refused.contains("X-CSRF-Token"), "{refused}");
    problem(&reload(&[cookie, ("X-CSRF-Token", "0")]), 403);
    problem(&reload(&[cookie, csrf, ("Origin", "https://evil.example")]), 403);
    problem(&reload(&[cookie, csrf]), 409);

    let logout =
        |headers: &[(&str, &str)]| proxy.send("POST", "/books/api/auth/logout", headers, "");
    problem(&logout(&[cookie]), 403);
    let left = logout(&[cookie, csrf]);
    assert_eq!(left.status, 204, "{left:?}");
    assert!(left.header("set-cookie").unwrap().contains("Max-Age=0"), "{left:?}");
    for path in ["/books/api/auth/session", "/books/api/sessions/active"] {
        problem(&proxy.send("GET", path, &[cookie], ""), 401);
    }
    problem(&logout(&[cookie, csrf]), 401);
}

#[test]
fn each_login_has_an_id_of_its_own_and_ends_the_one_before() {
    let guarded = guarded("storage = \"memory\"");
    let planted = ("Cookie", "rustsocks_session=0000");
    let first = guarded.log_in(&[planted]);
    assert_ne!(first.cookie, "rustsocks_session=0000");
    let second = guarded.log_in(&[("Cookie", &first.cookie)]);
    assert_ne!(first.cookie, second.cookie);
    problem(&guarded.get("/api/auth/session", &[("Cookie", &first.cookie)]), 401);
    assert_eq!(guarded.get("/api/auth/session", &[("Cookie", &second.cookie)]).status, 200);
    assert!(!second.set.contains("Secure"), "{}", second.set);
    let third = guarded.log_in(&[("X-Forwarded-Proto", "https")]);
    assert!(third.set.contains("; Secure"), "{}", third.set);
}

#[test]
fn programs_show_a_token_or_a_name_and_a_password() {
    let guarded = guarded("storage = \"memory\"");
    for (authorization, user, role) in [
        (guarded.reader.as_str(), "reader", "read"),
        (guarded.ci.as_str(), "ci", "operate"),
        ("Basic YWRtaW46aHVudGVyMmh1bnRlcjI=", "admin", "operate"),
    ] {
        let answer = guarded.get("/api/auth/session", &[("Authorization", authorization)]);
        let session = answer.json();
        assert_eq!((&session["user"], &session["role"]), (&user.into(), &role.into()));
        assert!(session["csrf_token"].is_null() && session["expires_at"].is_null(), "{session}");
    }
    let login = guarded.log_in(&[]);
    let both = [("Cookie", login.cookie.as_str()), ("Authorization", "Bearer rst_wrong")];
    problem(&guarded.get("/api/auth/session", &both), 401);
}

#[test]
fn a_source_that_fails_too_often_is_not_heard_and_an_event_says_so() {
    let guarded = guarded("storage = \"memory\"");
    let login = guarded.log_in(&[]);
    let mut refused = 0;
    let throttled = eventually("the throttle", || {
        let body = format!(r#"{{"username":"admin","password":"guess {refused}"}}"#);
        let headers = [("Authorization", "Basic YWRtaW46d3Jvbmc=")];
        let answer = match refused % 3 {
            0 => guarded.post("/api/auth/login", &[], &body),
            1 => guarded.get("/metrics", &headers),
            _ => guarded.get("/metrics", &[("Authorization", "Bearer rst_wrong")]),
        };
        refused += 1;
        match answer.status {
            401 => None,
            _ => Some(answer),
        }
    });
    assert!(refused > 10, "{refused}");
    problem(&throttled, 429);
    let seconds: u64 = throttled.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=6).contains(&seconds), "{seconds}");
    let right = r#"{"username":"admin","password":"hunter2hunter2"}"#;
    // Not even with the right password, until a failure is forgiven; guessed tokens neither.
    let answer = guarded.post("/api/auth/login", &[], right);
    assert!([429, 200].contains(&answer.status), "{answer:?}");
    // What cannot be guessed is spared.
    assert_eq!(guarded.get("/api/auth/session", &[("Cookie", &login.cookie)]).status, 200);
    assert_eq!(guarded.get("/metrics", &[("Authorization", &guarded.ci)]).status, 200);
    let events = guarded.events();
    let find = |words: &str| {
        let mut found = events.iter().filter(|e| e["message"].as_str().unwrap().contains(words));
        found.next().unwrap_or_else(|| panic!("{words}: {events:?}"))
    };
    let failed = find("login to the API failed");
    assert_eq!(failed["severity"], "warning");
    assert_eq!(failed["details"]["source"], "127.0.0.1");
    assert_eq!(find("not heard by the API")["details"]["source"], "127.0.0.1");
    assert!(events.iter().any(|event| event["details"]["user"] == "admin"), "{events:?}");
}

#[test]
fn a_trusted_proxy_names_the_source_of_a_failure() {
    let (_, hash) = new_token().unwrap();
    let config = format!(
        "[sessions]\nstorage = \"memory\"\n[sessions.dashboard_auth]\nenabled = true\n\
         trusted_proxies = [\"127.0.0.1\"]\n\
         [[sessions.dashboard_auth.users]]\nusername = \"admin\"\npassword = \"one\"\n\
         [[sessions.api_tokens]]\nname = \"ci\"\ntoken_hash = \"{hash}\"\n"
    );
    let proxy = proxy(&config);
    let ask = |source: &str, password: &str| {
        let body = format!(r#"{{"username":"admin","password":"{password}"}}"#);
        proxy.send("POST", "/api/auth/login", &[("X-Forwarded-For", source)], &body).status
    };
    eventually("the throttle", || (ask("198.51.100.7", "wrong") == 429).then_some(()));
    assert_eq!(ask("203.0.113.9", "one"), 200, "another source is heard");
    assert!(proxy.log().contains("198.51.100.7"), "{}", proxy.log());
}

#[test]
fn a_record_tells_which_operator_ended_the_session() {
    let guarded = guarded("storage = \"memory\"");
    let login = guarded.log_in(&[]);
    let ci = [("Authorization", guarded.ci.as_str())];
    let admin = [("Cookie", login.cookie.as_str()), ("X-CSRF-Token", login.csrf.as_str())];
    let (target, address) = listener();
    for (headers, detail) in [
        (&ci[..], "ended by the token ci through the API: abuse report 4711"),
        (&admin[..], "ended by admin through the API: abuse report 4711"),
    ] {
        for path in ["/api/sessions/{id}/terminate", "/api/sessions/terminate?user=anonymous"] {
            let client = Client::socks5(guarded.proxy.socks(), Command::Connect, &at(address));
            let _client = client.granted();
            let _peer = target.accept().unwrap();
            let running = guarded.get("/api/sessions/active", &ci).json();
            let id = running["data"][0]["session_id"].as_str().unwrap().to_owned();
            let path = path.replace("{id}", &id);
            let answer = guarded.post(&path, headers, r#"{"reason":"abuse report 4711"}"#);
            assert_eq!(answer.status, 202, "{answer:?}");
            let record = eventually("the record", || {
                let record = guarded.get(&format!("/api/sessions/{id}"), &ci).json();
                (record["status"] == "closed").then_some(record)
            });
            assert_eq!(end(&record), ("closed", "admin_terminated"));
            assert_eq!(record["close_detail"], detail);
        }
    }
}

#[test]
fn a_live_stream_ends_with_the_login_of_its_reader() {
    let guarded = guarded("storage = \"memory\"");
    let login = guarded.log_in(&[]);
    let mut stream = TcpStream::connect(guarded.proxy.api()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let cookie = &login.cookie;
    let get = format!(
        "GET /api/sessions/stream HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
        guarded.proxy.api()
    );
    stream.write_all(get.as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    let (target, address) = listener();
    let open = || {
        let client = Client::socks5(guarded.proxy.socks(), Command::Connect, &at(address));
        (client.granted(), target.accept().unwrap())
    };
    let mut read_until = |words: &str| {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended too early");
        }
    };
    read_until(": rustsocks");
    let _first = open();
    read_until("event: opened");
    let headers = [("Cookie", cookie.as_str()), ("X-CSRF-Token", &login.csrf)];
    assert_eq!(guarded.post("/api/auth/logout", &headers, "").status, 204);
    let second = open();
    let port = second.0.source().port();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains(&format!("\"source_port\":{port},")), "{rest}");
}

#[test]
fn a_hangup_signal_puts_changed_operators_in_force() {
    let guarded = guarded("storage = \"memory\"");
    let login = guarded.log_in(&[]);
    let file = guarded.proxy.folder().join("rustsocks.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let hash = hash_password(&"another one".to_owned().into()).unwrap();
    let text =
        text.replace("password = \"hunter2hunter2\"", &format!("password_hash = \"{hash}\""));
    std::fs::write(&file, text.replace("name = \"reader\"", "name = \"grafana\"")).unwrap();
    guarded.proxy.signal(Signal::HUP);
    let reader = [("Authorization", guarded.reader.as_str())];
    eventually("the new name", || {
        let session = guarded.get("/api/auth/session", &reader).json();
        (session["user"] == "grafana").then_some(())
    });
    problem(&guarded.get("/api/auth/session", &[("Cookie", &login.cookie)]), 401);
    let body = |password: &str| format!(r#"{{"username":"admin","password":"{password}"}}"#);
    problem(&guarded.post("/api/auth/login", &[], &body("hunter2hunter2")), 401);
    assert_eq!(guarded.post("/api/auth/login", &[], &body("another one")).status, 200);
}

#[test]
fn with_a_login_the_api_may_be_reached_from_elsewhere_and_under_any_name() {
    let guarded = guarded("storage = \"memory\"\nstats_api_bind_address = \"0.0.0.0\"");
    let ask = |method: &str, host: &str, more: &str| {
        let mut stream = TcpStream::connect(guarded.proxy.api()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "{method} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\
             Authorization: {}\r\n{more}\r\n",
            guarded.ci
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(ask("GET /api/sessions/active", "proxy.example", ""), "200");
    let reload = "POST /api/admin/reload-acl";
    assert_eq!(ask(reload, "proxy.example", "Origin: https://proxy.example\r\n"), "409");
    assert_eq!(ask(reload, "proxy.example", "Origin: https://evil.example\r\n"), "403");
    assert_eq!(ask(reload, "proxy.example", "Sec-Fetch-Site: cross-site\r\n"), "403");
}

#[test]
fn without_dashboard_auth_everybody_on_this_machine_may_do_everything() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let session = proxy.get("/api/auth/session").json();
    let expected = serde_json::json!({
        "auth_enabled": false, "user": null, "role": "operate", "csrf_token": null, "expires_at": null,
    });
    assert_eq!(session, expected);
    let body = r#"{"username":"admin","password":"x"}"#;
    problem(&proxy.post("/api/auth/login", body), 409);
    assert_eq!(proxy.post("/api/auth/logout", "").status, 204);
    problem(&proxy.post("/api/admin/reload-acl", ""), 409);
}

#[test]
fn every_answer_tells_browsers_to_keep_their_hands_off() {
    let guarded = guarded("storage = \"memory\"");
    let key = [("Authorization", guarded.ci.as_str())];
    let answers = [
        guarded.get("/health", &[]),
        guarded.get("/api/sessions/active", &[]),
        guarded.get("/api/sessions/active", &key),
        guarded.get("/api/sessions/export?format=csv", &key),
        guarded.get("/api/nothing", &key),
        guarded.get("/metrics", &key),
        guarded.get("/swagger-ui/", &key),
        guarded.post("/api/auth/login", &[("Origin", "https://evil.example")], "{}"),
        guarded.post("/api/auth/login", &[], &"x".repeat(2 << 20)),
    ];
    for answer in answers {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name}: {answer:?}");
        }
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    }
}

#[test]
fn no_secret_ever_reaches_an_answer_an_event_or_the_log() {
    let mut guarded = guarded("storage = \"memory\"\n[logging]\nlevel = \"trace\"");
    let login = guarded.log_in(&[]);
    let mut answers = String::new();
    // Wrong in every way, with a secret in each place: passwords that are numbers, names that are
    // passwords, tokens in the wrong scheme.
    for body in [
        r#"{"username":"admin","password":20262026}"#,
        r#"{"username":"hunter2hunter2","password":"rst_mistyped"}"#,
        r#"{"username":"admin","password":"rst_mistyped","hunter2hunter2":1}"#,
        r#"{"username":"admin" "hunter2hunter2"}"#,
        r#"["admin","hunter2hunter2"]"#,
    ] {
        answers += &guarded.post("/api/auth/login", &[], body).body;
    }
    let ci = guarded.ci.clone();
    for headers in [
        [("Authorization", "Bearer rst_mistyped")],
        [("Authorization", "Basic cnN0X21pc3R5cGVk")],
        [("Authorization", "rst_mistyped")],
        [("Cookie", "rustsocks_session=rst_mistyped")],
        [("Authorization", ci.as_str())],
        [("Cookie", login.cookie.as_str())],
    ] {
        for path in ["/health", "/metrics", "/api/telemetry/events", "/api/sessions/history"] {
            answers += &guarded.get(path, &headers).body;
        }
    }
    answers += &guarded.post("/api/admin/reload-acl", &[("Authorization", &ci)], "").body;
    assert!(answers.contains("a login to the API failed"), "{answers}");
    assert_eq!(guarded.proxy.terminate(), Some(0));
    let log = guarded.proxy.log();
    assert!(log.contains("an operator logged in") && log.contains("a login to the API failed"));
    let id = login.cookie.split_once('=').unwrap().1;
    let token = ci.trim_start_matches("Bearer ");
    let session = login.session["csrf_token"].as_str().unwrap();
    for secret in ["hunter2", "rst_mistyped", "20262026", "just looking", token, id, session] {
        assert!(!answers.contains(secret), "{secret}: {answers}");
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

//! The command line, as a person types it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn rustsocks(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(arguments)
        .current_dir(data())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input may have ended.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[cfg(all(feature = "database", feature = "metrics", feature = "api-docs", feature = "dashboard"))]
#[test]
fn a_file_of_0_9_loads_unchanged() {
    let output = rustsocks(&["check", "rustsocks-0.9.toml"], "");
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).ends_with("rustsocks-0.9.toml: the configuration is sound\n"));
}

#[test]
fn help_and_version_are_told() {
    let help = text(&rustsocks(&["--help"], "").stdout);
    for word in ["check", "hash-password", "new-token", "acl", "--config"] {
        assert!(help.contains(word), "{help}");
    }
    let version = text(&rustsocks(&["--version"], "").stdout);
    assert_eq!(version, format!("rustsocks {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_bad_file_ends_with_2_and_one_line() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[server]\nbind_prot = 1\n").unwrap();
    let path = file.path().to_str().unwrap();
    for arguments in [&["check", path][..], &["--config", path]] {
        let output = rustsocks(arguments, "");
        assert_eq!(output.status.code(), Some(2));
        let line = text(&output.stderr);
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains(":2: server.bind_prot: unknown key"), "{line}");
    }
}

#[test]
fn a_port_in_use_is_told_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let config = format!("[server]\nbind_port = {port}\n[sessions]\nstorage = \"memory\"\n");
    file.write_all(config.as_bytes()).unwrap();
    let output = rustsocks(&["--config", file.path().to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(2));
    let line = text(&output.stderr);
    assert!(line.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[test]
fn a_password_is_hashed_and_never_shown() {
    let output = rustsocks(&["hash-password"], "correct horse\n");
    assert!(output.status.success());
    let hash = text(&output.stdout);
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(!hash.contains("horse") && output.stderr.is_empty());
    assert_eq!(rustsocks(&["hash-password"], "\n").status.code(), Some(2));
}

#[test]
fn a_token_is_new_each_time_and_its_hash_is_what_the_configuration_takes() {
    let make = || text(&rustsocks(&["new-token"], "").stdout);
    let (one, other) = (make(), make());
    assert_ne!(one, other);
    let value = |name: &str| one.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let (token, hash) = (value("token: "), value("token_hash: "));
    assert!(token.starts_with("rst_") && token.len() == 68, "{one}");
    let config = format!(
        "[sessions.dashboard_auth]\nenabled = true\n\
         [[sessions.api_tokens]]\nname = \"ci\"\ntoken_hash = \"{hash}\"\n"
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(config.as_bytes()).unwrap();
    let output = rustsocks(&["check", file.path().to_str().unwrap()], "");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn acl_test_tells_which_rule_decides() {
    let ask = |dest: &str, user: &str| {
        rustsocks(&["acl", "test", "--acl", "acl.toml", "--user", user, "--dest", dest], "")
    };
    let blocked = ask("admin.example.com:443", "alice");
    assert_eq!(blocked.status.code(), Some(1));
    assert!(text(&blocked.stdout).contains("Not the admin panel"), "{blocked:?}");
    let allowed = ask("[2001:db8::7]:443", "anonymous");
    assert_eq!(allowed.status.code(), Some(0));
    assert!(text(&allowed.stdout).contains("Anyone may reach the mirrors"), "{allowed:?}");
    assert_eq!(ask("10.1.2.3:22", "alice").status.code(), Some(0));
    // Not let through as it stands: its addresses will decide.
    let undecided = ask("undecided.test:443", "anonymous");
    assert!(text(&undecided.stdout).contains("undecided"), "{undecided:?}");
    assert_eq!(undecided.status.code(), Some(1));
    assert_eq!(ask("10.1.2.3", "alice").status.code(), Some(2));
    let found = |dest: &str, address: &str| {
        let words = ["acl", "test", "--acl", "acl.toml", "--dest", dest, "--address", address];
        rustsocks(&words, "")
    };
    let by_address = found("mirror.test:443", "2001:db8::7");
    assert!(text(&by_address.stdout).contains("Anyone may reach the mirrors"), "{by_address:?}");
    assert_eq!(found("mirror.test:443", "mirror.test").status.code(), Some(2));
    assert_eq!(found("[2001:db8::7]:443", "2001:db8::7").status.code(), Some(2));
    assert_eq!(ask("2001:db8::7:443", "alice").status.code(), Some(2));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["hash-password"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(b"secret\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// Everything that `--help` says of the commands that ask a server.
#[cfg(feature = "tui")]
#[test]
fn the_help_of_the_commands_that_ask_a_server_is_what_is_kept() {
    let commands = [
        "status",
        "sessions",
        "sessions list",
        "sessions show",
        "sessions tail",
        "sessions kill",
        "sessions export",
        "stats",
        "top",
        "events",
        "completions",
        "man",
    ];
    let mut whole = String::new();
    for command in commands {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let output = rustsocks(&words, "");
        assert!(output.status.success(), "{output:?}");
        whole.push_str(&format!("$ rustsocks {command} --help\n{}\n", text(&output.stdout)));
    }
    let file = data().join("help.txt");
    if std::env::var_os("RUSTSOCKS_KEEP_HELP").is_some() {
        std::fs::write(&file, &whole).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(
        whole == kept,
        "the help has changed; if it should: RUSTSOCKS_KEEP_HELP=1 cargo test -p rustsocks --test \
         cli, and look at the difference"
    );
}

#[test]
fn completions_and_man_pages_are_made() {
    for (shell, sign) in
        [("bash", "complete -F"), ("zsh", "#compdef rustsocks"), ("fish", "complete -c")]
    {
        let output = rustsocks(&["completions", shell], "");
        let script = text(&output.stdout);
        assert!(output.status.success() && script.contains(sign), "{output:?}");
        assert!(script.contains("egress-port"), "{shell}");
        if shell == "bash" {
            let mut check = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
            check.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            assert!(check.wait().unwrap().success());
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert!(rustsocks(&["man", pages.to_str().unwrap()], "").status.success());
    for page in ["rustsocks.1", "rustsocks-sessions-kill.1", "rustsocks-status.1"] {
        let page = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(page.contains(".TH") && page.contains("Exit codes"), "{page}");
    }
    let page = std::fs::read_to_string(pages.join("rustsocks-sessions-kill.1")).unwrap();
    assert!(page.contains("dry\\-run"), "{page}");
}

#[test]
fn no_token_and_no_password_of_a_command_line_is_told() {
    let file = "tests/data/acl.toml";
    for arguments in [
        &["status", "--token", "geheim", "--bogus"][..],
        &["status", "--token", "geheim", "--token", "geheim"],
        &["status", "--token", "gehe\u{7}im geheim"],
        &["status", "--tokn=geheim"],
        &["--token=geheim", file],
        &["status", "--token", "geheim", "--api", "http://127.0.0.1:1"],
        &["status", "--token", "geheim", "--help"],
        &["status", "--api", "http://a:geheim@127.0.0.1:1"],
        &["status", "--api", "https://a:geheim@127.0.0.1:1"],
        &["status", "--api", "http://127.0.0.1:1?token=geheim"],
        &["status", "--api", "a:ge heim:geheim@127.0.0.1:1"],
    ] {
        let output = rustsocks(arguments, "");
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(!told.is_empty() && !told.contains("geheim"), "{arguments:?}: {told}");
    }
}

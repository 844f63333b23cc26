//! The API's description, held against the running server by a program that reads nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustsocks_proto::Command as SocksCommand;
use rustsocks_testkit::client::{Client, at};

use super::{listener, proxy};

/// Where `cargo xtask test` installs Schemathesis.
fn schemathesis() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/python/bin/schemathesis")
}

const RULES: &str = r#"
[global]
default_policy = "allow"

[[users]]
username = "anonymous"
[[users.rules]]
action = "block"
description = "Not the admin panel"
destinations = ["admin.example.com"]
ports = ["*"]
protocols = ["both"]
priority = 10
"#;

/// Every check of Schemathesis but one: parameters that exclude one another (`hours` and
/// `start_after`) cannot be described, so a fitting request may be refused.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,negative_data_rejection,\
    unsupported_method,allow_header_conformance,missing_required_header";

#[test]
fn no_request_gets_an_answer_that_the_description_does_not_have() {
    let program = schemathesis();
    if !program.exists() {
        eprintln!("SKIPPED: Schemathesis is not installed; `cargo xtask test` does it");
        return;
    }
    let rules = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rules.path(), RULES).unwrap();
    let file = rules.path().display();
    let proxy = proxy(&format!("[acl]\nenabled = true\nconfig_file = \"{file}\"\n"));
    let (target, address) = listener();
    let _running = Client::socks5(proxy.socks(), SocksCommand::Connect, &at(address)).granted();
    drop(Client::socks5(proxy.socks(), SocksCommand::Connect, &at(address)).granted());
    let seconds = std::env::var("RUSTSOCKS_SCHEMATHESIS_SECS");
    let server = format!("http://{}", proxy.api());
    let output = Command::new(program)
        .args(["run", &format!("{server}/api/openapi.json"), "--url", &server])
        .args(["--checks", &CHECKS.replace(' ', ""), "--phases", "examples,coverage,fuzzing"])
        .args(["--max-time", seconds.as_deref().unwrap_or("20"), "--max-examples", "30"])
        // Slow answers are the machine's; the stream does not end.
        .args(["--suppress-health-check", "all", "--exclude-path", "/api/sessions/stream"])
        .args(["--request-timeout", "60", "--no-color"])
        .current_dir(proxy.folder())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    drop(target);
}

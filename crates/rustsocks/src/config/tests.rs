//! Files that load, files that do not, and texts that nobody would write.

use std::path::Path;

use proptest::prelude::*;

use super::Config;

const EXAMPLE: &str = include_str!("../../../../rustsocks.example.toml");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("rustsocks.toml")).map_err(|fault| fault.to_string())
}

#[cfg(feature = "database")]
#[test]
fn every_value_in_the_example_file_is_the_default() {
    let (example, embedded) = (parse(EXAMPLE).unwrap(), Config::embedded().unwrap());
    assert_eq!(format!("{example:?}"), format!("{embedded:?}"));
}

#[test]
fn the_example_file_names_every_key() {
    // Keys of 0.9 that have no effect, or that stand in sections of later capabilities.
    let unnamed = ["tls", "pam", "gssapi", "qos", "users"];
    let form = include_str!("file.rs");
    for line in form.lines().filter(|line| line.starts_with("    ") && line.contains(" = ")) {
        let Some((key, _)) = line.trim().split_once(':') else { continue };
        let is_key = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if is_key && !unnamed.contains(&key) {
            let named = EXAMPLE.contains(&format!("{key} = "))
                || EXAMPLE.contains(&format!("[{key}]"))
                || EXAMPLE.contains(&format!(".{key}]"));
            assert!(named, "rustsocks.example.toml does not name {key}");
        }
    }
}

/// Wrong files, each with its one line.
const WRONG: &[(&str, &str)] = &[
    (
        "[server]\nbind_prot = 1",
        "rustsocks.toml:2: server.bind_prot: unknown key `bind_prot`; did you mean `bind_port`?",
    ),
    ("[serverr]\n", "rustsocks.toml:1: serverr: unknown key `serverr`; did you mean `server`?"),
    (
        "[server]\nbind_port = 99999",
        "rustsocks.toml:2: server.bind_port = 99999: invalid value: integer `99999`; write a whole number from 0 to 65535",
    ),
    ("server = 3", "rustsocks.toml:1: server = 3: invalid type: integer `3`; write a section"),
    (
        "[server.pool]\nenabled = \"yes\"",
        "rustsocks.toml:2: server.pool.enabled = \"yes\": invalid type: string \"yes\"; write true or false",
    ),
    (
        "[server]\nmax_connections = 0",
        "rustsocks.toml:2: server.max_connections = 0: out of range; give a number from 1 to 1000000",
    ),
    (
        "[server]\nhandshake_timeout_secs = -3",
        "rustsocks.toml:2: server.handshake_timeout_secs = -3: out of range; give a number from 1 to 315360000",
    ),
    (
        "[server]\nbind_address = \"localhost\"",
        "rustsocks.toml:2: server.bind_address = \"localhost\": not an IP address; write one such as \"127.0.0.1\" or \"::\"",
    ),
    (
        "[server.tls]\nenabled = true",
        "rustsocks.toml:2: server.tls.enabled = true: not supported yet; set it to false or remove the section",
    ),
    (
        "[auth.pam]\nenabled = true",
        "rustsocks.toml:2: auth.pam.enabled = true: not supported yet; set it to false or remove the section",
    ),
    (
        "[auth.gssapi]\nenabled = true",
        "rustsocks.toml:2: auth.gssapi.enabled = true: not supported yet; set it to false or remove the section",
    ),
    (
        "[qos]\nenabled = true",
        "rustsocks.toml:2: qos.enabled = true: not supported yet; set it to false or remove the section",
    ),
    (
        "[server.tls]\nenabled = \"true\"",
        "rustsocks.toml:2: server.tls.enabled = \"true\": neither true nor false, and not supported yet; set it to false or remove the section",
    ),
    (
        "[auth.pam]\nenabled = 1",
        "rustsocks.toml:2: auth.pam.enabled = 1: neither true nor false, and not supported yet; set it to false or remove the section",
    ),
    (
        "[auth]\ngssapi = { enabled = [] }",
        "rustsocks.toml:2: auth.gssapi.enabled = []: neither true nor false, and not supported yet; set it to false or remove the section",
    ),
    (
        "[qos.enabled]\non = true",
        "rustsocks.toml:1: qos.enabled: neither true nor false, and not supported yet; set it to false or remove the section",
    ),
    (
        "[server.tls]\nEnable = true",
        "rustsocks.toml:2: server.tls.Enable: unknown key `Enable`; did you mean `enabled`?",
    ),
    (
        "[sessions.dashboard_auth]\nenabled = true",
        "rustsocks.toml:2: sessions.dashboard_auth.enabled = true: nobody could ever log in: there are no users and no tokens; add [[sessions.dashboard_auth.users]] with username and password_hash, or [[sessions.api_tokens]]",
    ),
    (
        "[sessions.dashboard_auth]\nsession_duration_hours = 0",
        "rustsocks.toml:2: sessions.dashboard_auth.session_duration_hours = 0: out of range; give a number from 1 to 87600",
    ),
    (
        "[sessions.dashboard_auth]\nsession_secret = 4711",
        "rustsocks.toml:2: sessions.dashboard_auth.session_secret = (hidden): wrong type; write a string",
    ),
    (
        "[sessions.dashboard_auth]\ntrusted_proxies = [\"proxy.example\"]",
        "rustsocks.toml:2: sessions.dashboard_auth.trusted_proxies = [\"proxy.example\"]: not a list of networks; write \"192.0.2.1\" or \"192.0.2.0/24\"",
    ),
    (
        "[[sessions.dashboard_auth.users]]\nusername = \"a\"\npassword = \"x\"\nrole = \"admin\"",
        "rustsocks.toml:4: sessions.dashboard_auth.users.role = \"admin\": unknown value \"admin\"; use one of \"read\", \"operate\"",
    ),
    (
        "[[sessions.dashboard_auth.users]]\nusername = \"a\"\npassword = \"x\"\n[[sessions.dashboard_auth.users]]\nusername = \"a\"\npassword = \"y\"",
        "rustsocks.toml:5: sessions.dashboard_auth.users.username = \"a\": the user is configured twice; keep one of them",
    ),
    (
        "[[sessions.dashboard_auth.users]]\nusername = \"a\"\npassword_hash = \"geheim\"",
        "rustsocks.toml:3: sessions.dashboard_auth.users.password_hash = (hidden): not a PHC string ($argon2id$v=19$m=...); make one with `rustsocks hash-password`",
    ),
    (
        "[[sessions.dashboard_auth.users]]\nusername = \"a\"",
        "rustsocks.toml:2: sessions.dashboard_auth.users.username = \"a\": the user has no password; make a password_hash with `rustsocks hash-password`",
    ),
    (
        "[[sessions.api_tokens]]\nname = \"ci\"\ntoken_hash = \"rst_geheim\"",
        "rustsocks.toml:3: sessions.api_tokens.token_hash = (hidden): this is a token itself and known to whoever reads the file; make a new one with `rustsocks new-token`, and write its hash here",
    ),
    (
        "[[sessions.api_tokens]]\nname = \"ci\"\ntoken_hash = \"blake3:12\"",
        "rustsocks.toml:3: sessions.api_tokens.token_hash = (hidden): not a token's hash (blake3: and 64 hexadecimal digits); make a new one with `rustsocks new-token`, and write its hash here",
    ),
    (
        "[[sessions.api_tokens]]\nname = \"ci\"",
        "rustsocks.toml:1: sessions.api_tokens: missing field `token_hash`; see rustsocks.example.toml for every key and its type",
    ),
    (
        "[auth]\nsocks_method = \"userpas\"",
        "rustsocks.toml:2: auth.socks_method = \"userpas\": unknown value \"userpas\"; did you mean \"userpass\"?",
    ),
    (
        "[auth]\nmethod = \"gssapi\"",
        "rustsocks.toml:2: auth.method = \"gssapi\": not supported yet; use \"none\" or \"userpass\"",
    ),
    (
        "[auth]\nsocks_method = \"userpass\"",
        "rustsocks.toml:2: auth.socks_method = \"userpass\": nobody could ever log in: there are no users; add [[auth.users]] with username and password_hash",
    ),
    (
        "[[auth.users]]\nusername = \"a\"\npassword = \"geheim\"\npassword_hash = \"geheim\"",
        "rustsocks.toml:3: auth.users.password = (hidden): the user has both a password and a hash; remove the password",
    ),
    (
        "[[auth.users]]\nusername = \"a\"\npassword = \"x\"\n[[auth.users]]\nusername = \"b\"",
        "rustsocks.toml:5: auth.users.username = \"b\": the user has no password; make a password_hash with `rustsocks hash-password`",
    ),
    (
        "[[auth.users]]\nusername = \"a\"\npassword = \"x\"\n[[auth.users]]\nusername = \"a\"\npassword = \"y\"",
        "rustsocks.toml:5: auth.users.username = \"a\": the user is configured twice; keep one of them",
    ),
    (
        "[[auth.users]]\nusername = \"\"\npassword = \"x\"",
        "rustsocks.toml:2: auth.users.username = \"\": a user name cannot be empty; choose another name",
    ),
    (
        "[[auth.users]]\nusername = \"a\"\npassword_hash = \"geheim\"",
        "rustsocks.toml:3: auth.users.password_hash = (hidden): not a PHC string ($argon2id$v=19$m=...); make one with `rustsocks hash-password`",
    ),
    (
        "[acl]\nenabled = true",
        "rustsocks.toml:2: acl.enabled = true: no file with rules is named; add config_file = \"acl.toml\"",
    ),
    (
        "[acl]\nenabled = true\nconfig_file = \"/no/such.toml\"",
        "rustsocks.toml:3: acl.config_file = \"/no/such.toml\": the file /no/such.toml does not exist; create it, or correct the path",
    ),
    (
        "[logging]\nlevel = \"warning\"",
        "rustsocks.toml:2: logging.level = \"warning\": unknown value \"warning\"; did you mean \"warn\"?",
    ),
    (
        "[sessions]\nbatch_size = 0",
        "rustsocks.toml:2: sessions.batch_size = 0: out of range; give a number from 1 to 100000",
    ),
    (
        "[sessions]\nretention_days = -1",
        "rustsocks.toml:2: sessions.retention_days = -1: out of range; give a number from 0 to 36500",
    ),
    (
        "[sessions]\nstats_window_hours = 0",
        "rustsocks.toml:2: sessions.stats_window_hours = 0: out of range; give a number from 1 to 87600",
    ),
    (
        "[sessions]\nstorage = \"postgres\"",
        "rustsocks.toml:2: sessions.storage = \"postgres\": storage = \"postgres\" needs a database_url; write \"postgres://user:password@host:5432/database\"",
    ),
    (
        "[sessions]\nstorage = \"mariadb\"\ndatabase_url = \"postgres://root:geheim@db/x\"",
        "rustsocks.toml:3: sessions.database_url = (hidden): the URL is of another engine than storage = \"mariadb\" says; write \"mysql://user:password@host:3306/database\"",
    ),
    (
        "[sessions]\nstorage = \"mysql\"\ndatabase_url = \"mysql://root:geheim@db\"",
        "rustsocks.toml:3: sessions.database_url = (hidden): the URL names no database; write \"mysql://user:password@host:3306/database\"",
    ),
    (
        "[sessions]\nstorage = \"sqlit\"",
        "rustsocks.toml:2: sessions.storage = \"sqlit\": unknown value \"sqlit\"; did you mean \"sqlite\"?",
    ),
    (
        "[sessions]\nstorage = \"memory\"\ndatabase_url = \"mysql://root:geheim@db/x\"",
        "rustsocks.toml:3: sessions.database_url = (hidden): the URL of another engine; remove it: storage = \"memory\" has no database",
    ),
    (
        "[sessions]\ndurability = \"fast\"",
        "rustsocks.toml:2: sessions.durability = \"fast\": unknown value \"fast\"; use one of \"full\", \"normal\"",
    ),
    (
        "[sessions]\nstats_api_bind_address = \"0.0.0.0\"",
        "rustsocks.toml:2: sessions.stats_api_bind_address = \"0.0.0.0\": without a login the API may be reached from this machine alone; use \"127.0.0.1\" or \"::1\", or switch on [sessions.dashboard_auth]",
    ),
    (
        "[sessions]\nbase_path = \"x y\"",
        "rustsocks.toml:2: sessions.base_path = \"x y\": not a path; write a path such as \"/\" or \"/rustsocks\"",
    ),
    (
        "[sessions]\nnode_id = \"\"",
        "rustsocks.toml:2: sessions.node_id = \"\": a node's name has 1 to 255 bytes and no control characters; choose another",
    ),
    (
        "[dns]\nservers = [\"dns.example\"]",
        "rustsocks.toml:2: dns.servers = [\"dns.example\"]: not a list of addresses; write \"192.0.2.1:53\"",
    ),
    (
        "[dns]\nmode = \"system\"\nservers = [\"192.0.2.1\"]",
        "rustsocks.toml:3: dns.servers = [\"192.0.2.1\"]: the system's resolver has its own servers; remove it, or set mode = \"builtin\"",
    ),
    (
        "[telemetry]\nmax_events = 0",
        "rustsocks.toml:2: telemetry.max_events = 0: out of range; give a number from 1 to 100000",
    ),
];

#[test]
fn each_wrong_file_gets_its_one_line() {
    let built_for = |text: &str| {
        let needs = |storage: &str, feature: bool| feature || !text.contains(storage);
        needs("\"postgres\"", cfg!(feature = "postgres"))
            && needs("\"mariadb\"", cfg!(feature = "mysql"))
            && needs("\"mysql\"", cfg!(feature = "mysql"))
    };
    // What another build says of those is asked in tests/features.rs.
    for (text, line) in WRONG.iter().filter(|(text, _)| built_for(text)) {
        assert_eq!(parse(text).unwrap_err(), *line);
    }
}

/// A file of operators with one token, and what else it is to say.
fn with_operators(login: &str) -> Config {
    let hash = format!("blake3:{}", "0".repeat(64));
    let token = format!("[[sessions.api_tokens]]\nname = \"ci\"\ntoken_hash = \"{hash}\"\n");
    parse(&format!("{login}\n{token}")).unwrap()
}

#[test]
fn a_section_that_is_not_there_yet_may_stand_switched_off() {
    for name in ["server.tls", "auth.pam", "auth.gssapi", "qos"] {
        parse(&format!("[{name}]\nenabled = false\nkey = 1\n")).unwrap();
        parse(&format!("[{name}]\nverbose = true\n[{name}.deeper]\nenabled = true\n")).unwrap();
    }
}

#[test]
fn with_a_login_the_api_may_listen_anywhere() {
    let anywhere = "[sessions]\nstats_api_bind_address = \"0.0.0.0\"\n";
    let config = with_operators(&format!("{anywhere}[sessions.dashboard_auth]\nenabled = true"));
    assert!(config.api.unwrap().listen.ip().is_unspecified() && config.operators.is_some());
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn weak_choices_about_logins_are_told_and_no_secret_with_them() {
    let user = "[[sessions.dashboard_auth.users]]\nusername = \"a\"\npassword = \"geheim\"";
    let login = "[sessions.dashboard_auth]\naltcha_enabled = true\nsession_secret = \"sesam\"";
    let on = with_operators(&format!("{login}\nenabled = true\n{user}"));
    let off = with_operators(&format!("{login}\n{user}"));
    let warnings = on.warnings.join("\n");
    for words in ["altcha_enabled has no effect", "1 of 1 dashboard users", "session_secret has"] {
        assert!(warnings.contains(words), "{warnings}");
    }
    let shown = format!("{on:?} {off:?}");
    assert!(!shown.contains("geheim") && !shown.contains("sesam"), "{shown}");
    assert!(off.operators.is_none());
    let warnings = off.warnings.join("\n");
    assert!(warnings.contains("[[sessions.api_tokens]] has no effect"), "{warnings}");
}

#[test]
fn a_wrong_type_names_line_key_and_value_but_no_secret() {
    let line = parse("[server]\nbind_port = \"http\"").unwrap_err();
    assert!(
        line.starts_with("rustsocks.toml:2: server.bind_port = \"http\": invalid type"),
        "{line}"
    );
    let line = parse("[[auth.users]]\nusername = \"a\"\npassword = 12345").unwrap_err();
    assert!(line.starts_with("rustsocks.toml:3: auth.users.password = (hidden)"), "{line}");
    assert!(!line.contains("12345"), "{line}");
}

/// Files with a password in them that are wrong in one way each.
const HOSTILE: &[&str] = &[
    // A key that nobody knows.
    "[[auth.users]]\nusername = \"a\"\npasword = \"geheim\"",
    "[[auth.users]]\nusername = \"a\"\npasswd = \"geheim\"",
    "[[auth.users]]\nusername = \"a\"\npin = \"geheim\"",
    "[auth]\nalice = \"geheim\"",
    "[auth.users]\nalice = \"geheim\"",
    // Tables within a line.
    "[auth]\nusers = [{ username = \"a\", password = \"geheim\", rol = \"x\" }]",
    "[auth]\nusers = [{ username = \"a\", password = \"geheim\", password_hash = \"geheim\" }]",
    "[auth]\nusers = [{ username = \"\", password = \"geheim\" }]",
    "[auth]\nusers = [{ password = \"geheim\" }]",
    "[auth]\nusers = { username = \"a\", password = \"geheim\" }",
    "auth = { users = [{ username = 1, password = \"geheim\" }] }",
    "auth.users = [{ username = \"a\", password = [\"geheim\"] }]",
    "sessions.dashboard_auth = { enabled = 1, session_secret = \"geheim\" }",
    "[sessions]\napi_tokens = [{ name = \"ci\", token_hash = \"geheim\" }]",
    // A secret where something else belongs.
    "[auth]\nusers = [\"a:geheim\"]",
    "[auth]\nusers = \"a:geheim\"",
    "auth = \"a:geheim\"",
    "[sessions]\ndashboard_auth = \"a:geheim\"",
    "[sessions]\napi_tokens = [\"geheim\"]",
    "[sessions]\napi_tokens = \"geheim\"",
    "[server]\ntls = \"geheim\"",
    "[sessions]\nstorage = \"postgres://a:geheim@db/x\"",
    "[sessions]\nstorage = \"postgres://db/x?user=a&pass=geheim\"",
    "[metrics]\nstorage = \"postgres://a:geheim@db/x\"",
    "sessions = { storage = \"postgres://a:geheim@db/x\" }",
    "[dns]\nservers = [\"https://a:geheim@dns\"]",
    "[acl]\nenabled = true\nconfig_file = \"https://a:geheim@web/acl.toml\"",
    // Values of the wrong type.
    "[[auth.users]]\nusername = \"a\"\npassword = [\"geheim\"]",
    "[[auth.users]]\nusername = \"a\"\npassword = { text = \"geheim\" }",
    "[[auth.users]]\nusername = \"a\"\n[auth.users.password]\ntext = \"geheim\"",
    "[[auth.users]]\nusername = \"a\"\n\"pass\\u0077ord\" = [\"geheim\"]",
    "[[auth.users]]\nusername = [\"a\"]\npassword = \"geheim\"",
    "[sessions.dashboard_auth]\nsession_secret = [\"geheim\"]",
    // URLs.
    "[sessions]\nstorage = \"sqlite\"\ndatabase_url = \"postgres://db/x?user=a&password=geheim\"",
    "[sessions]\nstorage = \"sqlite\"\ndatabase_url = \"sqlite://x.db?key=geheim\"",
    "[sessions]\nstorage = \"sqlite\"\ndatabase_url = \"root:geheim/x\"",
    "[sessions]\nstorage = \"postgres\"\ndatabase_url = \"postgres:geheim\"",
    "[sessions]\nstorage = \"postgres\"\ndatabase_url = \"mysql://root:geheim/x\"",
    "[sessions]\nstorage = \"mysql\"\ndatabase_url = \"mysql://db:3306;password=geheim\"",
    "[sessions]\nstorage = \"mysql\"\ndatabase_url = \"mysql://db/x;password=geheim\"",
    "[sessions]\nstorage = \"mysql\"\ndatabase_url = [\"mysql://root:geheim@db/x\"]",
    "[sessions]\nstorage = \"memory\"\ndatabase_url = \"mysql://db/x?user=a&pwd=geheim\"",
    "[sessions]\ndatabase_uri = \"mysql://root:geheim@db/x\"",
    // No TOML.
    "[[auth.users]]\nusername = \"a\"\npassword = geheim",
    "[[auth.users]]\nusername = \"a\"\npassword = \"geheim",
    "[[auth.users]]\nusername = \"a\"\npassword = \"geheim\" \"x\"",
    "[[auth.users]]\nusername = \"a\"\npassword \"geheim\"",
    "[[auth.users]]\nusername = \"a\"\npassword: geheim = 3",
    "[[auth.users]]\nusername = \"a\"\npassword = \"ge\\heim geheim\"",
    "[[auth.users]]\nusername = \"a\"\npassword = \"\"\"\ngeheim = \\q\n\"\"\"",
    "[[auth.users]]\nusername = \"a\"\npassword = \"\"\"\ngeheim",
    "[[auth.users]]\nusername = \"a\"\npassword = \"geheim\"\npassword = \"geheim\"",
    "[auth]\nusers = [{ username = \"a\", password = \"geheim\" ",
    "[sessions]\ndatabase_url = mysql://root:geheim@db/x",
    "[geheim\npassword = \"geheim\"",
];

#[test]
fn no_password_is_part_of_any_fault() {
    for text in HOSTILE {
        let line = parse(text).unwrap_err();
        let told = line.strip_prefix("rustsocks.toml:").unwrap_or_else(|| panic!("{line}"));
        assert!(told.starts_with(|c: char| c.is_ascii_digit()), "{line}");
        assert!(!line.contains("geheim"), "{text}\n{line}");
    }
}

#[test]
fn what_is_no_secret_is_told() {
    for (text, value) in [
        #[cfg(feature = "database")]
        ("[sessions]\ndatabase_url = \"sqlite:\"", " = \"sqlite:\""),
        ("[server] # no password\nbind_port = \"x\" # nor a token", ".bind_port = \"x\": invalid"),
        ("server = { bind_port = \"x\" }", "rustsocks.toml:1: server.bind_port = \"x\": invalid"),
        ("server.bind_address = \"x\"", "rustsocks.toml:1: server.bind_address = \"x\": not"),
        ("[server]\nbind_port = 10 80", "rustsocks.toml:2: bind_port: "),
    ] {
        let line = parse(text).unwrap_err();
        assert!(line.contains(value), "{line}");
    }
}

#[test]
fn text_that_is_no_toml_names_its_line() {
    let line = parse("[server]\nbind_port 1080\n").unwrap_err();
    assert!(line.starts_with("rustsocks.toml:2: "), "{line}");
    assert_eq!(line.lines().count(), 1);
}

#[test]
fn a_file_that_cannot_be_read_is_one_line_too() {
    for path in ["/no/such/file.toml", "/"] {
        let line = Config::load(Path::new(path)).unwrap_err().to_string();
        assert!(line.starts_with(path) && line.contains("cannot be read"), "{line}");
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, b"\xFF\xFE").unwrap();
    let line = Config::load(file.path()).unwrap_err().to_string();
    assert!(line.ends_with("is not UTF-8 text; save it as UTF-8"), "{line}");
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic_or_break_its_line(text in ".{0,200}") {
        if let Err(line) = parse(&text) {
            prop_assert_eq!(line.lines().count(), 1);
        }
    }

    #[test]
    fn no_change_to_the_example_makes_the_reader_panic(
        place in 0..EXAMPLE.len(),
        length in 0..40_usize,
        text in "[a-z0-9\\[\\]=\"\n.#-]{0,20}",
    ) {
        let end = (place + length).min(EXAMPLE.len());
        if let (Some(head), Some(tail)) = (EXAMPLE.get(..place), EXAMPLE.get(end..)) {
            let changed = [head, &text, tail].concat();
            if let Err(line) = parse(&changed) {
                prop_assert_eq!(line.lines().count(), 1);
            }
        }
    }
}

#[test]
fn a_setting_that_changes_nothing_is_told() {
    for (text, setting) in [
        #[cfg(feature = "metrics")]
        ("[metrics]\nenabled = true\n[sessions]\nstats_api_enabled = false\n", "metrics.enabled"),
        ("[[auth.users]]\nusername = \"a\"\npassword = \"b\"\n", "auth.users"),
        ("[sessions]\narchive_dir = \"old\"\nretention_days = 0\n", "sessions.archive_dir"),
        ("[sessions]\nstorage = \"memory\"\ndurability = \"full\"\n", "sessions.durability"),
        ("[sessions]\nstorage = \"memory\"\njournal_dir = \"j\"\n", "sessions.journal_dir"),
        ("[sessions]\ndatabase_ca_file = \"ca.pem\"\n", "sessions.database_ca_file"),
    ] {
        let warnings = parse(text).unwrap().warnings;
        let told =
            warnings.iter().any(|line| line.starts_with(&format!("{setting} has no effect")));
        assert!(told, "{text}: {warnings:?}");
    }
}

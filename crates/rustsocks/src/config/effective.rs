//! The configuration as it is in force, for people: every setting, and no secret.

use rustsocks_api::SettingsBySection;

use super::ledger::{DEFAULT_DATABASE, storage_name};
use super::{Config, StorageConfig, file};
use crate::features;

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// Keys that hold a secret have one of these in their name.
const SECRETS: [&str; 4] = ["password", "secret", "token", "hash"];

/// Sections whose keys nobody here knows: any text in them may be a secret.
const UNKNOWN: [&str; 4] = ["server.tls", "auth.pam", "auth.gssapi", "qos"];

/// What stands for the keys of these sections: one that holds a secret.
const UNKNOWN_KEY: &str = "secret";

/// What a database's URL may ask for that is no secret.
const SHOWN_IN_QUERY: [&str; 8] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "charset",
    "application_name",
    "dbname",
];

/// Every setting by section and key. `file` is what was read, `config` what became of it.
pub(super) fn settings(mut file: file::File, config: &Config) -> SettingsBySection {
    fill_in(&mut file, config);
    let mut sections = SettingsBySection::new();
    // A section is a table of strings, numbers and lists: there is nothing that cannot be shown.
    let table = toml::Table::try_from(file).unwrap_or_default();
    put_section(&mut sections, "", table);
    sections
}

/// Names what is in force where the file says nothing.
fn fill_in(file: &mut file::File, config: &Config) {
    let storage = storage_name(&file.sessions).to_owned();
    let sessions = &mut file.sessions;
    if storage == "sqlite" {
        sessions.database_url.get_or_insert_with(|| DEFAULT_DATABASE.to_owned());
    }
    sessions.storage = Some(storage.clone());
    sessions.node_id = Some(config.node.clone());
    sessions.swagger_enabled.get_or_insert(features::API_DOCS);
    sessions.dashboard_enabled.get_or_insert(features::DASHBOARD);
    if let Some(ledger) = &config.ledger {
        sessions.journal_dir = ledger.journal.as_ref().map(|journal| journal.folder.clone());
        if matches!(ledger.storage, StorageConfig::Memory { .. }) {
            sessions.database_url = None;
        }
    }
    file.metrics.enabled.get_or_insert(features::METRICS);
    let persist = config.history.as_ref().is_some_and(|history| history.persist);
    file.metrics.storage = Some(if persist { storage } else { "memory".to_owned() });
}

/// Puts a table's values under its name, and the tables in it under names with a dot.
fn put_section(sections: &mut SettingsBySection, name: &str, table: toml::Table) {
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => {
                let inner_name = if name.is_empty() { key } else { format!("{name}.{key}") };
                sections.entry(inner_name.clone()).or_default();
                put_section(sections, &inner_name, inner);
            }
            value => {
                let is_known =
                    !UNKNOWN.iter().any(|unknown| name == *unknown || is_within(name, unknown));
                let shown = shown(if is_known { &key } else { UNKNOWN_KEY }, value);
                sections.entry(name.to_owned()).or_default().insert(key, shown);
            }
        }
    }
}

/// A value without secrets.
fn shown(key: &str, value: toml::Value) -> serde_json::Value {
    let is_secret = SECRETS.iter().any(|secret| key.contains(secret));
    match value {
        toml::Value::Array(list) => list.into_iter().map(|value| shown(key, value)).collect(),
        toml::Value::Table(table) => table
            .into_iter()
            .map(|(name, value)| {
                let value = shown(if key == UNKNOWN_KEY { key } else { &name }, value);
                (name, value)
            })
            .collect(),
        toml::Value::String(_) if is_secret => HIDDEN.into(),
        toml::Value::String(text) if key == "database_url" && !text.contains("://") => {
            if text.starts_with("sqlite:") { text.into() } else { HIDDEN.into() }
        }
        toml::Value::String(text) => without_password(&text).into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(is_on) => is_on.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
    }
}

/// Whether a section is one of those in another.
fn is_within(name: &str, section: &str) -> bool {
    name.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

/// A URL without its password, in the user's part and in the query; any other text as it is.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) if query.split('&').all(is_shown) => (rest, format!("?{query}")),
        Some((rest, _query)) => (rest, format!("?{HIDDEN}")),
        None => (rest, String::new()),
    };
    // The last one: a password that was not escaped may hold the sign itself.
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => match user.split_once(':') {
            Some((user, _password)) => (format!("{user}:{HIDDEN}@"), place),
            None => (format!("{user}@"), place),
        },
        None => (String::new(), rest),
    };
    // In a URL that is none the password may be anywhere.
    let place = if scheme == "sqlite" || is_place(place) { place } else { HIDDEN };
    format!("{scheme}://{user}{place}{query}")
}

/// Whether a part of a query is no secret.
fn is_shown(pair: &str) -> bool {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    SHOWN_IN_QUERY.contains(&name) && !value.contains([';', '=', ':', '@'])
}

/// Whether a text is host, port and database.
fn is_place(text: &str) -> bool {
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    // An IPv6 address is in brackets.
    let port = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, "")) => "0",
        Some((_, port)) => port.strip_prefix(':').unwrap_or("none"),
        None => host.split_once(':').map_or("0", |(_, port)| port),
    };
    port.bytes().all(|byte| byte.is_ascii_digit()) && !path.contains([';', '=', ':'])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settings_of(text: &str) -> SettingsBySection {
        let config = Config::parse(text, Path::new("rustsocks.toml")).unwrap();
        config.settings
    }

    // The example asks for all of them.
    #[cfg(all(feature = "database", feature = "metrics", feature = "api-docs"))]
    #[test]
    fn every_setting_of_the_example_is_shown_with_its_value() {
        let example = include_str!("../../../../rustsocks.example.toml");
        let settings = settings_of(example);
        let parsed: toml::Table = toml::from_str(example).unwrap();
        for (section, value) in parsed {
            for key in value.as_table().unwrap().keys() {
                let here = settings[&section].contains_key(key);
                assert!(
                    here || settings.contains_key(&format!("{section}.{key}")),
                    "{section}.{key}"
                );
            }
        }
        assert_eq!(settings["server"]["max_connections"], 10_000);
        assert_eq!(settings["server.pool"]["enabled"], false);
        assert_eq!(settings["logging"]["level"], "info");
        assert_eq!(settings_of("")["sessions"], settings["sessions"]);
    }

    #[test]
    fn what_the_file_leaves_open_is_shown_as_it_is_in_force() {
        let settings = settings_of("[sessions]\nstorage = \"memory\"\nnode_id = \"here\"\n");
        assert_eq!(settings["sessions"]["storage"], "memory");
        assert_eq!(settings["sessions"]["node_id"], "here");
        assert_eq!(settings["metrics"]["storage"], "memory");
        assert_eq!(settings["metrics"]["retention_hours"], 24);
        assert!(!settings["sessions"].contains_key("database_url"));
    }

    #[test]
    fn no_secret_of_any_section_is_shown() {
        let text = "[auth]\n[[auth.users]]\nusername = \"alice\"\npassword = \"geheim\"\n\
                    [sessions.dashboard_auth]\nsession_secret = \"geheim\"\n\
                    [[sessions.dashboard_auth.users]]\nusername = \"a\"\npassword = \"geheim\"\n\
                    [[sessions.api_tokens]]\nname = \"ci\"\ntoken_hash = \"blake3:\
                    67656865696d67656865696d67656865696d67656865696d67656865696d3131\"\n\
                    [server.tls]\nkey_password = \"geheim\"\nphrase = \"geheim\"\n\
                    [auth.pam.a]\nb = [\"geheim\"]\n[qos]\nc = [{ d = \"geheim\" }]\n";
        let settings = settings_of(text);
        let shown = serde_json::to_string(&settings).unwrap();
        assert!(!shown.contains("67656865"), "{shown}");
        assert!(!shown.contains("geheim") && shown.contains("alice"), "{shown}");
        assert!(shown.contains(HIDDEN), "{shown}");
    }

    #[test]
    fn a_database_that_is_not_opened_is_shown_without_its_password() {
        for url in ["root:geheim/x", "mysql:root:geheim@db/x", "mysql://root:geheim/x"] {
            let text = format!("[sessions]\nenabled = false\ndatabase_url = \"{url}\"\n");
            let shown = serde_json::to_string(&settings_of(&text)).unwrap();
            assert!(!shown.contains("geheim"), "{shown}");
        }
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("mysql://root:ge@he/im@db:3306/x", "mysql://root:***@db:3306/x"),
            ("postgres://root@db/x?sslmode=require", "postgres://root@db/x?sslmode=require"),
            ("postgres://db/x?user=a&password=geheim", "postgres://db/x?***"),
            ("postgres://db/x?user=a&passwd=geheim", "postgres://db/x?***"),
            ("postgres://db/x?sslmode=require;password=geheim", "postgres://db/x?***"),
            ("postgres://[::1]:5432/x?sslmode=require", "postgres://[::1]:5432/x?sslmode=require"),
            ("mysql://root:geheim/x", "mysql://***"),
            ("mysql://db:3306/x;password=geheim", "mysql://***"),
            ("sqlite://data/sessions.db", "sqlite://data/sessions.db"),
            ("no url", "no url"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}

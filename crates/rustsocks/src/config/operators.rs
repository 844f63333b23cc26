//! The sections that say who may use the API: `[sessions.dashboard_auth]` and
//! `[[sessions.api_tokens]]`.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use rustsocks_access::UserName;
use rustsocks_access::operators::{Role, Settings, Token, TokenHash, TokenHashError, User};
use secrecy::SecretString;

use super::checks::{HOURS_MAX, Section, credential};
use super::fault::Fault;
use super::file;
use super::place::Source;

/// A secret shorter than this is no better than a password.
const SECRET_BYTES_MIN: usize = 16;

const LOGIN: &str = "sessions.dashboard_auth";
const USERS: &str = "sessions.dashboard_auth.users";
const TOKENS: &str = "sessions.api_tokens";

/// Who may use the API; none where no login is needed. Everything is checked, also what is
/// switched off.
pub(super) fn operators(
    form: &mut file::Sessions,
    source: &Source<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<Settings>, Fault> {
    let login = std::mem::take(&mut form.dashboard_auth);
    let section = Section::new(source, LOGIN);
    let hours = login.session_duration_hours;
    let hours = section.number("session_duration_hours", hours, 1..=HOURS_MAX)?;
    let users = users(login.users, source)?;
    let tokens = tokens(std::mem::take(&mut form.api_tokens), source)?;
    if login.altcha_enabled {
        warnings.push(format!(
            "{LOGIN}.altcha_enabled has no effect: failed logins are limited per source instead"
        ));
    }
    if !login.enabled {
        if !tokens.is_empty() {
            warnings.push(format!(
                "[[{TOKENS}]] has no effect while {LOGIN}.enabled is false: nobody needs a token"
            ));
        }
        return Ok(None);
    }
    if users.is_empty() && tokens.is_empty() {
        let remedy = format!("add [[{USERS}]] with username and password_hash, or [[{TOKENS}]]");
        let problem = "nobody could ever log in: there are no users and no tokens";
        return Err(section.fault("enabled", problem, remedy));
    }
    let plain = users.iter().filter(|user| user.credential.is_plaintext()).count();
    if plain > 0 {
        warnings.push(format!(
            "{plain} of {} dashboard users have a plain-text password in the file; replace \
             `password` by `password_hash`, made with `rustsocks hash-password`",
            users.len()
        ));
    }
    let secret = login.session_secret.map(|file::Secret(secret)| secret);
    if secret.as_ref().is_some_and(|secret| secret.len() < SECRET_BYTES_MIN) {
        warnings.push(format!(
            "{LOGIN}.session_secret has less than {SECRET_BYTES_MIN} bytes; remove it (a random \
             one is made then), or make it longer"
        ));
    }
    Ok(Some(Settings {
        users,
        tokens,
        secret: secret.map(SecretString::from),
        login_lasts: Duration::from_secs(hours * 3600),
    }))
}

/// The proxies in front of the API.
pub(super) fn trusted_proxies(
    form: &file::DashboardAuth,
    source: &Source<'_>,
) -> Result<Vec<IpNet>, Fault> {
    let net = |text: &String| {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| address()).map_err(|_| {
            let remedy = "write \"192.0.2.1\" or \"192.0.2.0/24\"";
            Section::new(source, LOGIN).fault("trusted_proxies", "not a list of networks", remedy)
        })
    };
    form.trusted_proxies.iter().map(net).collect()
}

fn users(forms: Vec<file::Operator>, source: &Source<'_>) -> Result<Vec<User>, Fault> {
    let mut users: Vec<User> = Vec::new();
    for (nth, form) in forms.into_iter().enumerate() {
        let section = Section::nth(source, USERS, nth);
        let role = role(&form.role, &section)?;
        let file::Operator { username, password, password_hash, .. } = form;
        let user = file::User { username, password, password_hash };
        let credential = credential(user, &section)?;
        if users.iter().any(|known| known.credential.user() == credential.user()) {
            let remedy = "keep one of them";
            return Err(section.fault("username", "the user is configured twice", remedy));
        }
        users.push(User { credential, role });
    }
    Ok(users)
}

fn tokens(forms: Vec<file::ApiToken>, source: &Source<'_>) -> Result<Vec<Token>, Fault> {
    let mut tokens: Vec<Token> = Vec::new();
    for (nth, form) in forms.into_iter().enumerate() {
        let section = Section::nth(source, TOKENS, nth);
        let role = role(&form.role, &section)?;
        let name = UserName::new(&form.name)
            .map_err(|error| section.fault("name", error.to_string(), "choose another name"))?;
        if tokens.iter().any(|known| known.name == name) {
            let problem = "the token is configured twice";
            return Err(section.fault("name", problem, "keep one of them"));
        }
        let hash: TokenHash = form.token_hash.trim().parse().map_err(|error: TokenHashError| {
            let remedy = "make a new one with `rustsocks new-token`, and write its hash here";
            section.fault("token_hash", error.to_string(), remedy)
        })?;
        tokens.push(Token { name, hash, role });
    }
    Ok(tokens)
}

fn role(text: &str, section: &Section<'_>) -> Result<Role, Fault> {
    section.word("role", text, &Role::ALL.map(|role| (role.name(), role)))
}

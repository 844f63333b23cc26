//! Operators as the API knows them: proofs, logins, roles, and what a reload ends.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HOUR: Duration = Duration::from_secs(3600);

fn user(name: &str, password: &str, role: Role) -> User {
    let credential = Credential::with_password(name, password.to_owned().into()).unwrap();
    User { credential, role }
}

fn token(name: &str, role: Role) -> (String, Token) {
    let (token, hash) = new_token().unwrap();
    let name = UserName::new(name).unwrap();
    (token.expose_secret().to_owned(), Token { name, hash, role })
}

fn operators(users: Vec<User>, tokens: Vec<Token>) -> Operators {
    let settings = Settings { users, tokens, secret: None, login_lasts: HOUR };
    Operators::new(settings).unwrap()
}

async fn granted(operators: &Operators, name: &str, password: &str) -> Operator {
    match operators.check_password(name, password, SOURCE).await {
        Outcome::Granted(operator) => operator,
        outcome => panic!("{outcome:?}"),
    }
}

/// Logs in and gives the login's id.
async fn log_in(operators: &Operators, name: &str, password: &str) -> String {
    let operator = granted(operators, name, password).await;
    let (id, known) = operators.log_in(&operator).unwrap().unwrap();
    assert_eq!((known.name(), known.role()), (operator.name(), operator.role()));
    id.expose_secret().to_owned()
}

#[tokio::test]
async fn a_login_is_known_by_its_id_alone_until_it_is_ended() {
    let operators = operators(vec![user("admin", "one", Role::Operate)], vec![]);
    let (id, other) =
        (log_in(&operators, "admin", "one").await, log_in(&operators, "admin", "one").await);
    assert_ne!(id, other, "each login has an id of its own");
    assert_eq!(id.len(), 64, "256 bits in hexadecimal digits");
    let operator = operators.by_login(&id).unwrap();
    assert_eq!(operator.name().as_str(), "admin");
    assert!(operators.holds(&operator) && !operator.is_program());
    for wrong in ["", "0", &id[1..], &id.to_uppercase()] {
        assert!(operators.by_login(wrong).is_none(), "{wrong}");
    }
    operators.log_out(&id);
    assert!(operators.by_login(&id).is_none() && !operators.holds(&operator));
    assert!(operators.by_login(&other).is_some(), "the other login goes on");
}

#[tokio::test(start_paused = true)]
async fn a_login_is_over_after_its_time_however_much_it_is_used() {
    let operators = operators(vec![user("admin", "one", Role::Operate)], vec![]);
    let id = log_in(&operators, "admin", "one").await;
    tokio::time::advance(HOUR - Duration::from_secs(1)).await;
    let operator = operators.by_login(&id).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(operators.by_login(&id).is_none() && !operators.holds(&operator));
}

#[tokio::test]
async fn one_login_too_many_ends_the_oldest_of_the_same_user() {
    let users = vec![user("admin", "one", Role::Operate), user("eve", "two", Role::Read)];
    let operators = operators(users, vec![]);
    let other = log_in(&operators, "eve", "two").await;
    let mut ids = Vec::new();
    for _ in 0..LOGINS_PER_USER + 3 {
        ids.push(log_in(&operators, "admin", "one").await);
    }
    let open = |id: &String| operators.by_login(id).is_some();
    assert_eq!(ids.iter().filter(|id| open(id)).count(), LOGINS_PER_USER);
    assert!(!ids[..3].iter().any(open) && ids[3..].iter().all(open) && open(&other));
}

#[tokio::test]
async fn a_page_proves_itself_by_the_token_of_its_own_login() {
    let operators = operators(vec![user("admin", "one", Role::Operate)], vec![]);
    let (one, two) =
        (log_in(&operators, "admin", "one").await, log_in(&operators, "admin", "one").await);
    let (one, two) = (operators.by_login(&one).unwrap(), operators.by_login(&two).unwrap());
    let csrf =
        |operator: &Operator| operator.login().unwrap().csrf_token().expose_secret().to_owned();
    assert!(one.login().unwrap().is_csrf_token(&csrf(&one)));
    assert!(!one.login().unwrap().is_csrf_token(&csrf(&two)));
    assert!(!one.login().unwrap().is_csrf_token(""));
}

#[tokio::test]
async fn tokens_are_known_by_their_hash_and_carry_a_name_and_a_role() {
    let ((one, ci), (two, grafana)) = (token("ci", Role::Operate), token("grafana", Role::Read));
    let operators = operators(vec![], vec![ci.clone(), grafana]);
    let ask = |text: &str| operators.check_token(text, SOURCE);
    let Outcome::Granted(operator) = ask(&two) else { panic!("denied") };
    assert_eq!((operator.name().as_str(), operator.role()), ("grafana", Role::Read));
    assert!(operator.is_program() && operator.login().is_none() && operators.holds(&operator));
    assert!(operators.log_in(&operator).unwrap().is_none(), "a program has no logins");
    for wrong in ["", "rst_", &one[..one.len() - 1], &ci.hash.to_string()] {
        assert!(matches!(ask(wrong), Outcome::Denied), "{wrong}");
    }
    operators.replace(vec![], vec![ci]).unwrap();
    assert!(!operators.holds(&operator));
}

#[tokio::test]
async fn failures_of_passwords_and_tokens_count_together_and_spare_what_cannot_be_guessed() {
    let (right, ci) = token("ci", Role::Read);
    let operators = operators(vec![user("admin", "one", Role::Operate)], vec![ci]);
    let id = log_in(&operators, "admin", "one").await;
    for number in 0..FAILURES.burst {
        let outcome = match number % 2 {
            0 => operators.check_token("rst_wrong", SOURCE),
            _ => operators.check_password("admin", "wrong", SOURCE).await,
        };
        assert!(matches!(outcome, Outcome::Denied), "{number}: {outcome:?}");
    }
    let throttled = |outcome: Outcome| match outcome {
        Outcome::Throttled { retry_after } => {
            assert!(!retry_after.is_zero() && retry_after <= FAILURES.refill);
        }
        outcome => panic!("{outcome:?}"),
    };
    throttled(operators.check_token("rst_wrong", SOURCE));
    throttled(operators.check_password("admin", "one", SOURCE).await);
    throttled(operators.count_failure(SOURCE));
    assert!(matches!(operators.check_token(&right, SOURCE), Outcome::Granted(_)));
    assert!(operators.by_login(&id).is_some());
    let elsewhere = "192.0.2.1".parse().unwrap();
    let outcome = operators.check_password("admin", "one", elsewhere).await;
    assert!(matches!(outcome, Outcome::Granted(_)), "{outcome:?}");
}

#[tokio::test]
async fn another_password_ends_the_logins_and_another_role_is_the_role_at_once() {
    let both = |password: &str, role| {
        vec![user("admin", password, role), user("eve", "two", Role::Operate)]
    };
    let operators = operators(both("one", Role::Operate), vec![]);
    let admin = log_in(&operators, "admin", "one").await;
    let eve = log_in(&operators, "eve", "two").await;
    operators.replace(both("one", Role::Read), vec![]).unwrap();
    assert_eq!(operators.by_login(&admin).unwrap().role(), Role::Read);
    operators.replace(both("other", Role::Read), vec![]).unwrap();
    assert!(operators.by_login(&admin).is_none());
    assert!(operators.by_login(&eve).is_some());
    operators.replace(vec![], vec![]).unwrap();
    assert!(operators.by_login(&eve).is_none());
}

#[tokio::test]
async fn nothing_secret_is_in_debug_output() {
    let (text, ci) = token("ci", Role::Read);
    let settings = Settings {
        users: vec![user("admin", "hunter2", Role::Operate)],
        tokens: vec![ci],
        secret: Some("sesame".to_owned().into()),
        login_lasts: HOUR,
    };
    let mut shown = format!("{settings:?}");
    let hash = settings.tokens[0].hash.to_string();
    let operators = Operators::new(settings).unwrap();
    let operator = granted(&operators, "admin", "hunter2").await;
    let (id, known) = operators.log_in(&operator).unwrap().unwrap();
    let by_token = operators.check_token(&text, SOURCE);
    shown += &format!("{operators:?} {operator:?} {id:?} {known:?} {by_token:?}");
    let id = id.expose_secret();
    let csrf = known.login().unwrap().csrf_token().expose_secret();
    for secret in ["hunter2", "sesame", &text, id, csrf, &hash["blake3:".len()..]] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_hash_reads_back_and_a_token_in_its_place_is_recognised() {
    let (token, hash) = new_token().unwrap();
    let read: TokenHash = hash.to_string().parse().unwrap();
    assert!(read.fits(&TokenHash::of(token.expose_secret())));
    let parse = |text: &str| text.parse::<TokenHash>().unwrap_err();
    assert_eq!(parse(token.expose_secret()), TokenHashError::Token);
    for wrong in ["", "blake3:", "blake3:12", "sha256:00", &"0".repeat(64)] {
        assert_eq!(parse(wrong), TokenHashError::Form, "{wrong}");
    }
}

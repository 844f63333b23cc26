//! What checking a password promises, counted in hash runs rather than in seconds.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::*;

/// The cheapest hash that Argon2 allows: these tests count runs, not their cost.
fn cheap_hash(password: &str) -> String {
    let params = Params::new(8, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = argon2.hash_password(password.as_bytes()).unwrap();
    hash.to_string()
}

fn hashed(user: &str, password: &str) -> Credential {
    Credential::with_hash(user, &cheap_hash(password)).unwrap()
}

fn plain(user: &str, password: &str) -> Credential {
    Credential::with_password(user, password.to_owned().into()).unwrap()
}

fn patient(users: Vec<Credential>) -> Authenticator {
    let limits = ThrottleLimits { burst: 100_000, refill: Duration::from_secs(1) };
    Authenticator::with_limits(users, limits).unwrap()
}

fn source(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

async fn check(users: &Authenticator, name: &str, password: &str) -> AuthOutcome {
    users.check(name.as_bytes(), password.as_bytes(), source(1)).await
}

fn granted(name: &str) -> AuthOutcome {
    AuthOutcome::Granted(UserName::new(name).unwrap())
}

#[tokio::test]
async fn only_the_right_password_of_the_right_user_is_granted() {
    let users = patient(vec![hashed("alice", "one"), plain("bob", "two")]);
    for (name, password, outcome) in [
        ("alice", "one", granted("alice")),
        ("bob", "two", granted("bob")),
        ("alice", "two", AuthOutcome::Denied),
        ("bob", "one", AuthOutcome::Denied),
        ("alice", "", AuthOutcome::Denied),
        ("alice", "one\0", AuthOutcome::Denied),
        ("Alice", "one", AuthOutcome::Denied),
        ("", "one", AuthOutcome::Denied),
        ("", "", AuthOutcome::Denied),
        ("carol", "one", AuthOutcome::Denied),
    ] {
        // Twice: what was verified once must not change the answer.
        assert_eq!(check(&users, name, password).await, outcome, "{name} {password}");
        assert_eq!(check(&users, name, password).await, outcome, "{name} {password}");
    }
}

#[tokio::test]
async fn a_name_that_is_no_text_is_denied_and_not_a_panic() {
    let users = patient(vec![plain("alice", "one")]);
    assert_eq!(users.check(b"\xff\xfe", b"one", source(1)).await, AuthOutcome::Denied);
    assert_eq!(users.check(b"alice", b"\xff", source(1)).await, AuthOutcome::Denied);
}

#[tokio::test]
async fn where_the_name_ends_and_the_password_begins_makes_a_difference() {
    let users = patient(vec![plain("ab", "c"), hashed("x", "yz")]);
    assert_eq!(check(&users, "a", "bc").await, AuthOutcome::Denied);
    assert_eq!(check(&users, "x", "yz").await, granted("x"));
    assert_eq!(check(&users, "xy", "z").await, AuthOutcome::Denied);
}

#[tokio::test]
async fn a_thousand_checks_of_one_password_cost_one_hash() {
    let users = patient(vec![hashed("alice", "one")]);
    for _ in 0..1_000 {
        assert_eq!(check(&users, "alice", "one").await, granted("alice"));
    }
    assert_eq!(users.hash_runs(), 1);
}

/// Runs many equal checks that all begin together, and tells their outcomes.
async fn at_once(
    users: &Authenticator,
    count: usize,
    name: &str,
    password: &str,
) -> Vec<AuthOutcome> {
    let start = Arc::new(Barrier::new(count));
    let mut checks = JoinSet::new();
    for _ in 0..count {
        let (users, start) = (users.clone(), Arc::clone(&start));
        let (name, password) = (name.to_owned(), password.to_owned());
        checks.spawn(async move {
            start.wait().await;
            check(&users, &name, &password).await
        });
    }
    checks.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_equal_checks_at_once_cost_one_hash() {
    let users = patient(vec![hashed("alice", "one")]);
    let outcomes = at_once(&users, 1_000, "alice", "one").await;
    assert!(outcomes.iter().all(|outcome| *outcome == granted("alice")));
    assert_eq!(users.hash_runs(), 1);
    assert_eq!(users.checks_in_flight(), 0);
}

#[tokio::test]
async fn equal_wrong_checks_at_once_cost_one_hash_and_count_one_by_one() {
    let limits = ThrottleLimits { burst: 50, refill: Duration::from_secs(3600) };
    let users = Authenticator::with_limits(vec![hashed("alice", "one")], limits).unwrap();
    let busy = users.occupy_cores();
    let mut checks: Vec<_> = (0..50).map(|_| Box::pin(check(&users, "alice", "two"))).collect();
    assert_all_wait(&mut checks).await;
    drop(busy);
    let mut outcomes = Vec::new();
    for check in checks {
        outcomes.push(check.await);
    }
    assert!(outcomes.iter().all(|outcome| *outcome == AuthOutcome::Denied));
    assert_eq!(users.hash_runs(), 1);
    assert_eq!(check(&users, "alice", "one").await, AuthOutcome::Throttled);
}

#[tokio::test]
async fn a_wrong_password_is_not_remembered() {
    let users = patient(vec![hashed("alice", "one")]);
    for runs in 1..=3 {
        assert_eq!(check(&users, "alice", "two").await, AuthOutcome::Denied);
        assert_eq!(users.hash_runs(), runs);
    }
}

#[tokio::test]
async fn every_refusal_costs_one_hash_whoever_is_named() {
    let users = patient(vec![hashed("alice", "one"), hashed("carol", "x"), plain("bob", "two")]);
    let mut runs = 0;
    for name in ["alice", "carol", "bob", "nobody", "", "another stranger"] {
        assert_eq!(check(&users, name, "wrong").await, AuthOutcome::Denied);
        runs += 1;
        assert_eq!(users.hash_runs(), runs, "{name}");
    }
}

#[tokio::test]
async fn plaintext_users_alone_never_cost_a_hash() {
    let users = patient(vec![plain("bob", "two")]);
    assert_eq!(check(&users, "bob", "two").await, granted("bob"));
    assert_eq!(check(&users, "bob", "wrong").await, AuthOutcome::Denied);
    assert_eq!(check(&users, "nobody", "two").await, AuthOutcome::Denied);
    assert_eq!(users.hash_runs(), 0);
    assert!(users.has_plaintext());
    assert!(!patient(vec![hashed("alice", "one")]).has_plaintext());
}

#[tokio::test]
async fn a_decoy_lets_nobody_in_even_with_the_password_it_belongs_to() {
    let users = patient(vec![hashed("alice", "one"), plain("bob", "two")]);
    for name in ["nobody", "bob", "", "someone"] {
        assert_eq!(check(&users, name, "one").await, AuthOutcome::Denied, "{name}");
        assert_eq!(check(&users, name, "one").await, AuthOutcome::Denied, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_with_too_many_failures_is_not_heard_until_time_has_passed() {
    let limits = ThrottleLimits { burst: 3, refill: Duration::from_secs(10) };
    let users = vec![hashed("alice", "one"), plain("bob", "two")];
    let users = Authenticator::with_limits(users, limits).unwrap();
    assert_eq!(check(&users, "alice", "one").await, granted("alice"));
    for name in ["alice", "bob", "nobody"] {
        assert_eq!(check(&users, name, "wrong").await, AuthOutcome::Denied);
    }
    // Remembered, plaintext or wrong: the answer tells nothing.
    for (name, password) in [("alice", "one"), ("bob", "two"), ("alice", "wrong")] {
        assert_eq!(check(&users, name, password).await, AuthOutcome::Throttled);
    }
    assert_eq!(users.check(b"alice", b"one", source(2)).await, granted("alice"));
    assert_eq!(users.hash_runs(), 4);

    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(check(&users, "alice", "one").await, granted("alice"));
    assert_eq!(check(&users, "alice", "wrong").await, AuthOutcome::Denied);
    assert_eq!(check(&users, "alice", "one").await, AuthOutcome::Throttled);
}

#[tokio::test]
async fn right_passwords_are_never_throttled() {
    let limits = ThrottleLimits { burst: 1, refill: Duration::from_secs(3600) };
    let users = vec![hashed("alice", "one"), plain("bob", "two")];
    let users = Authenticator::with_limits(users, limits).unwrap();
    for _ in 0..100 {
        assert_eq!(check(&users, "alice", "one").await, granted("alice"));
        assert_eq!(check(&users, "bob", "two").await, granted("bob"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn guesses_sent_all_at_once_run_hardly_more_than_the_burst() {
    let limits = ThrottleLimits { burst: 5, refill: Duration::from_secs(3600) };
    let users = Authenticator::with_limits(vec![hashed("alice", "one")], limits).unwrap();
    let mut guesses = JoinSet::new();
    for guess in 0..1_000 {
        let users = users.clone();
        guesses.spawn(async move { check(&users, "alice", &format!("guess {guess}")).await });
    }
    let outcomes = guesses.join_all().await;
    let denied = outcomes.iter().filter(|outcome| **outcome == AuthOutcome::Denied).count();
    let throttled = outcomes.iter().filter(|outcome| **outcome == AuthOutcome::Throttled).count();
    assert_eq!(denied + throttled, 1_000);
    assert_eq!(users.hash_runs(), denied as u64);
    // The failure is counted after the core is free again, so each worker may slip in once more.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(denied <= 5 + 2 * cores.max(4), "{denied} guesses were heard");
    assert_eq!(users.checks_in_flight(), 0);
}

#[tokio::test]
async fn a_line_of_waiting_checks_that_is_too_long_is_cut_at_its_end() {
    let users = patient(vec![hashed("alice", "one")]);
    let busy = users.occupy_cores();
    let guesses: Vec<String> = (0..256).map(|guess| format!("guess {guess}")).collect();
    let wait = |guess| Box::pin(check(&users, "alice", guess));
    let mut waiting: Vec<_> = guesses.iter().map(|guess| wait(guess)).collect();
    assert_all_wait(&mut waiting).await;
    assert_eq!(check(&users, "alice", "one").await, AuthOutcome::Throttled);
    waiting.pop();
    let mut last = vec![wait("one")];
    assert_all_wait(&mut last).await;
    drop((waiting, busy));
    assert_eq!(last.remove(0).await, granted("alice"));
}

#[tokio::test]
async fn new_users_are_in_force_at_once_and_nothing_old_is_remembered() {
    let users = patient(vec![hashed("alice", "one"), plain("bob", "two")]);
    assert_eq!(check(&users, "alice", "one").await, granted("alice"));
    users.replace(vec![hashed("alice", "new")]).unwrap();
    assert_eq!(check(&users, "alice", "one").await, AuthOutcome::Denied);
    assert_eq!(check(&users, "bob", "two").await, AuthOutcome::Denied);
    assert_eq!(check(&users, "alice", "new").await, granted("alice"));
    assert_eq!(users.user_count(), 1);
}

#[tokio::test]
async fn two_users_of_one_name_are_refused_and_the_old_ones_stay() {
    let users = patient(vec![plain("alice", "one")]);
    let twice = vec![plain("bob", "one"), hashed("bob", "two")];
    assert!(
        matches!(users.replace(twice), Err(AuthError::Duplicate(name)) if name.as_str() == "bob")
    );
    assert_eq!(check(&users, "alice", "one").await, granted("alice"));
}

#[tokio::test]
async fn a_client_that_hangs_up_takes_no_other_with_it_and_leaves_nothing_behind() {
    let users = patient(vec![hashed("alice", "one")]);
    let busy = users.occupy_cores();
    let mut checks: Vec<_> = (0..3).map(|_| Box::pin(check(&users, "alice", "one"))).collect();
    assert_all_wait(&mut checks).await;
    assert_eq!(users.checks_in_flight(), 1);
    let leader = checks.remove(0);
    drop(leader);
    assert_all_wait(&mut checks).await;
    drop(busy);
    for follower in checks {
        assert_eq!(follower.await, granted("alice"));
    }
    assert_eq!((users.hash_runs(), users.checks_in_flight()), (1, 0));

    let busy = users.occupy_cores();
    let mut alone = vec![Box::pin(check(&users, "alice", "two"))];
    assert_all_wait(&mut alone).await;
    drop(alone);
    assert_eq!(users.checks_in_flight(), 0);
    drop(busy);
    assert_eq!(check(&users, "alice", "two").await, AuthOutcome::Denied);
}

/// Polls each check once, in order, and sees that none can be done yet.
async fn assert_all_wait<F: Future<Output = AuthOutcome>>(checks: &mut [Pin<Box<F>>]) {
    // Without Tokio's budget, which would turn the later ones away before they have begun.
    tokio::task::unconstrained(std::future::poll_fn(|context| {
        assert!(checks.iter_mut().all(|check| check.as_mut().poll(context).is_pending()));
        Poll::Ready(())
    }))
    .await;
}

#[test]
fn debug_output_tells_of_no_user() {
    let users = patient(vec![plain("alice", "hunter2")]);
    let shown = format!("{:?}", Method::UserPass(users));
    assert!(!shown.contains("alice") && !shown.contains("hunter2"), "{shown}");
}

//! The two cheap ways through a password check (plaintext, and verified before), and Argon2id.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use rustsocks_access::auth::{Authenticator, Credential, hash_password};

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn check(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let hash = hash_password(&"one".to_owned().into()).expect("a hash");
    let users = Authenticator::new(vec![
        Credential::with_hash("alice", &hash).expect("a sound hash"),
        Credential::with_password("bob", "two".to_owned().into()).expect("a sound password"),
    ])
    .expect("two users");
    let mut group = criterion.benchmark_group("auth");
    for (name, user, password) in [("verified before", "alice", "one"), ("plaintext", "bob", "two")]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let check = users.check(black_box(user.as_bytes()), password.as_bytes(), SOURCE);
                runtime.block_on(check)
            });
        });
    }
    group.sample_size(10);
    group.bench_function("argon2id", |bencher| {
        bencher.iter(|| hash_password(black_box(&"one".to_owned().into())));
    });
    group.finish();
}

criterion_group!(benches, check);
criterion_main!(benches);

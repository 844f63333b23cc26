//! A judgement among 100 users of 50 rules each: to stay under 1 µs.

use std::hint::black_box;
use std::net::IpAddr;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use rustsocks_access::acl::{Question, Rules};
use rustsocks_proto::{Host, HostName, Protocol};

/// Rules as people write them: single names, sub-domains, patterns, networks; one in five blocks.
fn file() -> String {
    let mut text = String::from("[global]\ndefault_policy = \"block\"\n");
    for user in 0..100 {
        text.push_str(&format!("[[users]]\nusername = \"user{user}\"\n"));
        for rule in 0..50 {
            let action = if rule % 5 == 0 { "block" } else { "allow" };
            text.push_str(&format!(
                "[[users.rules]]\naction = \"{action}\"\ndescription = \"Rule {rule}\"\n\
                 destinations = [\"host{rule}.example.com\", \"*.zone{rule}.example.com\", \
                 \"10.{rule}.0.0/16\", \"2001:db8:{rule}::/48\"{pattern}]\n\
                 ports = [\"80\", \"443\", \"8000-9000\"]\npriority = {rule}\n",
                pattern = if rule % 10 == 0 {
                    format!(", \"api.*.zone{rule}.example.org\"")
                } else {
                    String::new()
                },
            ));
        }
    }
    text
}

fn host(text: &str) -> Host {
    match text.parse::<IpAddr>() {
        Ok(address) => Host::Ip(address),
        Err(_) => Host::Name(HostName::new(text).expect("a host name")),
    }
}

fn judge(criterion: &mut Criterion) {
    let text = file();
    let rules = Rules::parse(&text, Path::new("acl.toml")).expect("the rules are sound");
    let mut group = criterion.benchmark_group("acl");
    for (name, target) in [
        ("name, last rule", "host1.example.com"),
        ("name below", "a.b.zone33.example.com"),
        ("name, pattern", "api.eu.zone40.example.org"),
        ("name, no rule", "www.somewhere.else.example.net"),
        ("ipv4", "10.33.4.5"),
        ("ipv4, no rule", "192.0.2.1"),
        ("ipv6", "2001:db8:33::1"),
    ] {
        let host = host(target);
        let question =
            Question { user: "user57", host: &host, port: 8443, protocol: Protocol::Tcp };
        group.bench_function(name, |bencher| bencher.iter(|| rules.judge(black_box(&question))));
    }
    let host = host("a.b.zone33.example.com");
    let question = Question { user: "user57", host: &host, port: 8443, protocol: Protocol::Tcp };
    let address: IpAddr = "10.34.0.1".parse().expect("an address");
    group.bench_function("name and resolved address", |bencher| {
        bencher.iter(|| rules.judge_resolved(black_box(&question), black_box(address)));
    });
    group.finish();
    let mut group = criterion.benchmark_group("acl");
    group.sample_size(10);
    group.bench_function("load 5000 rules", |bencher| {
        bencher.iter(|| Rules::parse(black_box(&text), Path::new("acl.toml")));
    });
    group.finish();
}

criterion_group!(benches, judge);
criterion_main!(benches);

//! Who may do what: who a client is ([`auth`]), which targets it may reach ([`acl`]), and who may
//! look at the sessions or end them ([`operators`]).
//!
//! Policy only. A verdict is a function of facts (a name, a password, a source address, a host, a
//! port); no client's stream is ever read here, nothing is resolved and nothing is connected.
//!
//! ```
//! use std::net::IpAddr;
//! use std::path::Path;
//!
//! use rustsocks_access::acl::{Judgement, Question, Rules};
//! use rustsocks_proto::{Host, HostName, Protocol};
//!
//! let rules = Rules::parse(
//!     r#"
//!     [global]
//!     default_policy = "block"
//!
//!     [[users]]
//!     username = "alice"
//!
//!     [[users.rules]]
//!     action = "allow"
//!     description = "The site and all below it"
//!     destinations = ["example.com", "*.example.com"]
//!     ports = ["80", "443"]
//!
//!     [[users.rules]]
//!     action = "block"
//!     description = "Nothing on the inside"
//!     destinations = ["10.0.0.0/8"]
//!     ports = ["*"]
//!     "#,
//!     Path::new("acl.toml"),
//! )?;
//!
//! // First the name, before it is resolved ...
//! let host = Host::Name(HostName::new("www.example.com")?);
//! let question = Question { user: "alice", host: &host, port: 443, protocol: Protocol::Tcp };
//! assert!(matches!(rules.judge(&question), Judgement::Allow(_)));
//!
//! // ... then each address it resolves to: DNS cannot carry a client past a CIDR rule.
//! let address: IpAddr = "10.0.0.1".parse()?;
//! let verdict = rules.judge_resolved(&question, address);
//! assert!(!verdict.is_allow());
//! assert_eq!(verdict.rule.unwrap().as_str(), "Nothing on the inside");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Under concurrency
//! [`acl::Acl`] and [`auth::Authenticator`] are handles, cheap to clone. Judging takes no lock: it
//! reads a snapshot that a reload replaces whole, so no answer ever mixes old rules with new ones.
//! Password checks take a short lock only where equal ones are to be run as one.
//!
//! # Speed
//! `cargo bench -p rustsocks-access` measures a judgement among 100 users of 50 rules each, which
//! is to stay under a microsecond, and the two cheap ways through a password check.

pub mod acl;
pub mod auth;
pub mod operators;
mod user;

pub use user::{UserName, UserNameError};

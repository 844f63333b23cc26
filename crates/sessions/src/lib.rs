//! The heart of RustSocks: sessions, from the understood request to the durable record.
//!
//! A [`Table`] owns every session that is live or whose final state is not yet durable. Opening
//! one gives an [`OpenSession`]; dropping that guard ends the session exactly once, whatever
//! way the task that held it came to its end. The [`Outbox`] names the sessions whose newest
//! state is not in the store yet; a recorder takes batches from it.
//!
//! No SQL, no HTTP and no sockets here, so that all of it can be tested alone.
//!
//! ```
//! use rustsocks_proto::{Command, Host, Target};
//! use rustsocks_sessions::{AclOutcome, Clock, CloseReason, Identity, Opening, Rules, Table};
//!
//! let table = Table::new(Clock::system(), "node-1".into(), Rules::default());
//! let session = table.open(Opening {
//!     identity: Identity::Anonymous("anonymous".into()),
//!     source: "127.0.0.1:4000".parse().unwrap(),
//!     target: Some(Target { host: Host::Ip("192.0.2.1".parse().unwrap()), port: 80 }),
//!     command: Some(Command::Connect),
//!     acl: AclOutcome::Off,
//! });
//! session.relaying();
//! session.count_sent(5);
//! let id = session.id();
//! session.finish(CloseReason::ClientClosed, None);
//!
//! let batch = table.outbox().take(100);
//! assert_eq!(batch[0].id(), id);
//! assert_eq!(batch[0].snapshot().bytes_sent, 5);
//! ```
//!
//! # Concurrency
//! Counters are atomics that the session's own task writes and anybody reads. No lock is held
//! while bytes move. Every number of a closed session is final once its ending is set.

pub mod clock;
pub mod ending;
pub mod id;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod outbox;
pub mod place;
pub mod record;
pub mod session;
pub mod table;
pub mod tally;
pub mod traffic;

pub use clock::{Clock, Moment};
pub use ending::{CloseReason, Ending, Status};
pub use id::SessionId;
pub use outbox::{Jotting, Outbox};
pub use place::JournalPlace;
pub use record::Record;
pub use session::{
    AclOutcome, Identity, OpenSession, Opening, Session, StopWatch, Told, UserName, Wire,
};
pub use table::{Rules, Table};
pub use tally::Tally;
pub use traffic::{Lane, Traffic};

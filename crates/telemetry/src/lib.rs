//! What operators see of the process: the ring of operator events, the metrics page, the log.
//!
//! Facts are counted where they happen, in the crate that owns them; here they are gathered
//! and written out.

pub mod events;
pub mod histogram;
pub mod logging;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "metrics")]
mod process;
pub mod resources;

pub use events::{Category, Event, Events, Occurrence, Query, Severity};
pub use histogram::Histogram;
pub use resources::Resources;

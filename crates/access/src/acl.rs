//! Access rules: which user may reach which target.
//!
//! A judgement is a function of facts (user, host, port, transport, address); nothing here opens,
//! resolves or closes anything.
//!
//! # The order of things
//! 1. A request is judged by the name it asks for: [`Acl::judge`]. A blocked name is never
//!    resolved, so nothing leaks to a name server.
//! 2. Each address that the name resolves to is judged again, together with the name:
//!    [`Acl::judge_resolved`]. Only addresses that pass are connected, so DNS cannot carry a
//!    client past a CIDR rule.
//! 3. When the rules change, sessions are judged again: [`Acl::permits`].
//!
//! Among all rules that match, by name or by address, any block rule comes before any allow rule,
//! then the higher priority. From this follows what happens where names and addresses meet:
//!
//! | the name is | the address is | verdict |
//! |---|---|---|
//! | blocked by a rule | any | block, unresolved |
//! | allowed by a rule | blocked by a rule | block |
//! | allowed by a rule | in no rule | allow, even if the default is to block |
//! | in no rule | allowed by a rule | allow: the client could have asked for the address itself |
//! | in no rule | in no rule | the default policy |
//!
//! A rule that allows a name thus trusts whoever answers for that name. Block rules for private
//! ranges keep such an answer from pointing inwards.

mod destination;
mod entry;
mod explain;
mod fault;
mod file;
mod index;
mod live;
#[cfg(test)]
mod naive;
mod ports;
mod rule;
mod rules;
mod verdict;
mod watch;

pub use destination::{Destination, DestinationError, Pattern};
pub use explain::{Explanation, Matched};
pub use fault::{AclError, Fault};
pub use live::{Acl, ReloadReport};
pub use ports::{Ports, PortsError, Protocols};
pub use rule::{MatchedBy, Rule};
pub use rules::{GroupRules, Rules, UserRules};
pub use verdict::{Decision, Judgement, Question, Resolved, RuleName, Verdict};
pub use watch::AclWatch;

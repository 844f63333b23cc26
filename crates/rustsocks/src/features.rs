//! Which Cargo features are compiled in, as values for the configuration to look at.

/// SQLite.
pub(crate) const DATABASE: bool = cfg!(feature = "database");
/// MariaDB and MySQL.
pub(crate) const MYSQL: bool = cfg!(feature = "mysql");
/// PostgreSQL.
pub(crate) const POSTGRES: bool = cfg!(feature = "postgres");
/// The metrics page.
pub(crate) const METRICS: bool = cfg!(feature = "metrics");
/// The API browser.
pub(crate) const API_DOCS: bool = cfg!(feature = "api-docs");
/// The dashboard.
pub(crate) const DASHBOARD: bool = cfg!(feature = "dashboard");

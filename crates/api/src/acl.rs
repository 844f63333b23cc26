//! The access rules: showing, testing and reloading them.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use rustsocks_access::acl::{AclError, Explanation, Question, ReloadReport, Rule};
use rustsocks_proto::{Host, HostName, Protocol};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Api;
use crate::params::{optional, protocol};
use crate::problem::{self, Problem};

/// Reads the access rules' file again, and tells operators how that went. Cheap to clone.
#[derive(Clone)]
pub struct Reload(Arc<dyn Fn() -> Result<ReloadReport, AclError> + Send + Sync>);

impl Reload {
    /// One that calls `reload`, which may wait for the disk.
    pub fn new(
        reload: impl Fn() -> Result<ReloadReport, AclError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(reload))
    }
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reload")
    }
}

/// One access rule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RuleView {
    /// Its description, or its place in the file.
    #[schema(example = "Development servers")]
    name: String,
    /// `allow` or `block`.
    #[schema(example = "allow")]
    action: String,
    /// Addresses, networks and names.
    #[schema(example = json!(["*.dev.example.com", "10.0.0.0/8"]))]
    destinations: Vec<String>,
    /// Ports.
    #[schema(example = "22,80,443,8000-9000")]
    ports: String,
    /// `tcp`, `udp` or `both`.
    #[schema(example = "both")]
    protocols: String,
    /// The larger one decides among rules of the same action.
    #[schema(example = 50)]
    priority: i64,
    /// Its line in the file.
    #[schema(example = 31)]
    line: usize,
}

impl From<&Rule> for RuleView {
    fn from(rule: &Rule) -> Self {
        Self {
            name: rule.name.to_string(),
            action: rule.action.name().to_owned(),
            destinations: rule.destinations.iter().map(ToString::to_string).collect(),
            ports: rule.ports.to_string(),
            protocols: rule.protocols.name().to_owned(),
            priority: i64::from(rule.priority),
            line: rule.line,
        }
    }
}

/// A user's own rules and groups.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserView {
    /// The user's name.
    #[schema(example = "alice")]
    username: String,
    /// Groups whose rules apply as well.
    groups: Vec<String>,
    /// The user's own rules.
    rules: Vec<RuleView>,
}

/// A group's rules.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupView {
    /// The group's name.
    #[schema(example = "developers")]
    name: String,
    /// Its rules.
    rules: Vec<RuleView>,
}

/// The access rules in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RulesView {
    /// Whether rules are in force at all; everything is allowed where not.
    enabled: bool,
    /// How often they have changed since the start.
    #[schema(example = 3)]
    generation: u64,
    /// What happens where no rule matches: `allow` or `block`; null where the rules are off.
    #[schema(example = "block")]
    default_policy: Option<String>,
    /// Users in the file.
    users: Vec<UserView>,
    /// Groups in the file.
    groups: Vec<GroupView>,
}

/// The access rules in force.
#[utoipa::path(
    get, path = "/api/acl/rules", tag = "acl",
    responses((status = 200, description = "The rules", body = RulesView))
)]
pub(crate) async fn rules(State(api): State<Api>) -> Json<RulesView> {
    let generation = api.acl.generation();
    let Some(rules) = api.acl.current() else {
        let (users, groups) = (Vec::new(), Vec::new());
        return Json(RulesView { enabled: false, generation, default_policy: None, users, groups });
    };
    let views = |rules: &[Arc<Rule>]| rules.iter().map(|rule| RuleView::from(&**rule)).collect();
    let users = rules.users().iter().map(|user| UserView {
        username: user.name.to_string(),
        groups: user.groups.iter().map(ToString::to_string).collect(),
        rules: views(&user.rules),
    });
    let groups = rules
        .groups()
        .iter()
        .map(|group| GroupView { name: group.name.to_string(), rules: views(&group.rules) });
    Json(RulesView {
        enabled: true,
        generation,
        default_policy: Some(rules.default_policy().name().to_owned()),
        users: users.collect(),
        groups: groups.collect(),
    })
}

/// A question to the access rules.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestBody {
    /// The user; the anonymous one where it is left out.
    #[schema(example = "alice")]
    user: Option<String>,
    /// A name or an address.
    #[schema(example = "admin.example.com")]
    dest: String,
    /// The address that the name resolves to, where rules for addresses are to be asked as well.
    /// The `close_detail` of a session that was refused for its address ends with it.
    #[schema(example = "192.0.2.1")]
    address: Option<String>,
    /// The port.
    #[schema(example = 443, maximum = 65535)]
    port: u16,
    /// `tcp` (the default) or `udp`.
    #[schema(example = "tcp")]
    protocol: Option<String>,
}

/// What the access rules answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestView {
    /// `allow`, `block`, or `needs_address` where the address that a name resolves to decides.
    #[schema(example = "block")]
    decision: String,
    /// The rule that decides, or `default policy`; null where the rules are off.
    #[schema(example = "Not the admin panel")]
    rule: Option<String>,
    /// The whole story for a person.
    explanation: String,
    /// Every rule that matches, the deciding one first.
    matches: Vec<RuleView>,
}

/// Asks the access rules about a destination, without connecting to it.
#[utoipa::path(
    post, path = "/api/acl/test", tag = "acl", request_body = TestBody,
    responses(
        (status = 200, description = "What the rules say", body = TestView),
        (status = 400, description = "The body is wrong", body = Problem),
        (status = 413, description = "The body is larger than 1 MB", body = Problem),
    )
)]
pub(crate) async fn test(State(api): State<Api>, body: Bytes) -> Result<Json<TestView>, Problem> {
    if body.is_empty() {
        return Err(Problem::bad_request("body: dest and port are needed"));
    }
    let asked: TestBody = problem::body(&body)?;
    let anonymous = api.acl.anonymous_user().as_str();
    let user = asked.user.as_deref().unwrap_or(anonymous);
    let host = match asked.dest.parse() {
        Ok(ip) => Host::Ip(ip),
        Err(_) => Host::Name(
            HostName::new(&asked.dest)
                .map_err(|error| Problem::bad_request(format!("dest: {error}")))?,
        ),
    };
    let protocol =
        optional("protocol", asked.protocol.as_deref(), protocol)?.unwrap_or(Protocol::Tcp);
    let address = optional("address", asked.address.as_deref(), |text| text.parse().ok())?;
    if address.is_some() && matches!(host, Host::Ip(_)) {
        return Err(Problem::bad_request("address: dest is an address already"));
    }
    let question = Question { user, host: &host, port: asked.port, protocol };
    let view = match api.acl.explain(&question, address) {
        Some(explanation) => explained(&explanation),
        None => TestView {
            decision: "allow".to_owned(),
            rule: None,
            explanation: "the access rules are switched off".to_owned(),
            matches: Vec::new(),
        },
    };
    Ok(Json(view))
}

fn explained(explanation: &Explanation) -> TestView {
    let verdict = explanation.verdict();
    TestView {
        decision: verdict.map_or("needs_address", |verdict| verdict.decision.name()).to_owned(),
        rule: verdict.and_then(|verdict| verdict.rule.as_ref()).map(ToString::to_string),
        explanation: explanation.to_string(),
        matches: explanation.matches.iter().map(|matched| RuleView::from(&*matched.rule)).collect(),
    }
}

/// What a reload brought.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReloadView {
    /// Whether the file differs from what was in force.
    changed: bool,
    /// How often the rules have changed since the start.
    #[schema(example = 4)]
    generation: u64,
    /// Users in the file.
    #[schema(example = 12)]
    users: usize,
    /// Groups in the file.
    #[schema(example = 3)]
    groups: usize,
    /// Rules in the file.
    #[schema(example = 40)]
    rules: usize,
}

/// Reads the access rules' file again. A broken file changes nothing.
#[utoipa::path(
    post, path = "/api/admin/reload-acl", tag = "acl",
    responses(
        (status = 200, description = "The rules of the file are in force", body = ReloadView),
        (status = 409, description = "The rules are switched off", body = Problem),
        (status = 422, description = "The file is broken; the old rules stay", body = Problem),
    )
)]
pub(crate) async fn reload(State(api): State<Api>) -> Result<Json<ReloadView>, Problem> {
    let reloaded = tokio::task::spawn_blocking(move || (api.reload.0)()).await;
    let reloaded = reloaded.map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the reload did not finish")
    })?;
    match reloaded {
        Ok(report) => Ok(Json(ReloadView {
            changed: report.changed,
            generation: report.generation,
            users: report.users,
            groups: report.groups,
            rules: report.rules,
        })),
        Err(error @ AclError::Off) => Err(Problem::new(StatusCode::CONFLICT, error.to_string())),
        Err(error) => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())),
    }
}

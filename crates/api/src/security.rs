//! What the API's description says of all routes alike: who may ask, and how one is refused.

use axum::http::Method;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ContentBuilder, Object, OpenApi, Ref, Required, Response, ResponseBuilder, Type,
};

use crate::cookie;
use crate::gate::Need;

/// Names of the ways to be let in.
const SCHEMES: [&str; 3] = ["cookie", "basic", "bearer"];

/// One description of the routes that are open and of those behind the gate.
pub(crate) fn secured(mut open: OpenApi, mut closed: OpenApi) -> OpenApi {
    for item in open.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            // None at all.
            operation.security = Some(Vec::new());
            refuses(operation, &[("403", FOREIGN)]);
        }
    }
    for (path, item) in &mut closed.paths.paths {
        for (method, operation) in operations(item) {
            guard(operation, Need::of(&method, path));
        }
    }
    open.merge(closed);
    let components = open.components.get_or_insert_default();
    for (name, scheme) in SCHEMES.into_iter().zip(schemes()) {
        components.add_security_scheme(name, scheme);
    }
    open
}

const FOREIGN: &str = "The request comes from a page of another origin, or is sent to a foreign \
                       host name";

/// Each operation of a path, with its method.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::HEAD, &mut item.head),
        (Method::OPTIONS, &mut item.options),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Describes the gate in front of an operation.
fn guard(operation: &mut Operation, need: Need) {
    let requirement = |name| SecurityRequirement::new(name, Vec::<String>::new());
    operation.security = Some(SCHEMES.map(requirement).into());
    let forbidden = match need {
        Need::Proof => FOREIGN.to_owned(),
        Need::Page => format!("The CSRF token of the login is missing or wrong. {FOREIGN}"),
        Need::Role => format!(
            "The asker's role is `read`, or the CSRF token of the login is missing or wrong. \
             {FOREIGN}"
        ),
    };
    let refusals = [
        ("401", "Nobody is logged in, or the login, token or password is wrong"),
        ("403", &forbidden),
        ("429", "Too many failed logins from this source"),
    ];
    refuses(operation, &refusals);
    if need != Need::Proof {
        operation.parameters.get_or_insert_default().push(csrf_header().into());
    }
}

/// The answers of the gate, in place of what the operation says of them itself.
fn refuses(operation: &mut Operation, refusals: &[(&str, &str)]) {
    let refusals = refusals.iter();
    let refusals = refusals.map(|(status, text)| ((*status).to_owned(), refusal(status, text)));
    let refusals = refusals.map(|(status, refusal)| (status, refusal.into()));
    operation.responses.responses.extend(refusals);
}

fn refusal(status: &str, description: &str) -> Response {
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", problem);
    let number = || Header::new(Object::with_type(Type::Integer));
    match status {
        "401" => response.header("WWW-Authenticate", Header::default()),
        "429" => response.header("Retry-After", number()),
        _ => response,
    }
    .build()
}

fn csrf_header() -> Parameter {
    ParameterBuilder::new()
        .name("X-CSRF-Token")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "The `csrf_token` of the login; needed by whoever is known by the cookie",
        ))
        .schema(Some(Object::with_type(Type::String)))
        .build()
}

fn schemes() -> [SecurityScheme; 3] {
    let cookie = "Set by `POST /api/auth/login`, for browsers. A request that changes something \
                  carries the login's `csrf_token` in `X-CSRF-Token` as well.";
    let http = |scheme, description| {
        SecurityScheme::Http(
            HttpBuilder::new().scheme(scheme).description(Some(description)).build(),
        )
    };
    [
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(cookie::NAME, cookie))),
        http(HttpAuthScheme::Basic, "A dashboard user's name and password."),
        http(HttpAuthScheme::Bearer, "A token of `[[sessions.api_tokens]]`."),
    ]
}

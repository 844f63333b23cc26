//! Every path, and the description generated from them.

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use utoipa::OpenApi as _;
use utoipa::openapi::{OpenApi, Server};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::describe::describe;
use crate::gate::gate;
use crate::problem::Problem;
use crate::security::secured;
use crate::{
    Api, Options, acl, course, events, export, health, history, live, login, pool, stats, stream,
    system,
};

#[derive(utoipa::OpenApi)]
#[openapi()]
struct Empty;

/// The few routes that nobody needs a login for.
fn open() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Empty::openapi())
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .routes(routes!(login::login))
}

/// All other documented routes. They are behind the gate.
fn closed() -> OpenApiRouter<Api> {
    let router = OpenApiRouter::with_openapi(Empty::openapi())
        .routes(routes!(login::logout))
        .routes(routes!(login::session))
        .routes(routes!(stats::stats))
        .routes(routes!(stats::failures))
        .routes(routes!(stats::usage))
        .routes(routes!(live::active))
        .routes(routes!(history::history))
        .routes(routes!(export::export))
        .routes(routes!(stream::stream))
        .routes(routes!(live::terminate_many))
        .routes(routes!(history::one))
        .routes(routes!(live::terminate))
        .routes(routes!(history::of_user))
        .routes(routes!(acl::rules))
        .routes(routes!(acl::test))
        .routes(routes!(acl::reload))
        .routes(routes!(events::events))
        .routes(routes!(course::history))
        .routes(routes!(pool::stats))
        .routes(routes!(system::resources))
        .routes(routes!(system::counters))
        .routes(routes!(system::config));
    with_metrics(router)
}

#[cfg(feature = "metrics")]
fn with_metrics(router: OpenApiRouter<Api>) -> OpenApiRouter<Api> {
    router.routes(routes!(crate::metrics::metrics))
}

#[cfg(not(feature = "metrics"))]
fn with_metrics(router: OpenApiRouter<Api>) -> OpenApiRouter<Api> {
    router
}

/// The API's description as the file `openapi.json` holds it.
///
/// # Panics
/// Never: the description is made of strings and numbers.
pub fn openapi_json() -> String {
    let described = describe(secured(open().into_openapi(), closed().into_openapi()));
    let mut json = described.to_pretty_json().expect("a description is plain strings and numbers");
    json.push('\n');
    json
}

/// The router of an API, ready to serve.
pub(crate) fn router(api: Api) -> Router {
    let options = api.options.clone();
    let (open, of_open) = open().split_for_parts();
    let (closed, of_closed) = closed().split_for_parts();
    let mut openapi = describe(secured(of_open, of_closed));
    if !options.base_path.is_empty() {
        // Without it, whoever reads the description asks at the root.
        openapi.servers = Some(vec![Server::new(&options.base_path)]);
    }
    let closed = with_description(closed, openapi, &api)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), gate));
    let open = open.method_not_allowed_fallback(wrong_method);
    let router = closed.merge(open).with_state(api);
    let router = match options.base_path.is_empty() {
        true => router,
        false => Router::new().nest(&options.base_path, router).fallback(unknown),
    };
    with_dashboard(router, &options)
}

#[cfg(feature = "dashboard")]
fn with_dashboard(router: Router, options: &Options) -> Router {
    if !options.dashboard {
        return router;
    }
    let files = crate::dashboard::routes(&options.base_path);
    router.merge(files.method_not_allowed_fallback(wrong_method))
}

#[cfg(not(feature = "dashboard"))]
fn with_dashboard(router: Router, _options: &Options) -> Router {
    router
}

#[cfg(feature = "api-docs")]
fn with_description(router: Router<Api>, openapi: OpenApi, api: &Api) -> Router<Api> {
    if api.options.swagger {
        return router.merge(crate::browser::routes(&api.options.base_path, &openapi));
    }
    plain_description(router, openapi)
}

#[cfg(not(feature = "api-docs"))]
fn with_description(router: Router<Api>, openapi: OpenApi, _api: &Api) -> Router<Api> {
    plain_description(router, openapi)
}

fn plain_description(router: Router<Api>, openapi: OpenApi) -> Router<Api> {
    let described = move || std::future::ready(axum::Json(openapi.clone()));
    router.route("/api/openapi.json", axum::routing::get(described))
}

async fn unknown(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

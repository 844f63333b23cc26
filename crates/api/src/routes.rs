//! Every path, and the description generated from them.

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use utoipa::OpenApi as _;
use utoipa::openapi::{OpenApi, Server};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::describe::describe;
use crate::problem::Problem;
use crate::{
    Api, Options, acl, course, events, export, health, history, live, pool, stats, stream, system,
};

#[derive(utoipa::OpenApi)]
#[openapi()]
struct Empty;

/// All documented routes.
fn documented() -> OpenApiRouter<Api> {
    let router = OpenApiRouter::with_openapi(Empty::openapi())
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
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
    let (_, openapi) = documented().split_for_parts();
    let mut json =
        describe(openapi).to_pretty_json().expect("a description is plain strings and numbers");
    json.push('\n');
    json
}

/// The router of an API, ready to serve.
pub(crate) fn router(api: Api) -> Router {
    let options = api.options.clone();
    let (router, openapi) = documented().split_for_parts();
    let mut openapi = describe(openapi);
    if !options.base_path.is_empty() {
        // Without it, whoever reads the description asks at the root.
        openapi.servers = Some(vec![Server::new(&options.base_path)]);
    }
    let router = with_description(router, openapi, &api);
    let router = router.fallback(unknown).method_not_allowed_fallback(wrong_method).with_state(api);
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

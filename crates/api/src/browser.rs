//! The API browser, served from the program itself.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::response::Response;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// What its pages may run and fetch: what is served with them. It sets styles in its markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// `/swagger-ui/`, showing the description at `/api/openapi.json` below the same base path.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(
    base_path: &str,
    openapi: &OpenApi,
) -> Router<S> {
    let described = format!("{base_path}/api/openapi.json");
    let config = Config::new([described]).try_it_out_enabled(true);
    // The description itself is served with the other routes; this one is for the browser.
    let pages = SwaggerUi::new("/swagger-ui").config(config);
    let router: Router<S> = pages.url("/api/openapi.json", openapi.clone()).into();
    // The way from `/swagger-ui` to its pages; they do not know that they lie below a base path.
    let index = HeaderValue::try_from(format!("{base_path}/swagger-ui/")).ok();
    router.layer(middleware::map_response(move |mut response: Response| {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        if let (Some(location), Some(index)) = (headers.get_mut(header::LOCATION), &index) {
            location.clone_from(index);
        }
        std::future::ready(response)
    }))
}

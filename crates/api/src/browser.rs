//! The API browser, served from the program itself.

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// `/swagger-ui/`, showing the description at `/api/openapi.json` below the same base path.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(
    base_path: &str,
    openapi: &OpenApi,
) -> Router<S> {
    let described = format!("{base_path}/api/openapi.json");
    let config = Config::new([described]).try_it_out_enabled(true);
    // The description itself is served with the other routes; this one is for the browser.
    SwaggerUi::new("/swagger-ui").config(config).url("/api/openapi.json", openapi.clone()).into()
}

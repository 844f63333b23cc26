//! Headers that every answer carries, so that a browser does nothing with it that was not meant.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// What an answer says where its maker said nothing else.
const DEFAULTS: [(HeaderName, &str); 6] = [
    // An answer is what its type says.
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Addresses hold user names and filters. `no-referrer` would blank the `Origin` of our own
    // pages' forms as well.
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // Data, not a page: nothing in it is run or fetched. Pages bring a policy of their own.
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    // What was shown to one operator is not to be found by the next one, nor in a proxy.
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Adds the headers that are not there.
pub(crate) async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in DEFAULTS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

//! Headers, forms and paths, of files made up here and of the ones really embedded.

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::*;

/// A dashboard of two files, one of them compressed in both ways.
fn made_up(base_path: &str) -> Router {
    let files = [
        ("index.html", "<!doctype html>"),
        ("favicon.svg", "<svg/>"),
        ("assets/app-1a2b.js", "plain script"),
        ("assets/app-1a2b.js.br", "brotli script"),
        ("assets/app-1a2b.js.gz", "gzip script"),
        ("assets/odd{name}.css", "odd"),
    ];
    let form = |text: &'static str| Form::new(text.into(), text.as_bytes());
    serve(base_path, assets(files.into_iter().map(|(name, text)| (name.to_owned(), form(text)))))
}

async fn ask(router: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    TowerToHyperService::new(router.clone()).call(request).await.unwrap()
}

async fn get(router: &Router, path: &str, headers: &[(&str, &str)]) -> Response {
    ask(router, Method::GET, path, headers).await
}

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn field(response: &Response, name: header::HeaderName) -> &str {
    response.headers().get(&name).map_or("", |value| value.to_str().unwrap())
}

const SCRIPT: &str = "/assets/app-1a2b.js";

#[tokio::test]
async fn the_smallest_form_that_the_client_takes_is_sent() {
    let router = made_up("");
    for (accepted, coding, body) in [
        ("", "", "plain script"),
        ("gzip, deflate, br, zstd", "br", "brotli script"),
        ("gzip, deflate", "gzip", "gzip script"),
        ("GZIP", "gzip", "gzip script"),
        ("*", "br", "brotli script"),
        ("br;q=0, *", "gzip", "gzip script"),
        ("br;q=0, *;q=0.5", "gzip", "gzip script"),
        ("*, br ; q=0.000", "gzip", "gzip script"),
        ("br; q=0.1", "br", "brotli script"),
        ("identity", "", "plain script"),
        ("*;q=0", "", "plain script"),
    ] {
        let answer = get(&router, SCRIPT, &[("accept-encoding", accepted)]).await;
        assert_eq!(field(&answer, header::CONTENT_ENCODING), coding, "{accepted}");
        assert_eq!(field(&answer, header::VARY), "accept-encoding");
        assert_eq!(field(&answer, header::CONTENT_TYPE), "text/javascript; charset=utf-8");
        assert_eq!(text(answer).await, body, "{accepted}");
    }
}

#[tokio::test]
async fn each_form_has_its_own_tag_and_a_known_tag_is_a_304_without_a_body() {
    let router = made_up("");
    let mut tags = std::collections::BTreeSet::new();
    for accepted in ["", "br", "gzip"] {
        let accepted = ("accept-encoding", accepted);
        let tag = get(&router, SCRIPT, &[accepted]).await.headers()[header::ETAG].clone();
        let tag = tag.to_str().unwrap();
        tags.insert(tag.to_owned());
        for known in [tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
            let answer = get(&router, SCRIPT, &[accepted, ("if-none-match", known)]).await;
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(field(&answer, header::ETAG), tag);
            assert!(field(&answer, header::CACHE_CONTROL).contains("immutable"));
            assert_eq!(text(answer).await, "");
        }
        let other = get(&router, SCRIPT, &[accepted, ("if-none-match", "\"x\"")]).await;
        assert_eq!(other.status(), StatusCode::OK);
    }
    assert_eq!(tags.len(), 3, "{tags:?}");
}

#[tokio::test]
async fn hashed_files_are_kept_for_a_year_and_the_page_is_asked_about() {
    let router = made_up("");
    let year = "public, max-age=31536000, immutable";
    for (path, cache) in [(SCRIPT, year), ("/", "no-cache"), ("/favicon.svg", "no-cache")] {
        let answer = get(&router, path, &[]).await;
        assert_eq!(field(&answer, header::CACHE_CONTROL), cache, "{path}");
    }
}

#[tokio::test]
async fn no_answer_lets_a_page_run_what_is_written_into_it() {
    for router in [made_up(""), serve("", assets(std::iter::empty())), routes("")] {
        let answer = get(&router, "/", &[]).await;
        let policy = field(&answer, header::CONTENT_SECURITY_POLICY).to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"));
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(field(&answer, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(field(&answer, header::REFERRER_POLICY), "no-referrer");
        assert_eq!(field(&answer, header::CONTENT_TYPE), "text/html; charset=utf-8");
        let page = text(answer).await;
        assert!(!page.contains("<style") && !page.contains(" style="), "{page}");
        for script in page.split("<script").skip(1) {
            assert!(script.split('>').next().unwrap().contains(" src=\"./"), "{page}");
        }
    }
}

#[tokio::test]
async fn head_tells_the_length_and_sends_nothing() {
    let router = made_up("");
    let answer = ask(&router, Method::HEAD, SCRIPT, &[("accept-encoding", "br")]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(field(&answer, header::CONTENT_LENGTH), "13");
    assert_eq!(text(answer).await, "");
}

#[tokio::test]
async fn the_page_lies_at_the_base_path_with_a_slash() {
    let router = made_up("/books/of");
    assert_eq!(text(get(&router, "/books/of/", &[]).await).await, "<!doctype html>");
    let answer = get(&router, "/books/of", &[]).await;
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(field(&answer, header::LOCATION), "/books/of/");
    assert_eq!(text(get(&router, &format!("/books/of{SCRIPT}"), &[]).await).await, "plain script");
    assert_eq!(get(&router, SCRIPT, &[]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(get(&router, "/", &[]).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_names_of_files_are_found() {
    let router = made_up("");
    assert_eq!(text(get(&router, "/assets/odd{name}.css", &[]).await).await, "odd");
    for path in [
        "/index.html",
        "/assets",
        "/assets/",
        "/assets/app-1a2b.js.br",
        "/assets/app-1a2b.js.gz",
        "/assets/../index.html",
        "/assets/%2e%2e/%2e%2e/Cargo.toml",
        "/..%2f..%2fCargo.toml",
        "//etc/passwd",
        "/assets/oddx.css",
    ] {
        assert_eq!(get(&router, path, &[]).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn where_nothing_was_built_one_page_says_how_to() {
    let half = [("assets/app.js".to_owned(), Form::of_text("alert()"))];
    for files in [Vec::new(), half.to_vec()] {
        let router = serve("", assets(files.into_iter()));
        let answer = get(&router, "/", &[]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(field(&answer, header::CACHE_CONTROL), "no-cache");
        assert!(text(answer).await.contains("cargo xtask build"));
        assert_eq!(get(&router, "/assets/app.js", &[]).await.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn whatever_was_embedded_has_a_known_kind_and_an_answer() {
    let router = routes("");
    for name in Built::iter() {
        let plain = name.trim_end_matches(".br").trim_end_matches(".gz");
        let path = if plain == INDEX { "/".to_owned() } else { format!("/{plain}") };
        let answer = get(&router, &path, &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{name}");
        assert_ne!(field(&answer, header::CONTENT_TYPE), "application/octet-stream", "{name}");
    }
}

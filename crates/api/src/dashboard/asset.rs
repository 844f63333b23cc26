//! One file of the dashboard: its forms on the wire, and the headers that go with it.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

/// What the page may do: run its own scripts, use its own styles, ask its own server. Nothing
/// written into the page itself runs, whatever a user name or a destination may hold.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// For files whose name changes with their content: a year, and no question in between.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// For the others: kept, and asked about each time.
const ASK: HeaderValue = HeaderValue::from_static("no-cache");

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    /// All of them, the smallest result first.
    pub(super) const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// What a compressed file's name ends with.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }

    /// Its name in HTTP (RFC 9110 §8.4.1, RFC 7932).
    fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// A file's bytes as they are sent, and the tag that names exactly these.
#[derive(Clone, Debug)]
pub(super) struct Form {
    bytes: Bytes,
    tag: HeaderValue,
}

impl Form {
    /// Bytes with a hash of them.
    pub(super) fn new(bytes: Bytes, hash: &[u8]) -> Self {
        let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::try_from(format!("\"{hex}\"")).expect("hexadecimal digits");
        Self { bytes, tag }
    }

    /// A text that is part of the program, named by the program's version and its length.
    pub(super) fn of_text(text: &'static str) -> Self {
        let tag = format!("\"{}-{}\"", env!("CARGO_PKG_VERSION"), text.len());
        let tag = HeaderValue::try_from(tag).expect("a version and a number");
        Self { bytes: Bytes::from_static(text.as_bytes()), tag }
    }
}

/// A file in all its forms.
#[derive(Clone, Debug)]
pub(super) struct Asset {
    kind: HeaderValue,
    cache: HeaderValue,
    plain: Form,
    coded: Vec<(Coding, Form)>,
}

impl Asset {
    /// A file by its name below the dashboard's folder.
    pub(super) fn new(name: &str, plain: Form, coded: Vec<(Coding, Form)>) -> Self {
        // Vite puts the content's hash into the name of everything in this folder.
        let cache = if name.starts_with("assets/") { IMMUTABLE } else { ASK };
        Self { kind: HeaderValue::from_static(kind(name)), cache, plain, coded }
    }

    /// The answer to a request with these headers.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let chosen = self.coded.iter().find(|(coding, _)| accepts(headers, *coding));
        let form = chosen.map_or(&self.plain, |(_, form)| form);
        let known = knows(headers, &form.tag);
        let body = if known { Body::empty() } else { Body::from(form.bytes.clone()) };
        let mut response = Response::new(body);
        let fields = response.headers_mut();
        fields.insert(header::ETAG, form.tag.clone());
        fields.insert(header::CACHE_CONTROL, self.cache.clone());
        fields.insert(header::CONTENT_SECURITY_POLICY, POLICY);
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if !self.coded.is_empty() {
            fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        fields.insert(header::CONTENT_TYPE, self.kind.clone());
        if let Some((coding, _)) = chosen {
            fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        response
    }
}

/// The media type of a file by its name.
fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// The members of a header that is a list.
fn members(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Whether the client takes this coding (RFC 9110 §12.5.3). What is named counts for more than `*`.
fn accepts(headers: &HeaderMap, coding: Coding) -> bool {
    let mut any = false;
    for member in members(headers, header::ACCEPT_ENCODING) {
        let (name, weight) = member.split_once(';').unwrap_or((member, ""));
        let weight = weight.trim().trim_start_matches("q=").parse::<f32>();
        let taken = weight.map_or(true, |weight| weight > 0.0);
        match name.trim() {
            "*" => any = taken,
            name if name.eq_ignore_ascii_case(coding.name()) => return taken,
            _ => {}
        }
    }
    any
}

/// Whether the client has exactly these bytes already (RFC 9110 §13.1.2).
fn knows(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    members(headers, header::IF_NONE_MATCH)
        .any(|known| known == "*" || known.trim_start_matches("W/").as_bytes() == tag.as_bytes())
}

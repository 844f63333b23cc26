//! The cookie that holds a login's id.

use ::cookie::time::Duration;
use ::cookie::{Cookie, SameSite};
use axum::http::{HeaderMap, HeaderValue, header};

/// Its name.
pub(crate) const NAME: &str = "rustsocks_session";

/// Cookies of our name that are looked at. A browser sends more than one where some were set for
/// other paths; whoever sends many is no browser.
const MOST_TRIED: usize = 8;

/// The ids in a request's cookies.
pub(crate) fn ids(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| Cookie::split_parse(line.to_owned()))
        .filter_map(Result::ok)
        .filter(|cookie| cookie.name() == NAME)
        .take(MOST_TRIED)
        .map(|cookie| cookie.value().to_owned())
}

/// Where and how a browser is to send the cookie.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    path: String,
    /// Over TLS alone.
    secure: bool,
}

impl Scope {
    /// Below the base path; over TLS alone where this request came over TLS, as far as a proxy in
    /// front says so. Whoever says so falsely shuts out their own browser and nobody else's.
    pub(crate) fn of(headers: &HeaderMap, base_path: &str) -> Self {
        let scheme = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
        let secure = scheme.is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"));
        let path = if base_path.is_empty() { "/" } else { base_path };
        Self { path: path.to_owned(), secure }
    }

    /// The header that sets the cookie for this long.
    pub(crate) fn set(self, id: &str, lasts: std::time::Duration) -> Option<HeaderValue> {
        let seconds = i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX);
        self.written(id, Duration::seconds(seconds))
    }

    /// The header that removes it.
    pub(crate) fn remove(self) -> Option<HeaderValue> {
        self.written("", Duration::ZERO)
    }

    fn written(self, value: &str, max_age: Duration) -> Option<HeaderValue> {
        let cookie = Cookie::build((NAME, value))
            .path(self.path)
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(self.secure)
            .max_age(max_age);
        // Ids and base paths are made of characters that a header takes.
        HeaderValue::from_str(&cookie.to_string()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_of_other_sites() {
        let set = |forwarded: &[(&'static str, &str)], base_path: &str| {
            let scope = Scope::of(&headers(forwarded), base_path);
            let header = scope.set("ab12", std::time::Duration::from_secs(60)).unwrap();
            header.to_str().unwrap().to_owned()
        };
        let plain = set(&[], "");
        assert!(plain.starts_with("rustsocks_session=ab12; "), "{plain}");
        for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=60"] {
            assert!(plain.split("; ").any(|found| found == attribute), "{plain}");
        }
        assert!(!plain.contains("Secure"), "{plain}");
        assert!(set(&[("x-forwarded-proto", "https")], "").contains("; Secure"));
        assert!(set(&[], "/books").contains("; Path=/books"));
        let gone = Scope::of(&headers(&[]), "").remove().unwrap();
        assert!(gone.to_str().unwrap().contains("Max-Age=0"));
    }

    #[test]
    fn ids_are_found_among_other_cookies_and_garbage() {
        let found = |line: &str| ids(&headers(&[("cookie", line)])).collect::<Vec<_>>();
        assert_eq!(found("a=1; rustsocks_session=ab12; b=2"), ["ab12"]);
        assert_eq!(found("rustsocks_session=1;rustsocks_session=2"), ["1", "2"]);
        assert!(found("").is_empty() && found(";;=; rustsocks_session").is_empty());
        assert_eq!(found(&"rustsocks_session=1; ".repeat(1000)).len(), MOST_TRIED);
    }
}

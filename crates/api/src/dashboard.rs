//! The dashboard: the files of `dashboard/dist` that were there when this was compiled.
//!
//! They hold no data, so whoever reaches the API may load them; what they show comes from the API
//! and is guarded there. Each file is a route of its own: a path that is no file's name is never
//! looked up anywhere.

mod asset;

use std::collections::BTreeMap;

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Redirect;
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

use asset::{Asset, Coding, Form};

/// The page that everything starts from.
const INDEX: &str = "index.html";

/// What is served in its place where the dashboard was not built.
const MISSING: &str = include_str!("dashboard/missing.html");

#[derive(RustEmbed)]
#[folder = "../../dashboard/dist"]
#[allow_missing = true]
struct Built;

/// The dashboard's files below the base path, the page itself at `{base_path}/`.
pub(crate) fn routes(base_path: &str) -> Router {
    let files = Built::iter().filter_map(|name| Built::get(&name).map(|file| (name, file)));
    serve(base_path, assets(files.map(|(name, file)| (name.into_owned(), form(file)))))
}

fn form(file: EmbeddedFile) -> Form {
    let hash = file.metadata.sha256_hash();
    let bytes = match file.data {
        std::borrow::Cow::Borrowed(bytes) => axum::body::Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => bytes.into(),
    };
    Form::new(bytes, &hash)
}

/// Brings each file together with its compressed forms, which lie beside it as `name.br`, `name.gz`.
fn assets(files: impl Iterator<Item = (String, Form)>) -> BTreeMap<String, Asset> {
    let mut forms: BTreeMap<String, Form> = files.collect();
    if !forms.contains_key(INDEX) {
        // Half a dashboard is none.
        forms = [(INDEX.to_owned(), Form::of_text(MISSING))].into();
    }
    let mut assets = BTreeMap::new();
    for (name, form) in &forms {
        let compressed = Coding::ALL.iter().any(|coding| {
            name.strip_suffix(coding.suffix()).is_some_and(|plain| forms.contains_key(plain))
        });
        if compressed {
            continue;
        }
        let coded = |coding: &Coding| {
            let form = forms.get(&format!("{name}{}", coding.suffix()))?;
            Some((*coding, form.clone()))
        };
        let coded = Coding::ALL.iter().filter_map(coded).collect();
        assets.insert(name.clone(), Asset::new(name, form.clone(), coded));
    }
    assets
}

fn serve(base_path: &str, assets: BTreeMap<String, Asset>) -> Router {
    let mut router = Router::new();
    if !base_path.is_empty() {
        // The page's relative addresses need the slash.
        let page = format!("{base_path}/");
        let redirect = move || std::future::ready(Redirect::temporary(&page));
        router = router.route(base_path, get(redirect));
    }
    for (name, asset) in assets {
        // Braces mean something in a route and nothing in a file's name.
        let name = name.replace('{', "{{").replace('}', "}}");
        let page = if name == INDEX { "" } else { &name };
        let path = format!("{base_path}/{page}");
        let answer = move |headers: HeaderMap| std::future::ready(asset.answer(&headers));
        router = router.route(&path, get(answer));
    }
    router
}

#[cfg(test)]
mod tests;

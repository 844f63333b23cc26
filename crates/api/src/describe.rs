//! What the API's description says beyond what each route and type says for itself: the closed
//! vocabularies, and the media type that all errors have.

use rustsocks_proto::Protocol;
use rustsocks_sessions::{CloseReason, Status};
use rustsocks_storage::SortKey;
use rustsocks_telemetry::{Category, Severity};
use serde_json::{Map, Value, json};
use utoipa::openapi::{Info, License, OpenApi};

/// The whole description.
///
/// # Panics
/// Never: what was read from a description is one again.
pub(crate) fn describe(mut openapi: OpenApi) -> OpenApi {
    let mut info = Info::new("RustSocks", env!("CARGO_PKG_VERSION"));
    info.description = Some("The session ledger of a SOCKS proxy.".to_owned());
    info.license = Some(License::new("MIT"));
    openapi.info = info;
    let mut json = serde_json::to_value(&openapi).expect("a description is plain JSON");
    complete(&mut json);
    allow_in_body(&mut json, "/api/sessions/terminate", "TerminateManyBody");
    serde_json::from_value(json).expect("it was a description before")
}

/// The words that a parameter or field of this name can hold, where they are a closed set.
fn vocabulary(name: &str) -> Option<Vec<&'static str>> {
    Some(match name {
        "status" => Status::ALL.map(Status::name).to_vec(),
        "close_reason" => CloseReason::ALL.iter().map(|reason| reason.name()).collect(),
        "protocol" => [Protocol::Tcp, Protocol::Udp].map(Protocol::name).to_vec(),
        "severity" => Severity::ALL.map(Severity::name).to_vec(),
        "category" => Category::ALL.map(Category::name).to_vec(),
        "sort_by" => SortKey::ALL.map(SortKey::name).to_vec(),
        "sort_dir" => vec!["asc", "desc"],
        "scope" => vec!["node", "cluster"],
        "bucket" => vec!["hour", "day"],
        "format" => vec!["csv", "ndjson"],
        "acl_decision" => vec!["allow", "block"],
        "role" => vec!["read", "operate"],
        _ => return None,
    })
}

/// Gives a body's type the query parameters of its path as fields.
fn allow_in_body(json: &mut Value, path: &str, body: &str) {
    let parameters = json["paths"][path]["post"]["parameters"].clone();
    let Value::Object(schema) = &mut json["components"]["schemas"][body] else { return };
    schema.insert("additionalProperties".to_owned(), json!(false));
    let Some(Value::Object(fields)) = schema.get_mut("properties") else { return };
    let parameters = parameters.as_array().into_iter().flatten();
    for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
        let Some(name) = parameter["name"].as_str() else { continue };
        let mut field = parameter["schema"].clone();
        field["description"] = parameter["description"].clone();
        fields.entry(name).or_insert(field);
    }
}

/// Completes a description, from its root down.
fn complete(json: &mut Value) {
    match json {
        Value::Object(object) => {
            if let Some(Value::Object(content)) = object.get_mut("content") {
                name_problems(content);
            }
            if let Some(Value::Object(schemas)) = object.get_mut("schemas") {
                for (name, schema) in schemas {
                    name_words_of(name, schema);
                }
            }
            if object.get("in").is_some_and(|place| place == "query")
                && let Some(words) = object.get("name").and_then(Value::as_str).and_then(vocabulary)
                && let Some(schema) = object.get_mut("schema")
            {
                name_words(schema, &words);
            }
            object.values_mut().for_each(complete);
        }
        Value::Array(list) => list.iter_mut().for_each(complete),
        _ => {}
    }
}

/// Problem details have a media type of their own (RFC 9457 §3).
fn name_problems(content: &mut Map<String, Value>) {
    let is_problem = |content: &Value| content["schema"]["$ref"] == "#/components/schemas/Problem";
    if content.get("application/json").is_some_and(is_problem)
        && let Some(problem) = content.remove("application/json")
    {
        content.insert("application/problem+json".to_owned(), problem);
    }
}

/// Names the words of a type's fields. The words of `status` are a session's alone.
fn name_words_of(name: &str, schema: &mut Value) {
    let Some(Value::Object(fields)) = schema.get_mut("properties") else { return };
    for (field, schema) in fields {
        if field == "status" && name != "SessionView" {
            continue;
        }
        if let Some(words) = vocabulary(field) {
            name_words(schema, &words);
        }
    }
}

/// Names the words of text; where there may be none, `null` is one of them.
fn name_words(schema: &mut Value, words: &[&str]) {
    let kind = &schema["type"];
    let may_be = |name: &str| match kind {
        Value::String(only) => only == name,
        Value::Array(list) => list.iter().any(|one| one == name),
        _ => false,
    };
    if !may_be("string") {
        return;
    }
    let mut all: Vec<Value> = words.iter().map(|&word| json!(word)).collect();
    if may_be("null") {
        all.push(Value::Null);
    }
    schema["enum"] = Value::Array(all);
}

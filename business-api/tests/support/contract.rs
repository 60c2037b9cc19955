//! Holds every answer to the OpenAPI document: documented route, status and content type, and a body of that schema without a
//! member that the document does not know.

use std::sync::LazyLock;

use serde_json::{Value, json};

pub static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../openapi.json")).unwrap());

/// The document, but strict: an undocumented member is an error here, while clients must ignore it.
static STRICT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = DOCUMENT.clone();
    close(&mut document["components"]["schemas"]);
    document
});

fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("properties").is_some_and(Value::is_object) && map.get("type") == Some(&json!("object")) {
                map.entry("additionalProperties").or_insert(json!(false));
            }
            map.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// The documented form of a path, if it is one.
pub fn template(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap();
    let parts: Vec<&str> = path.split('/').collect();
    let mut found: Vec<(usize, &str)> = DOCUMENT["paths"]
        .as_object()
        .unwrap()
        .keys()
        .filter_map(|template| {
            let wanted: Vec<&str> = template.split('/').collect();
            let fits = wanted.len() == parts.len()
                && wanted.iter().zip(&parts).all(|(wanted, part)| wanted.starts_with('{') || wanted == part);
            fits.then(|| (wanted.iter().filter(|part| part.starts_with('{')).count(), template.as_str()))
        })
        .collect();
    found.sort_unstable();
    found.first().map(|(_, template)| *template)
}

pub fn check(method: &str, path: &str, status: u16, headers: &reqwest::header::HeaderMap, body: &[u8]) {
    let about = format!("{method} {path} -> {status} {}", String::from_utf8_lossy(body));
    assert!(headers.contains_key("x-correlation-id"), "no correlation id: {about}");
    let content_type = headers.get("content-type").map(|value| value.to_str().unwrap()).unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap();
    let operation = template(path).map(|path| &STRICT["paths"][path][method.to_lowercase()]);
    let schema = match operation.filter(|operation| operation.is_object()) {
        // An unknown route, or a method that the route has not: problem details all the same.
        None => {
            assert!(status == 404 || status == 405, "undocumented operation: {about}");
            json!({ "$ref": "#/components/schemas/Problem" })
        }
        Some(operation) => {
            let mut response = &operation["responses"][status.to_string()];
            assert!(response.is_object(), "undocumented status: {about}");
            if let Some(reference) = response["$ref"].as_str() {
                response = STRICT.pointer(&reference[1..]).unwrap();
            }
            if status == 204 {
                assert!(body.is_empty() && response["content"].is_null(), "{about}");
                return;
            }
            let schema = &response["content"][content_type]["schema"];
            assert!(!schema.is_null(), "undocumented content type {content_type}: {about}");
            schema.clone()
        }
    };
    if status >= 400 {
        assert_eq!(content_type, "application/problem+json", "{about}");
    }
    if !content_type.ends_with("json") {
        return;
    }
    let instance: Value = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {about}"));
    let mut whole = json!({ "components": STRICT["components"] });
    for (name, value) in schema.as_object().unwrap() {
        whole[name] = value.clone();
    }
    let validator = jsonschema::options().should_validate_formats(true).build(&whole).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}: {about}");
    if status >= 400 {
        assert_eq!(instance["correlation_id"], headers["x-correlation-id"].to_str().unwrap(), "{about}");
    }
}

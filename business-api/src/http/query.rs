//! A query parameter that the OpenAPI document does not name is refused, on every route of `/v1`: a misspelt filter must not answer
//! as if it had been heard. What monitors add to the paths of health and metrics is theirs.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde_json::Value;

use super::{openapi, problem::Problem};

type Operation = (String, String);

/// Query parameters by path and method.
static NAMED: LazyLock<HashMap<Operation, HashSet<String>>> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(openapi::DOCUMENT).unwrap_or_default();
    let mut named = HashMap::new();
    for (path, item) in document.get("paths").and_then(Value::as_object).into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
            let of_query = parameters.filter(|parameter| parameter.get("in").is_some_and(|place| place == "query"));
            let names =
                of_query.filter_map(|parameter| parameter.get("name")?.as_str().map(ToOwned::to_owned)).collect();
            named.insert((path.clone(), method.to_ascii_uppercase()), names);
        }
    }
    named
});

pub(super) async fn strict(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let path = path.as_ref().map_or("", MatchedPath::as_str);
    let query = request.uri().query().filter(|_| path.starts_with("/v1/"));
    if let Some(query) = query
        && let Some(known) = NAMED.get(&(path.to_owned(), request.method().as_str().to_owned()))
    {
        let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
        let unknown = query.split('&').filter(|pair| !pair.is_empty()).map(name).find(|name| !known.contains(name));
        if let Some(unknown) = unknown {
            return Problem::bad_request("bad_query", format!("there is no parameter `{unknown}`")).into_response();
        }
    }
    next.run(request).await
}

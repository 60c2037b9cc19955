//! The contract: an OpenAPI 3.1 document, and a page to read it by. Both are in the binary and load nothing from elsewhere.

use axum::{
    http::header,
    response::{Html, IntoResponse as _, Response},
};

pub(super) const DOCUMENT: &str = include_str!("../../openapi.json");
const PAGE: &str = include_str!("docs.html");

pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

pub(super) async fn page() -> Html<&'static str> {
    Html(PAGE)
}

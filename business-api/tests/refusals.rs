//! Every error is problem details: also those that the HTTP library makes before any route, and unknown parameters on every route.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use serde_json::Value;
use support::{App, KEY, OTHER_KEY, On, YKC, contract};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

on_both! {
    errors_of_the_http_library_are_problems_too
    no_route_takes_a_parameter_that_the_document_does_not_name
    two_of_what_there_is_one_of_are_refused
}

/// Sends bytes, reads to the end.
async fn raw(app: &App, bytes: &[u8]) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(app.base.trim_start_matches("http://")).await.unwrap();
    let _ = stream.write_all(bytes).await; // what is too long is answered before all of it is read
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await; // an unread rest of the request makes it a reset after the answer
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

async fn errors_of_the_http_library_are_problems_too(on: On) {
    let app = App::start(on).await;
    let long_uri = format!("GET /v1/orders?{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(66_000));
    let long_header = format!("GET /livez HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(4_000_000));
    let many = format!("GET /livez HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(200));
    for (request, status, code) in [
        (long_uri.as_str(), 414, "uri_too_long"),
        (long_header.as_str(), 431, "headers_too_large"),
        (many.as_str(), 431, "headers_too_large"),
        ("this is no HTTP\r\n\r\n", 400, "bad_request"),
        ("GET /livez HTTP/1.1\r\nhost: a\r\nb\u{1}d: x\r\n\r\n", 400, "bad_request"),
        ("GET /livez HTTP/9.1\r\nhost: a\r\n\r\n", 400, "bad_request"),
        (
            "POST /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            405,
            "method_not_allowed",
        ),
        ("GET /none HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 404, "not_found"),
    ] {
        let (got, head, body) = raw(&app, request.as_bytes()).await;
        let about = &request[..request.len().min(60)];
        assert_eq!((got, body["code"].as_str(), &body["status"]), (status, Some(code), &status.into()), "{about}");
        assert!(head.contains("content-type: application/problem+json"), "{about}: {head}");
        assert!(head.contains(&format!("x-correlation-id: {}", body["correlation_id"].as_str().unwrap())), "{about}");
    }
    // What is well-formed is untouched, also over a kept connection.
    app.get("/v1/summary").await.expect(200);
}

async fn no_route_takes_a_parameter_that_the_document_does_not_name(on: On) {
    let app = App::start(on).await;
    let mut asked = 0;
    for (path, item) in contract::DOCUMENT["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let parts: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect();
            let answer = app
                .call(&method.to_uppercase(), &format!("{}?evgate_colour=red", parts.join("/")), KEY, &[], None)
                .await;
            if path.starts_with("/v1/") {
                let problem = answer.problem(400, "bad_query");
                assert!(problem["detail"].as_str().unwrap().contains("evgate_colour"), "{method} {path}: {problem}");
                asked += 1;
            } else {
                assert_ne!(answer.status, 400, "{method} {path}: a monitor may add what it likes");
            }
        }
    }
    assert!(asked > 25, "{asked}");
    app.get("/v1/orders?limit=1").await.expect(200);
}

/// Silently taking one of two is taking the wrong one for somebody: the client, or a proxy that looked at the other.
async fn two_of_what_there_is_one_of_are_refused(on: On) {
    let app = App::start(on).await;
    let key = format!("authorization: Bearer {KEY}\r\n");
    let other = format!("authorization: Bearer {OTHER_KEY}\r\n");
    let ask = |keys: &str| format!("GET /v1/summary HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{keys}\r\n");
    for keys in [[&key, &other].map(String::as_str).concat(), [&key, &key].map(String::as_str).concat()] {
        let (status, head, body) = raw(&app, ask(&keys).as_bytes()).await;
        assert_eq!((status, &body["code"]), (400, &"repeated_header".into()), "{body}");
        assert!(head.contains("content-type: application/problem+json"), "{head}");
    }
    assert_eq!(raw(&app, ask(&key).as_bytes()).await.0, 200);
    let post = |path: &str, body: &str| {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{key}idempotency-key: k\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    let start = |twice: &str| format!(r#"{{"charger":"{YKC}","connector":1,"account":"a"{twice}}}"#);
    for (twice, code) in [
        (r#","account":"b""#, "repeated_member"),
        (r#","account":"a""#, "repeated_member"),
        (r#","limits":[{"amount":1,"amount":2}]"#, "repeated_member"),
        (",", "malformed_json"),
    ] {
        let (status, head, body) = raw(&app, post("/v1/orders", &start(twice)).as_bytes()).await;
        assert_eq!((status, body["code"].as_str()), (400, Some(code)), "{twice}: {body}");
        assert!(head.contains("content-type: application/problem+json"), "{head}");
    }
    // The same key, and what was refused is no answer under it.
    let (status, _, body) = raw(&app, post("/v1/orders", &start("")).as_bytes()).await;
    assert_eq!((status, body["code"].as_str()), (409, Some("charger_offline")), "{body}");
    assert_eq!(app.get("/v1/orders").await.expect(200)["items"], serde_json::json!([]));
}

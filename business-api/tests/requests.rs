//! Requests as careless and hostile clients send them: problem details for every error, never a 500.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use support::{App, KEY, OCPP, On, YKC, contract, started};

on_both! {
    errors_that_no_handler_made_are_problems_too
    bodies_are_read_strictly
    starts_are_guarded
    the_same_key_is_one_order
    pages_hold_together
    commands_are_issued_and_answered
    previews_follow_the_billing_rules
    nothing_random_is_a_server_error
}

async fn errors_that_no_handler_made_are_problems_too(on: On) {
    let app = App::start(on).await;
    app.get("/").await.problem(404, "not_found");
    app.get("/v1/nothing").await.problem(404, "not_found");
    app.get("/v1/chargers/%ff").await.problem(404, "not_found");
    app.get("/v1/chargers/a%00b").await.problem(404, "not_found");
    let answer = app.call("DELETE", "/v1/orders", KEY, &[], None).await;
    assert!(answer.headers.contains_key("allow"));
    answer.problem(405, "method_not_allowed");
    app.get("/v1/chargers/x/connectors/one").await.problem(404, "not_found");
    app.get("/metrics").await.problem(404, "not_found");
    for path in ["/livez", "/readyz", "/docs"] {
        assert_eq!(app.call("GET", path, "", &[], None).await.status, 200, "{path}");
    }
    let status = app.call("GET", "/status", "", &[], None).await.expect(200);
    assert_eq!(status["status"], "ok", "{status}");
    let answer = app.call("GET", "/v1/orders/none", KEY, &[("x-correlation-id", "abc-1")], None).await;
    assert_eq!(answer.problem(404, "not_found")["correlation_id"], "abc-1");
    let answer = app.call("GET", "/v1/orders/none", KEY, &[("x-correlation-id", "bad id!")], None).await;
    assert_eq!(answer.problem(404, "not_found")["correlation_id"].as_str().unwrap().len(), 36);
}

async fn raw(app: &App, path: &str, content_type: &str, body: &[u8]) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("{}{path}", app.base)).bearer_auth(KEY);
    let request = request.header("idempotency-key", "k").header("content-type", content_type).body(body.to_vec());
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    contract::check("POST", path, status, &headers, &bytes);
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn bodies_are_read_strictly(on: On) {
    let app = App::start(on).await;
    let commands = format!("/v1/chargers/{YKC}/commands");
    for path in ["/v1/orders", "/v1/tariffs/preview", "/v1/orders/none/stop", commands.as_str()] {
        let (status, body) = raw(&app, path, "text/plain", b"{}").await;
        assert_eq!((status, &body["code"]), (415, &json!("unsupported_media_type")), "{path}");
        let (status, body) = raw(&app, path, "application/json", b"{\"a\":").await;
        assert_eq!((status, &body["code"]), (400, &json!("malformed_json")), "{path}");
        let (status, body) = raw(&app, path, "application/json; charset=utf-8", b"[1]").await;
        assert_eq!((status, &body["code"]), (422, &json!("invalid_body")), "{path}");
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
        let (status, body) = raw(&app, path, "application/json", large.as_bytes()).await;
        assert_eq!((status, &body["code"]), (413, &json!("too_large")), "{path}");
        let (status, body) = raw(&app, path, "application/json", b"{\"a\":[\"\\u0000\"]}").await;
        assert_eq!((status, &body["errors"][0]["pointer"]), (422, &json!("/a/0")), "{path}");
    }
    let typo = json!({"charger": YKC, "connector": 1, "account": "a", "balence_fen": 1});
    let problem = app.post("/v1/orders", typo).await.problem(422, "invalid_body");
    assert!(problem["detail"].as_str().unwrap().contains("balence_fen"), "{problem}");
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "colour=red",
        "state=charging",
        "from=yesterday",
        "limit=1&limit=2",
    ] {
        let answer = app.get(&format!("/v1/orders?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
    }
    let no_key = app.call("POST", "/v1/orders", KEY, &[], Some(&json!({}))).await;
    no_key.problem(400, "idempotency_key_required");
}

async fn starts_are_guarded(on: On) {
    let app = App::start(on).await;
    let start =
        |charger: &str, connector: i64| json!({"charger": charger, "connector": connector, "account": "user-1"});
    app.post("/v1/orders", start("nobody", 1)).await.problem(422, "unknown_charger");
    app.post("/v1/orders", start(YKC, 1)).await.problem(409, "charger_offline");
    app.connect(YKC).await;
    app.post("/v1/orders", start(YKC, 3)).await.problem(422, "unknown_connector");
    app.post("/v1/orders", start(YKC, -1)).await.problem(422, "invalid_body");
    app.post("/v1/orders", json!({"charger": YKC, "connector": 1, "account": ""})).await.problem(422, "invalid_value");
    let poor = json!({"charger": YKC, "connector": 1, "account": "a", "balance_fen": 0});
    app.post("/v1/orders", poor).await.problem(422, "invalid_value");
    app.post("/v1/orders", start(YKC, 1)).await.expect(201);
    app.post("/v1/orders", start(YKC, 1)).await.problem(409, "connector_busy");
    app.post("/v1/orders", start(YKC, 2)).await.expect(201);
    // Many at once on one connector: one order.
    app.connect(OCPP).await;
    let tries = (0..8).map(|_| app.post("/v1/orders", start(OCPP, 1)));
    let mut statuses: Vec<u16> = futures::future::join_all(tries).await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
}

async fn the_same_key_is_one_order(on: On) {
    let app = App::start(on).await;
    app.connect(YKC).await;
    let body = json!({"charger": YKC, "connector": 1, "account": "user-1"});
    let post = |key: &'static str, body: Value| {
        let app = &app;
        async move { app.call("POST", "/v1/orders", KEY, &[("idempotency-key", key)], Some(&body)).await }
    };
    let first = post("\"one\"", body.clone()).await;
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let (location, first) = (first.headers["location"].clone(), first.expect(201));
    // The same words in another order, and the bare form of the key.
    let again = post("one", json!({"account": "user-1", "connector": 1, "charger": YKC})).await;
    assert_eq!(
        (&again.headers["idempotency-replayed"], &again.headers["location"]),
        (&"true".parse().unwrap(), &location)
    );
    assert_eq!(again.expect(201), first);
    post("one", json!({"charger": YKC, "connector": 2, "account": "user-1"}))
        .await
        .problem(422, "idempotency_key_reused");
    // A refusal is kept too: the answer does not change because the connector became free meanwhile.
    post("two", body.clone()).await.problem(409, "connector_busy");
    let again = post("two", body.clone()).await;
    assert!(again.headers.contains_key("idempotency-replayed"));
    again.problem(409, "connector_busy");
    // At the same moment: one order, everybody else hears of it or is told to wait.
    let body = json!({"charger": YKC, "connector": 2, "account": "user-1"});
    let answers = futures::future::join_all((0..6).map(|_| post("three", body.clone()))).await;
    let mut numbers: Vec<String> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .map(|answer| answer.body["order_no"].as_str().unwrap().to_owned())
        .collect();
    assert!(answers.iter().all(|a| a.status == 201 || a.body["code"] == "idempotency_key_in_progress"), "{answers:?}");
    numbers.dedup();
    assert_eq!(numbers.len(), 1);
    assert_eq!(app.get("/v1/orders").await.expect(200)["items"].as_array().unwrap().len(), 2);
    // A stop: the path is part of the key's scope.
    let (no, session) = (first["order_no"].as_str().unwrap(), first["session"].as_str().unwrap());
    app.say(YKC, 1, app.now(), started(session, "", app.now(), None));
    app.order_in(no, "CHARGING").await;
    let stop = format!("/v1/orders/{no}/stop");
    for replayed in [false, true] {
        let answer = app.call("POST", &stop, KEY, &[("idempotency-key", "one")], Some(&json!({}))).await;
        assert_eq!(answer.headers.contains_key("idempotency-replayed"), replayed);
        answer.expect(202);
    }
    assert_eq!(app.commands(3).await.len(), 3, "two starts and one stop");
}

/// A whole list, page by page, and how many pages it took.
async fn all(app: &App, path: &str, limit: usize) -> (Vec<Value>, usize) {
    let (mut cursor, mut items, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let page = app.get(&format!("{path}limit={limit}{cursor}")).await.expect(200);
        items.extend(page["items"].as_array().unwrap().clone());
        pages += 1;
        let Some(next) = page["next_cursor"].as_str() else { return (items, pages) };
        cursor = format!("&cursor={next}");
    }
}

async fn pages_hold_together(on: On) {
    let app = App::start(on).await;
    for (path, total) in [
        ("/v1/chargers?", 42),
        ("/v1/connectors?", 72),
        ("/v1/tokens?", 34),
        ("/v1/stations?", 4),
        ("/v1/tariffs?", 6),
        ("/v1/tariffs?station=S01&", 3),
        ("/v1/chargers/10010001000001/connectors?", 2),
    ] {
        let (whole, pages) = all(&app, path, 200).await;
        assert_eq!((whole.len(), pages), (total, 1), "{path}");
        let (parts, pages) = all(&app, path, 2).await;
        assert_eq!((&parts, pages), (&whole, total.div_ceil(2)), "{path}");
    }
    for n in 0..7 {
        app.say(YKC, 1, app.now() + n, support_record(n.unsigned_abs()));
    }
    app.until("/v1/orders", |body| body["items"].as_array().unwrap().len() == 7).await;
    let (orders, pages) = all(&app, "/v1/orders?", 3).await;
    assert_eq!((orders.len(), pages), (7, 3));
    assert!(orders.is_sorted_by(|a, b| a["created_at"].as_str() >= b["created_at"].as_str()));
    // Two records under one session are two lines.
    let session = orders[0]["session"].as_str().unwrap();
    let other = support::record(session, support::T0 - 60_000, support::T0, 99);
    app.say(YKC, 1, app.now(), events::proto::envelope::Body::TransactionRecorded(other));
    let order = format!("/v1/orders/{}", orders[0]["order_no"].as_str().unwrap());
    app.until(&order, |body| body["record_status"] == "conflict").await;
    let timeline = format!("{order}/timeline?");
    let (whole, pages) = all(&app, &timeline, 200).await;
    assert_eq!((whole.len(), pages), (2, 1), "{whole:?}");
    assert_eq!(all(&app, &timeline, 1).await, (whole, 2));
    let page = app.get("/v1/orders?limit=3&state=EXCEPTION").await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    app.get(&format!("/v1/orders?limit=3&cursor={cursor}")).await.problem(400, "bad_cursor");
    app.get(&format!("/v1/chargers?cursor={cursor}")).await.problem(400, "bad_cursor");
    let at = orders[3]["created_at"].as_str().unwrap().replace('+', "%2B");
    let (from, to) = (format!("/v1/orders?from={at}"), format!("/v1/orders?to={at}"));
    let count = |body: Value| body["items"].as_array().unwrap().len();
    assert_eq!(count(app.get(&from).await.expect(200)) + count(app.get(&to).await.expect(200)), 7, "half-open");
}

fn support_record(n: u64) -> events::proto::envelope::Body {
    let session = format!("{YKC}01{n:016}");
    events::proto::envelope::Body::TransactionRecorded(support::record(
        &session,
        support::T0 - 60_000,
        support::T0,
        10 + n,
    ))
}

async fn commands_are_issued_and_answered(on: On) {
    let app = App::start(on).await;
    let path = format!("/v1/chargers/{YKC}/commands");
    app.post(&path, json!({"kind": "reboot"})).await.problem(409, "charger_offline");
    app.connect(YKC).await;
    for (body, status) in [
        (json!({"kind": "reboot", "immediately": true}), 202),
        (json!({"kind": "sync_time"}), 202),
        (json!({"kind": "set_tariff"}), 202),
        (json!({"kind": "set_tariff", "tariff": "S99/1"}), 422),
        (json!({"kind": "update_balance", "connector": 1, "balance_fen": 100}), 202),
        (json!({"kind": "update_balance", "connector": 9, "balance_fen": 100}), 422),
        (json!({"kind": "read_live_data", "connector": 2}), 202),
        (json!({"kind": "send_ocpp_call", "action": "Reset", "payload": {}}), 409),
        (json!({"kind": "explode"}), 422),
        (json!({"kind": "sync_time", "colour": "red"}), 422),
    ] {
        let answer = app.post(&path, body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
    }
    let sent = app.commands(5).await;
    assert_eq!(sent.len(), 5);
    assert!(sent.iter().all(|command| command.expires_at_ms - command.issued_at_ms == 60_000));
    let answer = events::proto::CommandAnswered {
        command_id: sent[0].command_id.clone(),
        outcome: events::proto::CommandOutcome::Rejected.into(),
        code: "00".into(),
        ..Default::default()
    };
    app.say(YKC, 0, app.now(), events::proto::envelope::Body::CommandAnswered(answer));
    let one = format!("/v1/commands/{}", sent[0].command_id);
    let answered = app.until(&one, |body| body["state"] == "rejected").await;
    assert_eq!((&answered["code"], &answered["kind"]), (&json!("00"), &json!("reboot")));
    let list = app.get(&format!("{path}?limit=2")).await.expect(200);
    assert_eq!(list["items"][0]["kind"], "read_live_data");
    let next = list["next_cursor"].as_str().unwrap();
    assert_eq!(
        app.get(&format!("{path}?limit=2&cursor={next}")).await.expect(200)["items"].as_array().unwrap().len(),
        2
    );
}

async fn previews_follow_the_billing_rules(on: On) {
    let app = App::start(on).await;
    // Case B03: crosses midnight.
    let body = json!({
        "tariff": "S01/1", "start": "2025-11-11T22:30:00+08:00", "end": "2025-11-12T01:15:00+08:00", "energy_kwh": "41.2500",
        "samples": [
            {"at": "2025-11-11T22:45:00+08:00", "energy_kwh": "5.0000"},
            {"at": "2025-11-11T15:30:00Z", "energy_kwh": "20"},
            {"at": "2025-11-12T00:30:00+08:00", "energy_kwh": "34.5"},
        ],
    });
    let bill = app.post("/v1/tariffs/preview", body.clone()).await.expect(200);
    assert_eq!((&bill["total_fen"], bill["segments"].as_array().unwrap().len()), (&json!(3456), 3), "{bill}");
    for (name, value, pointer) in [
        ("energy_kwh", json!("1.23456"), "/energy_kwh"),
        ("energy_kwh", json!("-1"), "/energy_kwh"),
        ("start", json!("2025-11-11T22:30:00"), "/start"),
        ("end", json!("2025-11-11T22:00:00+08:00"), "/end"),
        ("tariff", json!("S09/1"), "/tariff"),
        ("start", json!("1999-01-01T00:00:00+08:00"), ""),
    ] {
        let mut bad = body.clone();
        bad[name] = value;
        let answer = app.post("/v1/tariffs/preview", bad.clone()).await;
        assert_eq!(
            (answer.status, answer.body["errors"][0]["pointer"].as_str()),
            (422, Some(pointer)),
            "{bad}: {}",
            answer.body
        );
    }
}

/// Random paths, queries and bodies on every route, from a fixed seed.
async fn nothing_random_is_a_server_error(on: On) {
    let app = App::start(on).await;
    app.connect(YKC).await;
    let mut random = StdRng::seed_from_u64(1001);
    let texts = [
        YKC,
        "",
        "'",
        "\"",
        "%",
        "%25",
        "%27%3B%20DROP",
        "😀",
        "a/b",
        "..",
        "S01",
        "1",
        "0",
        "-1",
        "999999999999999999999",
        "null",
        "\u{202e}",
        "%F0%9F%98%80",
        "x%0Ay",
        "true",
        "2025-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ];
    let value = |random: &mut StdRng| -> Value {
        match random.random_range(0..9) {
            0 => Value::Null,
            1 => json!(random.random::<i64>()),
            2 => json!(random.random::<f64>()),
            3 => json!([[], {}, "x"]),
            4 => json!({"a": {"b": 1}}),
            5 => json!("x".repeat(random.random_range(0..3_000))),
            _ => json!(texts[random.random_range(0..texts.len())]),
        }
    };
    let names = [
        "charger",
        "connector",
        "account",
        "balance_fen",
        "by",
        "tariff",
        "start",
        "end",
        "energy_kwh",
        "samples",
        "kind",
        "station",
        "name",
        "uid",
        "protocol",
        "rated_power_w",
        "version",
        "versions",
        "effective_from",
        "effective_to",
        "periods",
        "default_tariff",
        "status",
        "x",
    ];
    let operations: Vec<(&String, &String)> = contract::DOCUMENT["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| (path, method)))
        .collect();
    for _ in 0..1_000 {
        let (path, method) = operations[random.random_range(0..operations.len())];
        let mut path: String = path
            .split('/')
            .map(|part| {
                if !part.starts_with('{') {
                    return part.to_owned();
                }
                let text = texts[random.random_range(0..texts.len())];
                text.replace(['/', '"', '\''], "_").replace("..", "%2E%2E.")
            })
            .collect::<Vec<_>>()
            .join("/");
        if random.random_bool(0.5) {
            let name = ["limit", "cursor", "state", "from", "to", "online", "station", "x"][random.random_range(0..8)];
            path += &format!("?{name}={}", texts[random.random_range(0..texts.len())].replace(['"', '\''], "%27"));
        }
        let mut body = json!({});
        for _ in 0..random.random_range(0..7) {
            body[names[random.random_range(0..names.len())]] = value(&mut random);
        }
        let body = (method == "post" || method == "patch").then_some(&body);
        let headers = [("idempotency-key", "\"k\""), ("if-match", "*")];
        let answer = app.call(&method.to_uppercase(), &path, KEY, &headers, body).await;
        assert!(answer.status < 500, "{method} {path} {body:?}: {}", answer.body);
    }
}

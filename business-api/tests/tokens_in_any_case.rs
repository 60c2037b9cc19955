//! An idTag has no case (OCPP 1.6 CiString20): whoever is accepted at the charger is the one who pays, and no two tokens are so alike
//! that one of them would be taken for the other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use business_api::registry::{self, ApplyError};
use events::proto::{self, envelope::Body};
use serde_json::json;
use support::{App, OCPP, OTHER_KEY, On, YKC, record, started};

on_both! {
    a_token_pays_in_whatever_case_it_is_said
    a_card_pays_on_whichever_side_its_number_stands
    an_order_is_found_by_its_tag_in_any_case
    rest_refuses_a_token_that_differs_only_in_case
    a_file_with_two_such_tokens_is_refused
}

async fn a_token_pays_in_whatever_case_it_is_said(on: On) {
    let app = App::start(on).await;
    for (uid, kind) in [("AbCd", "id_tag"), ("LB370ADN2SJ188777", "vin"), ("00000000ABCDEF01", "card")] {
        app.post("/v1/tokens", json!({"uid": uid, "kind": kind, "account": format!("pays {uid}")})).await.expect(201);
    }
    let t = app.now();
    for (n, said) in ["AbCd", "aBcD", "abcd", "ABCD"].into_iter().enumerate() {
        app.say(OCPP, 1, t + n as i64, started(&(70 + n).to_string(), said, t + n as i64, Some(0)));
    }
    for (n, card, vin) in [(1, "00000000aBcDeF01", ""), (2, "", "lb370adn2sj188777")] {
        let mut record = record(&format!("{YKC}01{n:016}"), t - 50 * 60_000, t, 100_000);
        record.start_mode = proto::StartMode::OfflineCard.into();
        if card.is_empty() {
            record.start_mode = proto::StartMode::Vin.into();
        }
        (record.card, record.vin) = (card.to_owned(), vin.to_owned());
        app.say(YKC, 1, t, Body::TransactionRecorded(record));
    }
    let orders = app.until("/v1/orders", |body| body["items"].as_array().is_some_and(|items| items.len() == 6)).await;
    let payers: Vec<_> = orders["items"].as_array().unwrap().iter().map(|order| order["account"].as_str()).collect();
    assert_eq!(payers.iter().filter(|payer| **payer == Some("pays AbCd")).count(), 4, "{payers:?}");
    assert_eq!(payers.iter().filter(|payer| **payer == Some("pays 00000000ABCDEF01")).count(), 1, "{payers:?}");
}

async fn a_card_pays_on_whichever_side_its_number_stands(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    // 00000000d1000002 is registered, of user-002.
    let mut record = record(&format!("{YKC}01{:016}", 1), t - 50 * 60_000, t, 200_000);
    record.start_mode = proto::StartMode::OfflineCard.into();
    record.card = "d100000200000000".to_owned();
    app.say(YKC, 1, t, Body::TransactionRecorded(record));
    let orders = app.until("/v1/orders", |body| body["items"].as_array().is_some_and(|items| items.len() == 1)).await;
    let order = &orders["items"][0];
    assert_eq!((&order["account"], &order["state"]), (&json!("user-002"), &json!("COMPLETED")), "{order}");
}

async fn an_order_is_found_by_its_tag_in_any_case(on: On) {
    let app = App::start(on).await;
    app.connect(OCPP).await;
    let order = app.post("/v1/orders", json!({"charger": OCPP, "connector": 1, "account": "user-1"})).await.expect(201);
    let tag = order["id_tag"].as_str().unwrap().to_lowercase();
    let t = app.now();
    app.say(OCPP, 1, t, started("77", &tag, t, Some(0)));
    app.order_in(order["order_no"].as_str().unwrap(), "CHARGING").await;
}

async fn rest_refuses_a_token_that_differs_only_in_case(on: On) {
    let app = App::start(on).await;
    app.post("/v1/tokens", json!({"uid": "AbCd", "kind": "id_tag"})).await.expect(201);
    let refused = app.post("/v1/tokens", json!({"uid": "aBcD", "kind": "id_tag"})).await.problem(422, "invalid_value");
    assert_eq!(refused["errors"][0]["pointer"], "/uid");
    let detail = "differs only in case from the token AbCd; a token is found in any case";
    assert_eq!(refused["errors"][0]["detail"], detail);
    app.post("/v1/tokens", json!({"uid": "AbCd", "kind": "id_tag"})).await.problem(409, "already_exists");
    app.get("/v1/tokens/aBcD").await.expect(404);
    // Another tenant has tokens of its own; and the name is free when the first is gone.
    app.call("POST", "/v1/tokens", OTHER_KEY, &[], Some(&json!({"uid": "aBcD", "kind": "id_tag"}))).await.expect(201);
    app.call("DELETE", "/v1/tokens/AbCd", support::KEY, &[], None).await.expect(204);
    app.post("/v1/tokens", json!({"uid": "aBcD", "kind": "id_tag"})).await.expect(201);
}

async fn a_file_with_two_such_tokens_is_refused(on: On) {
    let app = App::start(on).await;
    let path = app.db.folder.path().join("tokens.toml");
    let apply = async |uids: &[&str]| {
        let mut text = "[[tenants]]\nid = 1001\nname = \"t\"\nkeys = []\n".to_owned();
        for uid in uids {
            text += &format!("[[tokens]]\ntenant = 1001\nuid = \"{uid}\"\nkind = \"id_tag\"\n");
        }
        std::fs::write(&path, text).unwrap();
        match registry::apply(&app.store, &path, false, app.now()).await {
            Ok(_) => Vec::new(),
            Err(ApplyError::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
            Err(error) => panic!("{error}"),
        }
    };
    let refused = apply(&["AbCd", "aBcD", "AbCd"]).await;
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[0].contains("differs only in case from the token AbCd"), "{refused:?}");
    assert!(refused[1].contains("is there twice"), "{refused:?}");
    assert_eq!(apply(&["AbCd"]).await, Vec::<String>::new());
    assert_eq!(apply(&["AbCd"]).await, Vec::<String>::new(), "the same again is no other");
    let refused = apply(&["abcd"]).await;
    assert!(refused.len() == 1 && refused[0].contains("differs only in case from the token AbCd"), "{refused:?}");
}

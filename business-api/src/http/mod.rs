//! The REST interface: a file per resource, each parses, calls a room or the store, renders.

mod charger_edit;
mod chargers;
mod commands;
mod cursor;
mod dead_letters;
mod edge;
mod edit;
mod estimate;
mod extract;
mod health;
mod idempotent;
mod json;
mod openapi;
mod orders;
mod problem;
mod query;
mod records;
mod stations;
mod summary;
mod tariff_edit;
mod tariffs;
mod text;
mod tokens;
mod wire;
mod work_items;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{MethodRouter, get, post},
};
use events::clock::Clock;

pub(crate) use idempotent::KEPT_MS;
pub use problem::{FieldError, Problem};
pub(crate) use wire::Dressed;

use crate::{config::Config, metrics::Metrics, outbox::Bell, serve::Render, status::Status, store::Store};

/// What every handler has.
#[derive(Clone)]
pub(crate) struct State {
    pub store: Store,
    pub clock: Clock,
    pub config: Arc<Config>,
    pub bell: Bell,
    pub status: Status,
    pub metrics: Arc<Metrics>,
    pub render: Option<Render>,
}

/// Every route, in the form of the OpenAPI document.
fn routes() -> Vec<(&'static str, MethodRouter<State>)> {
    vec![
        ("/v1/stations", get(stations::list).post(stations::create)),
        ("/v1/stations/{station}", get(stations::one).patch(stations::change).delete(stations::remove)),
        ("/v1/chargers", get(chargers::list).post(charger_edit::create)),
        ("/v1/chargers/{charger}", get(chargers::one).patch(charger_edit::change).delete(charger_edit::remove)),
        ("/v1/chargers/{charger}/connectors", get(chargers::connectors_of)),
        ("/v1/chargers/{charger}/connectors/{connector}", get(chargers::connector)),
        ("/v1/chargers/{charger}/commands", get(commands::list).post(commands::send)),
        ("/v1/connectors", get(chargers::connectors)),
        ("/v1/commands/{command_id}", get(commands::one)),
        ("/v1/tokens", get(tokens::list).post(tokens::create)),
        ("/v1/tokens/{uid}", get(tokens::one).patch(tokens::change).delete(tokens::remove)),
        ("/v1/tariffs", get(tariffs::list).post(tariff_edit::create)),
        ("/v1/tariffs/preview", post(tariffs::preview)),
        ("/v1/tariffs/{station}/{group}", get(tariffs::one).patch(tariff_edit::change).delete(tariff_edit::remove)),
        ("/v1/tariffs/{station}/{group}/versions", post(tariff_edit::add_version)),
        (
            "/v1/tariffs/{station}/{group}/versions/{version}",
            get(tariff_edit::version).patch(tariff_edit::change_version),
        ),
        ("/v1/orders", get(orders::list).post(orders::start)),
        ("/v1/orders/{order_no}", get(orders::one)),
        ("/v1/orders/{order_no}/stop", post(orders::stop)),
        ("/v1/orders/{order_no}/estimate", post(estimate::ask)),
        ("/v1/orders/{order_no}/estimate/approve", post(estimate::approve)),
        ("/v1/orders/{order_no}/timeline", get(orders::timeline)),
        ("/v1/orders/{order_no}/bill", get(orders::bill)),
        ("/v1/orders/{order_no}/records", get(records::list)),
        ("/v1/work-items", get(work_items::list)),
        ("/v1/work-items/{work_item}", get(work_items::one)),
        ("/v1/work-items/{work_item}/close", post(work_items::close)),
        ("/v1/dead-letters", get(dead_letters::list)),
        ("/v1/dead-letters/{letter}", get(dead_letters::one)),
        ("/v1/dead-letters/{letter}/redrive", post(dead_letters::redrive)),
        ("/v1/dead-letters/{letter}/dismiss", post(dead_letters::dismiss)),
        ("/v1/summary", get(summary::summary)),
        ("/openapi.json", get(openapi::document)),
        ("/docs", get(openapi::page)),
        ("/livez", get(health::livez)),
        ("/readyz", get(health::readyz)),
        ("/status", get(health::status)),
        ("/metrics", get(health::metrics)),
    ]
}

/// Paths of all routes; a test holds the OpenAPI document to them.
#[must_use]
pub fn paths() -> Vec<&'static str> {
    routes().into_iter().map(|(path, _)| path).collect()
}

pub(crate) fn router(state: State) -> Router {
    let limit = state.config.body_limit_bytes;
    routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
        .layer(DefaultBodyLimit::max(limit))
        .layer(middleware::from_fn(query::strict))
        .layer(middleware::from_fn_with_state(state.clone(), edge::edge))
        .with_state(state)
}

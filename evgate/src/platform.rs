//! A small client of the business API, for the demo and the tests: what any integrator would write.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::{Value, json};

/// A tenant's view of the API.
#[derive(Clone, Debug)]
pub struct Platform {
    http: reqwest::Client,
    base: String,
    key: String,
}

/// An order as far as its money goes.
#[derive(Clone, Debug, Deserialize)]
pub struct Order {
    /// Its number.
    pub order_no: String,
    /// Its charger.
    pub charger: String,
    /// Trade number or transaction id, once known.
    #[serde(default)]
    pub session: Option<String>,
    /// State, e.g. `COMPLETED`.
    pub state: String,
    /// Why it is an exception.
    #[serde(default)]
    pub exception_code: Option<String>,
    /// kWh as decimal text, once billed.
    #[serde(default)]
    pub energy_kwh: Option<String>,
    /// Fen, once billed.
    #[serde(default)]
    pub total_fen: Option<i64>,
}

impl Order {
    /// Nothing will change any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self.state.to_ascii_uppercase().as_str(), "COMPLETED" | "CLOSED_ZERO" | "START_FAILED" | "CANCELLED")
    }

    /// Energy delivered (0.0001 kWh) and money owed (fen), as far as it says so: nothing and nothing, where no charge began.
    #[must_use]
    pub fn reckoned(&self) -> (Option<i64>, Option<i64>) {
        let began = !matches!(self.state.to_ascii_uppercase().as_str(), "START_FAILED" | "CANCELLED");
        match (self.energy_e4(), self.total_fen) {
            (None, None) if !began => (Some(0), Some(0)),
            said => said,
        }
    }

    /// Energy in 0.0001 kWh.
    #[must_use]
    pub fn energy_e4(&self) -> Option<i64> {
        e4(self.energy_kwh.as_deref()?)
    }
}

/// Decimal text of four decimals in units of 0.0001.
#[must_use]
pub fn e4(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.')?;
    if part.len() != 4 {
        return None;
    }
    format!("{whole}{part}").parse().ok()
}

/// How the tenant is doing.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Summary {
    /// Orders by state.
    pub orders: BTreeMap<String, usize>,
    /// kWh of all billed orders, decimal text.
    pub energy_kwh: String,
    /// Fen of all billed orders.
    pub money_fen: i64,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Order>,
    next_cursor: Option<String>,
}

impl Platform {
    /// A client for the API at `addr` with a tenant's key.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(addr: SocketAddr, key: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build()?;
        Ok(Self { http, base: format!("http://{addr}"), key: key.to_owned() })
    }

    /// The same tenant at another address.
    #[must_use]
    pub fn at(&self, addr: SocketAddr) -> Self {
        Self { base: format!("http://{addr}"), ..self.clone() }
    }

    /// GETs a path.
    ///
    /// # Errors
    /// The transport's, or the problem document's.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.key).query(query);
        read(request.send().await?).await.with_context(|| format!("GET {path}"))
    }

    /// POSTs a body under an idempotency key.
    ///
    /// # Errors
    /// The transport's, or the problem document's.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Result<Value> {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.key);
        let request = request.header("Idempotency-Key", key).json(body);
        read(request.send().await?).await.with_context(|| format!("POST {path}"))
    }

    /// Starts a charge from afar.
    ///
    /// # Errors
    /// As [`Platform::post`].
    pub async fn start(&self, charger: &str, connector: u32, account: &str, key: &str) -> Result<Order> {
        let body = json!({"charger": charger, "connector": connector, "account": account});
        Ok(serde_json::from_value(self.post("/v1/orders", key, &body).await?)?)
    }

    /// Stops a charge from afar.
    ///
    /// # Errors
    /// As [`Platform::post`].
    pub async fn stop(&self, order_no: &str, key: &str) -> Result<Value> {
        self.post(&format!("/v1/orders/{order_no}/stop"), key, &json!({})).await
    }

    /// The tenant's key, as given.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The figures of a live view.
    ///
    /// # Errors
    /// As [`Platform::get`].
    pub async fn summary(&self) -> Result<Summary> {
        Ok(serde_json::from_value(self.get("/v1/summary", &[]).await?)?)
    }

    /// One order.
    ///
    /// # Errors
    /// As [`Platform::get`].
    pub async fn order(&self, order_no: &str) -> Result<Order> {
        Ok(serde_json::from_value(self.get(&format!("/v1/orders/{order_no}"), &[]).await?)?)
    }

    /// All orders created at or after `from` (RFC 3339; empty: ever), page by page.
    ///
    /// # Errors
    /// As [`Platform::get`].
    pub async fn orders(&self, from: &str) -> Result<Vec<Order>> {
        let mut orders = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = vec![("limit", "200")];
            if !from.is_empty() {
                query.push(("from", from));
            }
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            let page: Page = serde_json::from_value(self.get("/v1/orders", &query).await?)?;
            orders.extend(page.items);
            match page.next_cursor {
                None => return Ok(orders),
                Some(next) if cursor.as_ref() == Some(&next) => bail!("the list of orders does not end"),
                next => cursor = next,
            }
        }
    }
}

/// Orders by state, for people.
#[must_use]
pub fn by_state(orders: &[Order]) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for order in orders {
        *states.entry(order.state.clone()).or_insert(0) += 1;
    }
    states
}

async fn read(response: reqwest::Response) -> Result<Value> {
    let status = response.status();
    let text = response.text().await?;
    if !status.is_success() {
        return Err(anyhow!("{status}: {text}"));
    }
    serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(state: &str, energy_kwh: Option<&str>, total_fen: Option<i64>) -> Order {
        Order {
            order_no: "1".to_owned(),
            charger: "C".to_owned(),
            session: Some("S".to_owned()),
            state: state.to_owned(),
            exception_code: None,
            energy_kwh: energy_kwh.map(str::to_owned),
            total_fen,
        }
    }

    #[test]
    fn only_an_order_that_never_began_says_nothing_delivered_without_a_bill() {
        for state in ["START_FAILED", "start_failed", "CANCELLED"] {
            assert_eq!(order(state, None, None).reckoned(), (Some(0), Some(0)));
            assert_eq!(order(state, Some("0.0001"), None).reckoned(), (Some(1), None), "what was drawn is owed");
        }
        for state in ["COMPLETED", "CLOSED_ZERO", "STARTING", "SETTLING"] {
            assert_eq!(order(state, None, None).reckoned(), (None, None));
        }
        assert_eq!(order("COMPLETED", Some("12.3456"), Some(987)).reckoned(), (Some(123_456), Some(987)));
    }
}

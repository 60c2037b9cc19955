//! An OCPP 1.6 station's socket, by a WebSocket library that is not ours.

use std::net::SocketAddr;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest as _, http::Response},
};

use super::PATIENCE;

pub struct Client<S = TcpStream> {
    pub ws: WebSocketStream<S>,
    next_id: u32,
}

/// Tries an upgrade.
pub async fn upgrade(
    addr: SocketAddr,
    path: &str,
    subprotocol: Option<&str>,
    basic: Option<(&str, &str)>,
) -> Result<(WebSocketStream<TcpStream>, Response<Option<Vec<u8>>>), tungstenite::Error> {
    use base64::Engine as _;
    let mut request = format!("ws://{addr}{path}").into_client_request()?;
    if let Some(subprotocol) = subprotocol {
        request.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol.parse().unwrap());
    }
    if let Some((user, password)) = basic {
        let coded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        request.headers_mut().insert("Authorization", format!("Basic {coded}").parse().unwrap());
    }
    let stream = TcpStream::connect(addr).await?;
    timeout(PATIENCE, tokio_tungstenite::client_async(request, stream)).await.unwrap()
}

impl Client {
    pub async fn connect(addr: SocketAddr, id: &str) -> Self {
        let (ws, _) = upgrade(addr, &format!("/ocpp/{id}"), Some("ocpp1.6"), None).await.unwrap();
        Self::over(ws)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub const fn over(ws: WebSocketStream<S>) -> Self {
        Self { ws, next_id: 0 }
    }

    pub async fn text(&mut self, text: &str) {
        timeout(PATIENCE, self.ws.send(Message::text(text))).await.unwrap().unwrap();
    }

    /// The next JSON message; `Err` with the close code at the end.
    pub async fn next(&mut self) -> Result<Value, Option<u16>> {
        loop {
            match timeout(PATIENCE, self.ws.next()).await.expect("no message in time") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Sends a CALL; its id.
    pub async fn call(&mut self, action: &str, payload: Value) -> String {
        self.next_id += 1;
        let id = format!("m{}", self.next_id);
        self.text(&json!([2, id, action, payload]).to_string()).await;
        id
    }

    /// Sends a CALL and expects its CALLRESULT.
    pub async fn ask(&mut self, action: &str, payload: Value) -> Value {
        let id = self.call(action, payload).await;
        self.result(&id).await
    }

    pub async fn result(&mut self, id: &str) -> Value {
        let answer = self.next().await.expect("the gateway closed");
        assert_eq!((&answer[0], &answer[1]), (&json!(3), &json!(id)), "{answer}");
        answer[2].clone()
    }

    /// The code of the CALLERROR that a text gets.
    pub async fn error_of(&mut self, text: &str) -> String {
        self.text(text).await;
        let answer = self.next().await.expect("the gateway closed");
        assert_eq!(answer[0], json!(4), "{answer}");
        answer[2].as_str().unwrap().to_owned()
    }

    /// Nothing may come for a while.
    pub async fn silence(&mut self, ms: u64) {
        let next = timeout(std::time::Duration::from_millis(ms), self.ws.next()).await;
        assert!(next.is_err(), "something came: {next:?}");
    }

    /// A heartbeat is answered.
    pub async fn beats(&mut self) {
        let answer = self.ask("Heartbeat", json!({})).await;
        assert!(answer["currentTime"].as_str().unwrap().ends_with('Z'));
    }

    pub async fn close_code(&mut self) -> Option<u16> {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }
}

pub fn start(connector: u32, meter: u32) -> Value {
    json!({"connectorId": connector, "idTag": "TAG-1", "meterStart": meter, "timestamp": "2026-11-21T10:00:00Z"})
}

pub fn meter_values(transaction: i64, wh: u32) -> Value {
    json!({"connectorId": 1, "transactionId": transaction, "meterValue": [{
        "timestamp": "2026-11-21T10:05:00Z",
        "sampledValue": [
            {"value": wh.to_string(), "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
            {"value": "11.0", "measurand": "Power.Active.Import", "unit": "kW"},
            {"value": "16.1", "measurand": "Current.Import", "unit": "A", "phase": "L1"},
        ],
    }]})
}

pub fn stop(transaction: i64, wh: u32) -> Value {
    json!({"transactionId": transaction, "meterStop": wh, "timestamp": "2026-11-21T11:00:00Z", "reason": "Local"})
}

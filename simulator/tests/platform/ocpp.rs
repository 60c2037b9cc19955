//! An OCPP 1.6 platform on loopback, on a WebSocket library that shares no code with the simulator.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// One call of the charge point, or its answer to an order (action empty).
#[derive(Clone, Debug)]
pub struct Said {
    pub at: Instant,
    pub connection: u64,
    pub id: String,
    pub action: String,
    pub payload: Value,
}

#[derive(Debug, Default)]
pub struct Knobs {
    /// Calls of these actions get no answer / a CALLERROR, so many times each.
    pub ignore: Mutex<HashMap<&'static str, u64>>,
    pub fail: Mutex<HashMap<&'static str, u64>>,
    pub refuse_upgrade: AtomicBool,
    pub pending_boots: AtomicU64,
    pub refuse_tags: AtomicBool,
}

/// (request path, Authorization).
type Upgrade = (String, Option<String>);

enum Down {
    Text(String),
    Ping,
    Cut,
}

/// The platform.
pub struct OcppPlatform {
    pub address: SocketAddr,
    pub knobs: Arc<Knobs>,
    log: Arc<Mutex<Vec<Said>>>,
    unreadable: Arc<AtomicU64>,
    pongs: Arc<AtomicU64>,
    upgrades: Arc<Mutex<Vec<Upgrade>>>,
    down: Arc<Mutex<Option<mpsc::Sender<Down>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for OcppPlatform {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Desk {
    knobs: Arc<Knobs>,
    log: Arc<Mutex<Vec<Said>>>,
    unreadable: Arc<AtomicU64>,
    pongs: Arc<AtomicU64>,
    upgrades: Arc<Mutex<Vec<Upgrade>>>,
    down: Arc<Mutex<Option<mpsc::Sender<Down>>>>,
    /// Start key -> transaction id: a repeated start gets the same one.
    starts: Arc<Mutex<HashMap<String, i64>>>,
}

impl OcppPlatform {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Desk {
            knobs: Arc::default(),
            log: Arc::default(),
            unreadable: Arc::default(),
            pongs: Arc::default(),
            upgrades: Arc::default(),
            down: Arc::default(),
            starts: Arc::default(),
        };
        let shared = desk.clone();
        let task = tokio::spawn(async move {
            for connection in 1.. {
                let (stream, _) = listener.accept().await.unwrap();
                let desk = shared.clone();
                tokio::spawn(async move { desk.serve(stream, connection).await });
            }
        });
        Self {
            address,
            knobs: desk.knobs,
            log: desk.log,
            unreadable: desk.unreadable,
            pongs: desk.pongs,
            upgrades: desk.upgrades,
            down: desk.down,
            task,
        }
    }

    pub fn log(&self) -> Vec<Said> {
        self.log.lock().unwrap().clone()
    }

    pub fn of(&self, action: &str) -> Vec<Said> {
        self.log().into_iter().filter(|said| said.action == action).collect()
    }

    pub fn actions(&self) -> Vec<String> {
        self.log().into_iter().map(|said| said.action).collect()
    }

    /// The charge point's answer to the order with this id.
    pub fn answer(&self, id: &str) -> Option<Value> {
        self.log().into_iter().find(|said| said.action.is_empty() && said.id == id).map(|said| said.payload)
    }

    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Relaxed)
    }

    pub fn pongs(&self) -> u64 {
        self.pongs.load(Relaxed)
    }

    /// (request path, Authorization) of every upgrade.
    pub fn upgrades(&self) -> Vec<Upgrade> {
        self.upgrades.lock().unwrap().clone()
    }

    fn down(&self, what: Down) {
        let _gone_already = self.down.lock().unwrap().as_ref().expect("a connection").try_send(what);
    }

    pub fn order(&self, id: &str, action: &str, payload: &Value) {
        self.down(Down::Text(json!([2, id, action, payload]).to_string()));
    }

    pub fn text(&self, text: &str) {
        self.down(Down::Text(text.to_owned()));
    }

    pub fn ping(&self) {
        self.down(Down::Ping);
    }

    pub fn cut(&self) {
        self.down(Down::Cut);
    }
}

impl Desk {
    async fn serve(self, stream: tokio::net::TcpStream, connection: u64) {
        #[allow(clippy::result_large_err)]
        let upgrade = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            let header = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
            self.upgrades.lock().unwrap().push((request.uri().path().to_owned(), header("authorization")));
            assert_eq!(header("sec-websocket-protocol").as_deref(), Some("ocpp1.6"));
            if self.knobs.refuse_upgrade.load(Relaxed) {
                let mut refusal = ErrorResponse::new(None);
                *refusal.status_mut() = tokio_tungstenite::tungstenite::http::StatusCode::NOT_FOUND;
                return Err(refusal);
            }
            response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("ocpp1.6"));
            Ok(response)
        };
        let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, upgrade).await else { return };
        let (sender, mut orders) = mpsc::channel(64);
        *self.down.lock().unwrap() = Some(sender);
        loop {
            let out = tokio::select! {
                got = socket.next() => match got {
                    Some(Ok(Message::Text(text))) => self.answer(connection, text.as_str()).map(Message::text),
                    Some(Ok(Message::Pong(payload))) => {
                        self.pongs.fetch_add(u64::from(payload.as_ref() == b"are you there"), Relaxed);
                        None
                    }
                    Some(Ok(_)) => None,
                    Some(Err(_)) | None => return,
                },
                order = orders.recv() => match order {
                    Some(Down::Text(text)) => Some(Message::text(text)),
                    Some(Down::Ping) => Some(Message::Ping("are you there".into())),
                    Some(Down::Cut) | None => return,
                },
            };
            if let Some(out) = out
                && socket.send(out).await.is_err()
            {
                return;
            }
        }
    }

    fn answer(&self, connection: u64, text: &str) -> Option<String> {
        let Ok(Value::Array(parts)) = serde_json::from_str(text) else {
            self.unreadable.fetch_add(1, Relaxed);
            return None;
        };
        let id = parts[1].as_str().unwrap().to_owned();
        let said = |action: &str, payload: Value| {
            let said = Said { at: Instant::now(), connection, id: id.clone(), action: action.to_owned(), payload };
            self.log.lock().unwrap().push(said);
        };
        if parts[0] != 2 {
            said("", parts.last().cloned().unwrap());
            return None;
        }
        let (action, payload) = (parts[2].as_str().unwrap(), parts[3].clone());
        said(action, payload.clone());
        let strikes = |knob: &Mutex<HashMap<&'static str, u64>>| {
            knob.lock().unwrap().get_mut(action).is_some_and(|left| {
                let hit = *left > 0;
                *left = left.saturating_sub(1);
                hit
            })
        };
        if strikes(&self.knobs.ignore) {
            return None;
        }
        if strikes(&self.knobs.fail) {
            return Some(json!([4, id, "InternalError", "on purpose", {}]).to_string());
        }
        let status = if self.knobs.refuse_tags.load(Relaxed) { "Blocked" } else { "Accepted" };
        let answer = match action {
            "BootNotification" => {
                let left = self.knobs.pending_boots.load(Relaxed);
                self.knobs.pending_boots.store(left.saturating_sub(1), Relaxed);
                let status = if left > 0 { "Pending" } else { "Accepted" };
                json!({ "status": status, "interval": 300, "currentTime": "2025-11-24T10:30:00Z" })
            }
            "Heartbeat" => json!({ "currentTime": "2025-11-24T10:30:00Z" }),
            "Authorize" => json!({ "idTagInfo": { "status": status } }),
            "StartTransaction" => {
                let mut starts = self.starts.lock().unwrap();
                let next = i64::try_from(starts.len()).unwrap() + 101;
                let id = *starts.entry(payload.to_string()).or_insert(next);
                json!({ "transactionId": id, "idTagInfo": { "status": status } })
            }
            _ => json!({}),
        };
        Some(json!([3, id, answer]).to_string())
    }
}

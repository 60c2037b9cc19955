//! Our codec against an implementation that we did not write: tokio-tungstenite, as client and as server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{borrow::Cow, future::Future, time::Duration};

use codecs::ws::{
    Assembler, ClientRequest, CloseCode, Credentials, Limits, Message, Opcode, Read, Role, Status, UpgradeStep,
    WsError, parse_client_response, parse_upgrade, pick_subprotocol, read, write_close, write_frame,
    write_masked_frame, write_refusal, write_switching_protocols,
};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, client_async,
    tungstenite::{
        self, Bytes,
        client::IntoClientRequest,
        handshake::server::{Request, Response},
        http::HeaderValue,
        protocol::{
            CloseFrame,
            frame::{
                Frame,
                coding::{CloseCode as PeerCode, Data, OpCode},
            },
        },
    },
};

type Peer = tungstenite::Message;

const LIMITS: Limits = Limits { message_max: 300_000, fragments_max: 64 };
const KEY: [u8; 4] = [0xde, 0xad, 0xbe, 0xef];

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), test).await.expect("in time") });
}

/// Our side: bytes in, messages out, by nothing but the codec.
struct Ours {
    io: DuplexStream,
    role: Role,
    buf: Vec<u8>,
    assembler: Assembler,
}

impl Ours {
    fn new(io: DuplexStream, role: Role, rest: Vec<u8>) -> Self {
        Self { io, role, buf: rest, assembler: Assembler::new() }
    }

    async fn next(&mut self) -> Result<Message<'static>, WsError> {
        loop {
            let consumed = match read(&mut self.buf, self.role, &LIMITS, &mut self.assembler)? {
                Read::Incomplete { .. } => 0,
                Read::Fragment { consumed } => consumed,
                Read::Message { message, consumed } => {
                    let message = owned(&message);
                    self.buf.drain(..consumed);
                    return Ok(message);
                }
            };
            self.buf.drain(..consumed);
            if consumed == 0 {
                assert_ne!(self.io.read_buf(&mut self.buf).await.unwrap(), 0, "the peer left");
            }
        }
    }

    async fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut out = Vec::new();
        match self.role {
            Role::Server => write_frame(&mut out, opcode, payload),
            Role::Client => write_masked_frame(&mut out, opcode, payload, KEY),
        }
        self.io.write_all(&out).await.unwrap();
    }

    async fn close(&mut self, code: CloseCode, reason: &str) {
        let mut out = Vec::new();
        write_close(&mut out, Some(code), reason, (self.role == Role::Client).then_some(KEY));
        self.io.write_all(&out).await.unwrap();
    }

    /// Answers everything as a server that echoes would, until the peer closes or breaks a rule.
    async fn echo(mut self) {
        loop {
            match self.next().await {
                Ok(Message::Text(text)) => self.send(Opcode::Text, text.as_bytes()).await,
                Ok(Message::Binary(bytes)) => self.send(Opcode::Binary, &bytes).await,
                Ok(Message::Ping(payload)) => self.send(Opcode::Pong, payload).await,
                Ok(Message::Pong(_)) => {}
                Ok(Message::Close { code, reason }) => {
                    self.close(code.unwrap_or(CloseCode::NORMAL), reason).await;
                    return;
                }
                Err(error) => {
                    self.close(error.close_code(), error.label()).await;
                    return;
                }
            }
        }
    }
}

fn owned(message: &Message<'_>) -> Message<'static> {
    match message {
        Message::Text(text) => Message::Text(Cow::Owned(text.to_string())),
        Message::Binary(bytes) => Message::Binary(Cow::Owned(bytes.to_vec())),
        Message::Ping(payload) => Message::Ping(payload.to_vec().leak()),
        Message::Pong(payload) => Message::Pong(payload.to_vec().leak()),
        Message::Close { code, reason } => Message::Close { code: *code, reason: reason.to_string().leak() },
    }
}

/// Our server takes the upgrade of a peer that connects to `/ocpp/CP%20001`.
async fn serve(mut io: DuplexStream) -> Ours {
    let mut buf = Vec::new();
    let (key, subprotocol, head_len) = loop {
        assert_ne!(io.read_buf(&mut buf).await.unwrap(), 0, "the peer left");
        if let UpgradeStep::Request(request) = parse_upgrade(&buf).unwrap() {
            assert_eq!((request.prefix(), request.identity().unwrap().as_str()), ("/ocpp/", "CP 001"));
            let basic = Credentials::Basic { user: "CP 001".into(), password: b"s3cret".to_vec() };
            assert_eq!(request.credentials, basic);
            let subprotocol = pick_subprotocol(&request.subprotocols, &["ocpp1.6"]).map(str::to_owned);
            break (request.key.to_owned(), subprotocol, request.head_len);
        }
    };
    let mut out = Vec::new();
    write_switching_protocols(&mut out, &key, subprotocol.as_deref());
    io.write_all(&out).await.unwrap();
    Ours::new(io, Role::Server, buf.split_off(head_len))
}

fn peer_request() -> tungstenite::handshake::client::Request {
    let mut request = "ws://127.0.0.1/ocpp/CP%20001".into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static("ocpp0.1, ocpp1.6"));
    headers.insert("Authorization", HeaderValue::from_static("Basic Q1AgMDAxOnMzY3JldA=="));
    request
}

/// The peer as client of our echoing server.
async fn peer_client() -> (WebSocketStream<DuplexStream>, tokio::task::JoinHandle<()>) {
    let (near, far) = tokio::io::duplex(4096);
    let server = tokio::spawn(async { serve(far).await.echo().await });
    let (peer, response) = client_async(peer_request(), near).await.unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "ocpp1.6");
    (peer, server)
}

async fn expect_close(peer: &mut WebSocketStream<DuplexStream>, code: u16) {
    loop {
        match peer.next().await {
            Some(Ok(Peer::Close(Some(frame)))) => {
                assert_eq!(u16::from(frame.code), code, "{}", frame.reason);
                return;
            }
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_foreign_client_is_served() {
    run(async {
        let (mut peer, server) = peer_client().await;
        for len in [0, 1, 125, 126, 127, 4_096, 65_535, 65_536, 250_000] {
            let text = "桩x".repeat(len / 4) + &"y".repeat(len % 4);
            peer.send(Peer::text(text.as_str())).await.unwrap();
            assert_eq!(peer.next().await.unwrap().unwrap(), Peer::text(text), "text of {len}");
            let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
            peer.send(Peer::binary(bytes.clone())).await.unwrap();
            assert_eq!(peer.next().await.unwrap().unwrap(), Peer::binary(bytes), "binary of {len}");
        }
        peer.send(Peer::Ping(Bytes::from_static(b"are you there"))).await.unwrap();
        assert_eq!(peer.next().await.unwrap().unwrap(), Peer::Pong(Bytes::from_static(b"are you there")));
        let bye = CloseFrame { code: PeerCode::Away, reason: "bye".into() };
        peer.send(Peer::Close(Some(bye.clone()))).await.unwrap();
        assert_eq!(peer.next().await.unwrap().unwrap(), Peer::Close(Some(bye)));
        server.await.unwrap();
    });
}

#[test]
fn a_foreign_client_may_send_fragments() {
    run(async {
        let (mut peer, _server) = peer_client().await;
        let mut part = async |payload: &'static [u8], data, fin| {
            let frame = Frame::message(payload, OpCode::Data(data), fin);
            peer.send(Peer::Frame(frame)).await.unwrap();
        };
        part(b"[2,\"1\",", Data::Text, false).await;
        part(b"\"Heart", Data::Continue, false).await;
        part(b"beat\",{}]", Data::Continue, true).await;
        assert_eq!(peer.next().await.unwrap().unwrap(), Peer::text(r#"[2,"1","Heartbeat",{}]"#));
    });
}

#[test]
fn a_foreign_client_that_breaks_a_rule_learns_which() {
    run(async {
        let (mut peer, server) = peer_client().await;
        let bad_text = Frame::message(&b"\xff\xfe"[..], OpCode::Data(Data::Text), true);
        peer.send(Peer::Frame(bad_text)).await.unwrap();
        expect_close(&mut peer, 1007).await;
        server.await.unwrap();

        let (mut peer, server) = peer_client().await;
        let orphan = Frame::message(&b"x"[..], OpCode::Data(Data::Continue), true);
        peer.send(Peer::Frame(orphan)).await.unwrap();
        expect_close(&mut peer, 1002).await;
        server.await.unwrap();
    });
}

#[test]
fn a_foreign_client_that_sends_too_much_is_told_before_all_of_it_came() {
    run(async {
        let (mut peer, server) = peer_client().await;
        // Fed only: the server refuses by the header, so that nobody takes the rest.
        let sending = peer.feed(Peer::text("x".repeat(300_001)));
        let _ = tokio::time::timeout(Duration::from_millis(200), sending).await; // Err: the pipe is full
        server.await.unwrap();
        expect_close(&mut peer, 1009).await;
    });
}

#[test]
fn a_foreign_client_understands_our_refusals() {
    run(async {
        for status in [
            Status::BadRequest,
            Status::Unauthorized,
            Status::NotFound,
            Status::UpgradeRequired,
            Status::Unavailable { retry_after_s: 30 },
        ] {
            let (near, mut far) = tokio::io::duplex(4096);
            let server = tokio::spawn(async move {
                let mut buf = Vec::new();
                while matches!(parse_upgrade(&buf), Ok(UpgradeStep::Incomplete)) {
                    far.read_buf(&mut buf).await.unwrap();
                }
                let mut out = Vec::new();
                write_refusal(&mut out, status, "no such charge point");
                far.write_all(&out).await.unwrap();
            });
            let Err(tungstenite::Error::Http(response)) = client_async(peer_request(), near).await else {
                panic!("connected")
            };
            assert_eq!(response.status().as_u16(), status.code());
            server.await.unwrap();
        }
    });
}

/// Our client, connected to the peer as server.
async fn our_client() -> (Ours, WebSocketStream<DuplexStream>) {
    let (mut near, far) = tokio::io::duplex(4096);
    #[expect(clippy::result_large_err, reason = "the peer's signature")]
    let check = |request: &Request, mut response: Response| {
        assert_eq!(request.uri().path(), "/ocpp/CP%20001");
        assert_eq!(request.headers()["Authorization"], "Basic Q1AgMDAxOnMzY3JldA==");
        assert_eq!(request.headers()["Sec-WebSocket-Protocol"], "ocpp2.0.1, ocpp1.6");
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("ocpp1.6"));
        Ok(response)
    };
    let server = tokio::spawn(accept_hdr_async(far, check));
    let offers = ["ocpp2.0.1", "ocpp1.6"];
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let credentials = Credentials::Basic { user: "CP 001".into(), password: b"s3cret".to_vec() };
    let request = ClientRequest {
        host: "127.0.0.1",
        path: "/ocpp/CP%20001",
        key,
        subprotocols: &offers,
        credentials: &credentials,
    };
    let mut out = Vec::new();
    request.write(&mut out);
    near.write_all(&out).await.unwrap();
    let mut buf = Vec::new();
    let head = loop {
        assert_ne!(near.read_buf(&mut buf).await.unwrap(), 0, "the peer left");
        if let Some(head) = parse_client_response(&buf, key, &offers).unwrap() {
            break head;
        }
    };
    assert_eq!(head.subprotocol.as_deref(), Some("ocpp1.6"));
    (Ours::new(near, Role::Client, buf.split_off(head.head_len)), server.await.unwrap().unwrap())
}

#[test]
fn our_client_is_served_by_a_foreign_server() {
    run(async {
        let (mut ours, mut peer) = our_client().await;
        let echo = tokio::spawn(async move {
            while let Some(Ok(message)) = peer.next().await {
                if message.is_text() || message.is_binary() {
                    peer.send(message).await.unwrap();
                }
            }
        });
        for len in [0, 1, 125, 126, 65_535, 65_536, 250_000] {
            let text = "桩x".repeat(len / 4) + &"y".repeat(len % 4);
            // The pipe is small: the echo comes while we are still writing.
            ours.send(Opcode::Text, text.as_bytes()).await;
            assert_eq!(ours.next().await, Ok(Message::Text(Cow::Owned(text))), "{len}");
        }
        ours.send(Opcode::Binary, &[0, 255]).await;
        assert_eq!(ours.next().await, Ok(Message::Binary(Cow::Borrowed(&[0, 255]))));
        ours.send(Opcode::Ping, b"hi").await;
        assert_eq!(ours.next().await, Ok(Message::Pong(b"hi")));
        ours.close(CloseCode::SERVICE_RESTART, "back soon").await;
        let expect = Message::Close { code: Some(CloseCode::SERVICE_RESTART), reason: "back soon" };
        assert_eq!(ours.next().await, Ok(expect));
        echo.await.unwrap();
    });
}

#[test]
fn a_foreign_server_closes_and_pings_us() {
    run(async {
        let (mut ours, mut peer) = our_client().await;
        peer.send(Peer::Ping(Bytes::from_static(b"1"))).await.unwrap();
        assert_eq!(ours.next().await, Ok(Message::Ping(b"1")));
        ours.send(Opcode::Pong, b"1").await;
        assert_eq!(peer.next().await.unwrap().unwrap(), Peer::Pong(Bytes::from_static(b"1")));
        peer.send(Peer::Close(None)).await.unwrap();
        assert_eq!(ours.next().await, Ok(Message::Close { code: None, reason: "" }));
    });
}

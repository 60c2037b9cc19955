//! TLS on both listeners, with a certificate made here; what is no TLS is turned away; handshakes take turns.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use codecs::ykc::kind;
use gateway::config::TlsConfig;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::common::{PATIENCE, Rig, counter, eventually, ocpp, registry, ykc};

struct Secure {
    rig: Rig,
    connector: TlsConnector,
    _files: tempfile::TempDir,
}

impl Secure {
    async fn start(change: impl FnOnce(&mut gateway::Config)) -> Self {
        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let tls = TlsConfig { certificate: files.path().join("chain.pem"), key: files.path().join("key.pem") };
        std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
        std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let rig = Rig::with(|config| {
            config.ykc.tls = Some(tls.clone());
            config.ocpp.tls = Some(tls);
            change(config);
        })
        .await;
        Self { rig, connector: TlsConnector::from(Arc::new(client)), _files: files }
    }

    fn ykc_addr(&self) -> SocketAddr {
        self.rig.gateway.ykc_addr.unwrap()
    }

    async fn connect(&self, addr: SocketAddr) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(addr).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        timeout(PATIENCE, self.connector.connect(name, stream)).await.unwrap().unwrap()
    }
}

/// Until the gateway ends it, in order or by a reset.
async fn ended(stream: &mut TcpStream) {
    let mut bytes = [0; 256];
    let read = timeout(PATIENCE, async { while matches!(stream.read(&mut bytes).await, Ok(count) if count > 0) {} });
    read.await.expect("still open");
}

fn refused() -> f64 {
    counter("evgate_connections_refused_total", &["tls"])
}

#[tokio::test]
async fn a_pile_logs_in_and_is_paid_for_over_tls() {
    let secure = Secure::start(|_| {}).await;
    let mut pile = ykc::Client::over(secure.connect(secure.ykc_addr()).await);
    pile.log_in(registry::PILE).await;
    pile.beats(registry::PILE).await;
    let trade_no = ykc::trade(registry::PILE, 1);
    pile.send(&ykc::record(registry::PILE, trade_no)).await;
    assert_eq!(pile.expect(kind::RECORD_CONFIRM).await.body[..16], trade_no.0);
    // More than one TLS record at once, in pieces and together.
    let mut frames = Vec::new();
    for _ in 0..500 {
        codecs::ykc::encode([9, 0], &ykc::heartbeat(registry::PILE), &mut frames);
    }
    pile.raw(&frames).await;
    for _ in 0..500 {
        pile.expect(kind::HEARTBEAT_ACK).await;
    }
    // The goodbye is one of TLS too.
    secure.rig.stop.cancel();
    pile.closed().await;
    secure.rig.drained().await;
}

#[tokio::test]
async fn a_station_talks_over_wss() {
    let secure = Secure::start(|_| {}).await;
    let addr = secure.rig.gateway.ocpp_addr.unwrap();
    let mut request =
        format!("wss://localhost:{}/ocpp/{}", addr.port(), registry::STATION).into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "ocpp1.6".parse().unwrap());
    let upgraded = tokio_tungstenite::client_async(request, secure.connect(addr).await);
    let (ws, _) = timeout(PATIENCE, upgraded).await.unwrap().unwrap();
    let mut station = ocpp::Client::over(ws);
    station.beats().await;
    let started = station.ask("StartTransaction", ocpp::start(1, 1_000)).await;
    assert_eq!(started["idTagInfo"]["status"], json!("Accepted"));
    secure.rig.stop.cancel();
    assert_eq!(station.close_code().await, Some(1012));
    secure.rig.drained().await;
}

#[tokio::test]
async fn what_is_no_tls_is_counted_and_closed_and_disturbs_nobody() {
    let secure = Secure::start(|_| {}).await;
    let mut other = ykc::Client::over(secure.connect(secure.ykc_addr()).await);
    other.log_in(registry::PILE_B).await;
    let before = refused();
    let mut login = Vec::new();
    codecs::ykc::encode([0, 0], &ykc::login(registry::PILE), &mut login);
    for bytes in [&login[..], b"GET /ocpp/CP-1 HTTP/1.1\r\n\r\n", &[0; 4_096]] {
        let mut plain = TcpStream::connect(secure.ykc_addr()).await.unwrap();
        plain.write_all(bytes).await.unwrap();
        ended(&mut plain).await;
        other.beats(registry::PILE_B).await;
    }
    assert!(refused() >= before + 3.0);
    secure.rig.drained().await;
}

#[tokio::test]
async fn handshakes_take_turns_and_who_says_nothing_takes_no_place() {
    let secure = Secure::start(|config| {
        config.limits.handshakes = 1;
        config.limits.handshake_ms = 700;
    })
    .await;
    let before = refused();
    let mut silent = TcpStream::connect(secure.ykc_addr()).await.unwrap();
    let begun = Instant::now();
    let mut pile = ykc::Client::over(secure.connect(secure.ykc_addr()).await);
    pile.log_in(registry::PILE).await;
    assert!(begun.elapsed() < Duration::from_millis(600), "waited for one that says nothing: {:?}", begun.elapsed());
    // One begins and does not go on: it has the place until its time is over.
    let mut slow = TcpStream::connect(secure.ykc_addr()).await.unwrap();
    slow.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    let (one, two) = tokio::join!(secure.connect(secure.ykc_addr()), secure.connect(secure.ykc_addr()));
    assert!(begun.elapsed() > Duration::from_millis(400), "did not wait: {:?}", begun.elapsed());
    ended(&mut slow).await;
    ended(&mut silent).await;
    eventually(|| (refused() > before).then_some(())).await;
    for (stream, id) in [(one, registry::PILE_B), (two, registry::PILE)] {
        ykc::Client::over(stream).log_in(id).await;
    }
    secure.rig.drained().await;
}

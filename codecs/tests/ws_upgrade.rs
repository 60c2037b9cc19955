//! The upgrade: request heads and what becomes of them, and our own client against our own server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use codecs::ws::{
    ClientRequest, Credentials, HEAD_MAX, HandshakeError, IdentityError, Status, UpgradeError, UpgradeRequest,
    UpgradeStep, encode_segment, parse_client_response, parse_upgrade, pick_subprotocol, write_refusal,
    write_switching_protocols,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A good request, one of its lines replaced by others.
fn head(replace: &str, by: &[&str]) -> String {
    let key = format!("Sec-WebSocket-Key: {KEY}");
    let lines = [
        "GET /ocpp/CP%20001?x=1 HTTP/1.1",
        "Host: csms.example:9180",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Version: 13",
        &key,
        "Sec-WebSocket-Protocol: ocpp2.0.1, ocpp1.6",
        "Authorization: Basic Q1AgMDAxOnMzY3JldA==",
        "Origin: null",
    ];
    let mut out = String::new();
    for line in lines {
        let lines = if !replace.is_empty() && line.starts_with(replace) { by } else { &[line][..] };
        lines.iter().for_each(|line| out.extend([*line, "\r\n"]));
    }
    out + "\r\n"
}

fn parse(head: &str) -> Result<UpgradeRequest<'_>, UpgradeError> {
    match parse_upgrade(head.as_bytes())? {
        UpgradeStep::Request(request) => Ok(request),
        UpgradeStep::Incomplete => panic!("incomplete"),
    }
}

#[test]
fn a_good_request_is_read() {
    let text = head("", &[]) + "\u{1}\u{2}rest";
    let request = parse(&text).unwrap();
    assert_eq!(request.path, "/ocpp/CP%20001");
    assert_eq!(request.prefix(), "/ocpp/");
    assert_eq!(request.identity().unwrap().as_str(), "CP 001");
    assert_eq!(request.host, "csms.example:9180");
    assert_eq!(request.key, KEY);
    assert_eq!(request.subprotocols, ["ocpp2.0.1", "ocpp1.6"]);
    assert_eq!(request.credentials, Credentials::Basic { user: "CP 001".into(), password: b"s3cret".to_vec() });
    assert!(request.connection_upgrade);
    assert_eq!(&text[request.head_len..], "\u{1}\u{2}rest");
    assert!(!format!("{request:?}").contains("s3cret"));
}

#[test]
fn every_fault_has_its_error_and_its_status() {
    use UpgradeError as E;
    let key_line = format!("Sec-WebSocket-Key: {KEY}");
    let cases: &[(&str, &[&str], UpgradeError, u16)] = &[
        ("GET", &["POST /ocpp/CP HTTP/1.1"], E::NotGet, 400),
        ("GET", &["GET /ocpp/CP HTTP/1.0"], E::NotGet, 400),
        ("GET", &["hello"], E::NotHttp, 400),
        ("GET", &["GET /ocpp/CP HTTP/3.0"], E::NotHttp, 400),
        ("Host", &[], E::Host, 400),
        ("Host", &["Host: a", "Host: b"], E::Host, 400),
        ("Host", &["Ho st: a"], E::Header, 400),
        ("Host", &["Host: \u{1}"], E::Header, 400),
        ("Upgrade", &[], E::NotUpgrade, 426),
        ("Upgrade", &["Upgrade: h2c"], E::NotUpgrade, 426),
        ("Sec-WebSocket-Version", &[], E::Version, 426),
        ("Sec-WebSocket-Version", &["Sec-WebSocket-Version: 8"], E::Version, 426),
        ("Sec-WebSocket-Version", &["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"], E::Version, 426),
        ("Sec-WebSocket-Key", &[], E::Key, 400),
        ("Sec-WebSocket-Key", &[&key_line, &key_line], E::Key, 400),
        ("Sec-WebSocket-Key", &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"], E::Key, 400),
        ("Sec-WebSocket-Key", &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEy"], E::Key, 400), // 18 bytes
        ("Sec-WebSocket-Key", &["Sec-WebSocket-Key: !!!!IHNhbXBsZSBub25jZQ=="], E::Key, 400),
    ];
    for (replace, by, error, status) in cases {
        let head = head(replace, by);
        assert_eq!(parse(&head).unwrap_err(), *error, "{by:?}");
        assert_eq!(error.status().code(), *status, "{by:?}");
    }
}

#[test]
fn letters_do_not_matter_where_http_says_so() {
    let text =
        head("Upgrade", &["uPGRADE: foo, WebSocket"]).replace("Connection: keep-alive, Upgrade", "connection:upgrade");
    let request = parse(&text).unwrap();
    assert!(request.connection_upgrade);
}

#[test]
fn a_missing_connection_header_is_for_the_caller_to_judge() {
    assert!(!parse(&head("Connection", &[])).unwrap().connection_upgrade);
    assert!(!parse(&head("Connection", &["Connection: keep-alive"])).unwrap().connection_upgrade);
}

#[test]
fn several_header_lines_are_one_list() {
    let by = ["Sec-WebSocket-Protocol: ocpp0.1,ocpp2.0.1", "sec-websocket-protocol: ,ocpp1.6 "];
    let text = head("Sec-WebSocket-Protocol", &by);
    let request = parse(&text).unwrap();
    assert_eq!(request.subprotocols, ["ocpp0.1", "ocpp2.0.1", "ocpp1.6"]);
    assert_eq!(pick_subprotocol(&request.subprotocols, &["ocpp1.6"]), Some("ocpp1.6"));
    assert!(parse(&head("Sec-WebSocket-Protocol", &[])).unwrap().subprotocols.is_empty());
}

#[test]
fn credentials_are_none_basic_or_malformed() {
    let credentials = |by: &[&str]| parse(&head("Authorization", by)).unwrap().credentials;
    assert_eq!(credentials(&[]), Credentials::None);
    assert_eq!(credentials(&["Authorization: Bearer abc"]), Credentials::Malformed);
    let twice = ["Authorization: Basic QTpi", "Authorization: Basic QTpi"];
    assert_eq!(credentials(&twice), Credentials::Malformed);
}

#[test]
fn a_path_without_identity_is_told() {
    let identity = |line: &str| {
        let head = head("GET", &[line]);
        parse(&head).unwrap().identity().map(|identity| identity.into_string())
    };
    assert_eq!(identity("GET /ocpp/ HTTP/1.1"), Err(IdentityError::Empty));
    assert_eq!(identity("GET / HTTP/1.1"), Err(IdentityError::Empty));
    assert_eq!(identity("GET /ocpp/%ZZ HTTP/1.1"), Err(IdentityError::BrokenEscape));
    assert_eq!(identity("GET /ocpp/a%2F..%2Fb HTTP/1.1"), Err(IdentityError::BadCharacter));
    assert_eq!(identity("GET /CP1 HTTP/1.1"), Ok("CP1".into()));
    assert_eq!(identity("GET /a/b/CP1 HTTP/1.1"), Ok("CP1".into()));
}

#[test]
fn a_head_may_come_byte_by_byte_but_not_for_ever() {
    let text = head("", &[]);
    for cut in 0..text.len() {
        assert_eq!(parse_upgrade(&text.as_bytes()[..cut]), Ok(UpgradeStep::Incomplete), "at {cut}");
    }
    let endless = format!("GET /ocpp/CP HTTP/1.1\r\nX: {}", "x".repeat(HEAD_MAX));
    assert_eq!(parse_upgrade(&endless.as_bytes()[..HEAD_MAX - 1]), Ok(UpgradeStep::Incomplete));
    assert_eq!(parse_upgrade(&endless.as_bytes()[..HEAD_MAX]), Err(UpgradeError::TooLong));
    let late_end = endless + "\r\n\r\n";
    assert_eq!(parse_upgrade(late_end.as_bytes()), Err(UpgradeError::TooLong));
    let many = format!("GET /ocpp/CP HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(65));
    assert_eq!(parse_upgrade(many.as_bytes()), Err(UpgradeError::TooLong));
}

#[test]
fn arbitrary_bytes_do_not_panic() {
    let text = head("", &[]).into_bytes();
    for at in 0..text.len() {
        for byte in [0, b' ', b'\r', b'\n', b':', b'%', 0x80, 0xff] {
            let mut damaged = text.clone();
            damaged[at] = byte;
            if let Ok(UpgradeStep::Request(request)) = parse_upgrade(&damaged) {
                let _ = request.identity();
            }
        }
    }
}

#[test]
fn refusals_are_whole_answers() {
    for (status, extra) in [
        (Status::BadRequest, ""),
        (Status::Unauthorized, "WWW-Authenticate: Basic realm=\"ocpp\""),
        (Status::NotFound, ""),
        (Status::UpgradeRequired, "Sec-WebSocket-Version: 13"),
        (Status::Unavailable { retry_after_s: 17 }, "Retry-After: 17\r\n"),
    ] {
        let mut out = Vec::new();
        write_refusal(&mut out, status, "why");
        let text = String::from_utf8(out.clone()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {} ", status.code())), "{head}");
        assert!(head.contains(extra) && head.contains("close"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert_eq!(body, "why\n");
        assert_eq!(parse_client_response(&out, KEY, &[]), Err(HandshakeError::Refused(status.code())));
    }
}

#[test]
fn our_client_and_our_server_agree() {
    let credentials = Credentials::Basic { user: "CP 001/桩".into(), password: vec![0, 255, b':'] };
    let path = format!("/ocpp/{}", encode_segment("CP 001桩"));
    assert_eq!(path, "/ocpp/CP%20001%E6%A1%A9");
    let offers = ["ocpp2.0.1", "ocpp1.6"];
    let request =
        ClientRequest { host: "127.0.0.1", path: &path, key: KEY, subprotocols: &offers, credentials: &credentials };
    let mut out = Vec::new();
    request.write(&mut out);
    let Ok(UpgradeStep::Request(read)) = parse_upgrade(&out) else { panic!("{}", String::from_utf8_lossy(&out)) };
    assert_eq!(read.identity().unwrap().as_str(), "CP 001桩");
    assert_eq!(read.credentials, credentials);
    assert_eq!(read.subprotocols, offers);
    assert_eq!(read.head_len, out.len());

    let mut answer = Vec::new();
    write_switching_protocols(&mut answer, read.key, Some("ocpp1.6"));
    for cut in 0..answer.len() {
        assert_eq!(parse_client_response(&answer[..cut], KEY, &offers), Ok(None), "at {cut}");
    }
    let head_len = answer.len();
    answer.extend(b"\x81\x00");
    let head = parse_client_response(&answer, KEY, &offers).unwrap().unwrap();
    assert_eq!((head.subprotocol.as_deref(), head.head_len), (Some("ocpp1.6"), head_len));
    assert_eq!(parse_client_response(&answer, "AAAAAAAAAAAAAAAAAAAAAA==", &offers), Err(HandshakeError::NotValid));
    assert_eq!(parse_client_response(&answer, KEY, &["ocpp2.1"]), Err(HandshakeError::Subprotocol));
    assert_eq!(parse_client_response(b"SSH-2.0-x\r\n", KEY, &offers), Err(HandshakeError::NotHttp));

    // An extension that nobody asked for.
    let extended = String::from_utf8(answer[..head_len - 2].to_vec()).unwrap() + "Sec-WebSocket-Extensions: x\r\n\r\n";
    assert_eq!(parse_client_response(extended.as_bytes(), KEY, &offers), Err(HandshakeError::NotValid));

    let mut bare = Vec::new();
    write_switching_protocols(&mut bare, KEY, None);
    assert_eq!(parse_client_response(&bare, KEY, &offers).unwrap().unwrap().subprotocol, None);
}

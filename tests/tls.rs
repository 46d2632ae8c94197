//! Clients over TLS.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use exosphere::{Node, ServeError, TlsFiles};
use futures_util::{SinkExt, StreamExt};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName},
};
use support::{PATIENCE, Place, publish, spawn, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};

/// Puts a new certificate for `localhost` into `dir`, and its key.
fn certify(dir: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

fn files(dir: &Path) -> TlsFiles {
    TlsFiles::new(dir.join("cert.pem"), dir.join("key.pem"))
}

/// A connection to who has this certificate, if it has.
async fn connect(
    http: SocketAddr,
    certificate: &CertificateDer<'static>,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(http).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The next text, of what comes.
async fn text(socket: &mut WebSocketStream<TlsStream<TcpStream>>) -> String {
    loop {
        let next = within(PATIENCE, "a message", socket.next()).await.unwrap().unwrap();
        if let tungstenite::Message::Text(text) = next {
            return text.to_string();
        }
    }
}

async fn serve(node: &Node, files: TlsFiles) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http = listener.local_addr().unwrap();
    let node = node.clone();
    spawn(async move { node.serve_listener_tls(listener, files).await.unwrap() });
    http
}

#[tokio::test]
async fn clients_are_served_over_tls_and_a_certificate_can_be_renewed() {
    let place = Place::new("tls");
    let node = place.node().route("/chat/{room}", publish).start().await.unwrap();
    let old = certify(place.dir());
    let http = serve(&node, files(place.dir())).await;

    let stream = within(PATIENCE, "a handshake", connect(http, &old, &[])).await.unwrap();
    let url = format!("ws://localhost:{}/chat/a", http.port());
    let (mut socket, _) = client_async(url, stream).await.unwrap();
    socket.send(tungstenite::Message::text("over TLS")).await.unwrap();
    assert_eq!(text(&mut socket).await, "over TLS");

    let mut stream = connect(http, &old, &["http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let request = b"GET /chat/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    let _ = within(PATIENCE, "an answer", stream.read_to_string(&mut answer)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let stream = connect(http, &old, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));

    // What cannot be used changes nothing.
    fs::write(place.dir().join("cert.pem"), "no certificate").unwrap();
    let new = certify(place.dir());
    let renewed = async { while connect(http, &new, &[]).await.is_err() {} };
    within(PATIENCE, "the new certificate is in use", renewed).await;
    assert!(connect(http, &old, &[]).await.is_err());
    socket.send(tungstenite::Message::text("as before")).await.unwrap();
    assert_eq!(text(&mut socket).await, "as before");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_refused_with_its_file() {
    let place = Place::new("tls-files");
    let node = place.node().route("/chat/{room}", publish).start().await.unwrap();
    let refused = async |what: &str| {
        let served = node.serve_tls("127.0.0.1:0", files(place.dir())).await;
        let error = served.unwrap_err();
        assert!(matches!(error, ServeError::Tls(_)), "{error:?}");
        assert!(error.to_string().contains(what), "{error}");
    };
    refused("cert.pem").await;
    certify(place.dir());
    fs::write(place.dir().join("key.pem"), "no key").unwrap();
    refused("key.pem").await;
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(place.dir().join("key.pem"), other.signing_key.serialize_pem()).unwrap();
    refused("cannot use the certificate").await;
}

/// Goal: an application is served over TLS as a node is, and a cookie that came so goes back no other
/// way.
#[tokio::test]
async fn a_cookie_that_is_given_over_tls_is_for_tls_only() {
    let place = Place::new("tls-cookies");
    let builder = place.node().route("/chat/{room}", publish).browser_cookies(true);
    let node = builder.allow_origin("https://other.example").start().await.unwrap();
    let certificate = certify(place.dir());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (http, files) = (listener.local_addr().unwrap(), files(place.dir()));
    let app = axum::Router::new().fallback_service(node.service());
    spawn(async move { node.serve_app_tls(listener, app, files).await.unwrap() });
    let mut stream = connect(http, &certificate, &["http/1.1"]).await.unwrap();
    let request = b"GET /chat/a?X-Atmosphere-Transport=polling HTTP/1.1\r\nHost: localhost\r\n\
                    X-Atmosphere-Framework: 5.0.45\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    let _ = within(PATIENCE, "an answer", stream.read_to_string(&mut answer)).await;
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: exosphere-"));
    let attributes = cookie.and_then(|cookie| cookie.split_once("; ")).map(|(_, rest)| rest);
    assert_eq!(attributes, Some("Path=/; HttpOnly; SameSite=None; Secure"), "{answer}");
}

//! The commands through a reverse proxy that speaks TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use rustsocks_testkit::Certificate;
use rustsocks_testkit::client::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{complains, program, proxy, session};

/// Speaks TLS and leads to a server. It ends with the test's process.
fn tls_before(server: SocketAddr, certificate: &Certificate) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(certificate.server.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            let mut carrying = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                carrying.spawn(async move {
                    // A client that does not trust us hangs up.
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let _cut = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
    });
    address
}

#[test]
fn commands_reach_the_api_through_a_reverse_proxy_with_tls() {
    let proxy = proxy("");
    let _open: Client = session(&proxy, 12);
    let certificate = Certificate::for_loopback();
    let address = tls_before(proxy.api(), &certificate);
    let folder = tempfile::TempDir::new().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, &certificate.authority).unwrap();
    let mut listing = program(address);
    listing.env("RUSTSOCKS_API", format!("https://{address}")).env("SSL_CERT_FILE", authority);
    let output = listing.args(["sessions", "list", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let listed = super::json(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");
}

#[test]
fn a_certificate_of_nobody_we_trust_is_told_with_what_to_do() {
    let proxy = proxy("");
    let address = tls_before(proxy.api(), &Certificate::for_loopback());
    let url = format!("https://{address}");
    let line = complains(address, 4, &["status", "--api", &url]);
    assert!(line.contains("TLS") && line.contains("SSL_CERT_FILE"), "{line}");
    // The other way round: TLS where none is spoken.
    let url = format!("https://{}", proxy.api());
    let line = complains(proxy.api(), 4, &["status", "--api", &url]);
    assert!(line.contains("TLS"), "{line}");
}

//! The connection that a request travels on: plain, or TLS to a reverse proxy before the API.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::console::address::Address;

/// A connection.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Connects to where the API is.
///
/// # Errors
/// Nobody listens there, or it is not who it should be.
pub(crate) async fn connect(address: &Address) -> io::Result<Box<dyn Wire>> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    match address.tls {
        false => Ok(Box::new(stream)),
        true => secure(&address.host, stream).await,
    }
}

/// TLS with whoever has a certificate for a host, by the authorities of this machine; those in
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` take their place.
#[cfg(feature = "tls")]
async fn secure(host: &str, stream: TcpStream) -> io::Result<Box<dyn Wire>> {
    use std::sync::Arc;

    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::ring::default_provider;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    connecting.map(|stream| Box::new(stream) as Box<dyn Wire>).map_err(|error| {
        let hint = "an authority of your own goes into SSL_CERT_FILE";
        io::Error::new(error.kind(), format!("TLS: {error} ({hint})"))
    })
}

#[cfg(not(feature = "tls"))]
async fn secure(_host: &str, _stream: TcpStream) -> io::Result<Box<dyn Wire>> {
    Err(io::ErrorKind::Unsupported.into())
}

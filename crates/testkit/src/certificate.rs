//! Certificates of servers that tests start.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority of its own and what a server on 127.0.0.1 shows by its grace, as PEM.
#[derive(Debug)]
pub struct Certificate {
    /// The authority's certificate, for those who are to trust the server.
    pub authority: String,
    /// The server's certificate.
    pub server: String,
    /// The server's key.
    pub key: String,
}

impl Certificate {
    /// Makes an authority and a server's certificate.
    pub fn for_loopback() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::from_params(&params, &key);
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let server = server.signed_by(&key, &issuer).unwrap().pem();
        Self { authority, server, key: key.serialize_pem() }
    }
}

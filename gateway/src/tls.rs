//! TLS of a listener: certificate chain and key from PEM files (rustls, TLS 1.2 and 1.3, ECDHE suites).

use std::{io, sync::Arc};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsConfig;

/// Accepts TLS connections.
#[derive(Clone)]
pub(crate) struct Tls(pub TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads chain and key.
    ///
    /// # Errors
    /// When a file cannot be read, or key and certificate do not fit each other.
    pub fn load(config: &TlsConfig) -> io::Result<Self> {
        let bad = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
        let chain = CertificateDer::pem_file_iter(&config.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| bad(&format!("{}: {error}", config.certificate.display())))?;
        let key = PrivateKeyDer::from_pem_file(&config.key)
            .map_err(|error| bad(&format!("{}: {error}", config.key.display())))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| bad(&error))?;
        Ok(Self(TlsAcceptor::from(Arc::new(server))))
    }
}

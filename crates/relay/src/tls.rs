//! The certificate, which can be replaced while sessions go on.

use crate::config::Config;
use crate::error::RelayError;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificate in use.
pub(crate) struct Tls {
    current: RwLock<Arc<ServerConfig>>,
}

impl core::fmt::Debug for Tls {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// The certificate that a configuration names; none without one.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>, RelayError> {
        Ok(load(config)?.map(|config| Self { current: RwLock::new(config) }))
    }

    /// What the next connection is accepted with.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Reads the files again. On an error the certificate stays as it was.
    pub(crate) fn reload(&self, config: &Config) -> Result<(), RelayError> {
        if let Some(new) = load(config)? {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
        Ok(())
    }
}

fn load(config: &Config) -> Result<Option<Arc<ServerConfig>>, RelayError> {
    let (Some(certificate), Some(key)) = (&config.tls_certificate, &config.tls_key) else { return Ok(None) };
    let wrong =
        |option: &'static str, path: &Path, what: String| RelayError::Tls { option, path: path.to_owned(), what };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| wrong("tls_certificate", certificate, said(&error)))?;
    if chain.is_empty() {
        let what = "no certificate in it; it begins with -----BEGIN CERTIFICATE-----".to_owned();
        return Err(wrong("tls_certificate", certificate, what));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("tls_key", key, said(&error)))?;
    let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("tls_key", key, error.to_string()))?;
    let server = versions.with_no_client_auth().with_single_cert(chain, secret);
    let server = server.map_err(|error| {
        wrong("tls_key", key, format!("{error}; is it the key of the certificate in tls_certificate?"))
    })?;
    Ok(Some(Arc::new(server)))
}

fn said(error: &PemError) -> String {
    match error {
        PemError::Io(error) => error.to_string(),
        PemError::NoItemsFound => "nothing of the kind in it; it is a PEM file, from -----BEGIN to -----END".to_owned(),
        other => format!("{other}; it is a PEM file, from -----BEGIN to -----END"),
    }
}

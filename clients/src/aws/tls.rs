//! Whom to trust: the system's roots, or the certificates of a file and no others.
//!
//! Holds for all that is talked to: streams, tables, and whoever gives the credentials.

use std::fmt;
use std::path::{Path, PathBuf};

use aws_config::provider_config::ProviderConfig;
use aws_sdk_kinesis::config::SharedHttpClient;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use crate::error::ClientError;

#[cfg(test)]
mod tests;

/// How rustls begins to say that it does not trust a server.
const DISTRUST: &str = "invalid peer certificate";

/// How the servers are trusted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// File with the certificates, in PEM, one of which has signed the servers'.
    pub ca: PathBuf,
}

/// A client that trusts the certificates in the file `ca`.
pub(crate) fn client(ca: &Path) -> Result<SharedHttpClient, ClientError> {
    let refused = |why: &dyn fmt::Display| ClientError::config(format!("tls ca {}: {why}", ca.display()));
    let pem = std::fs::read(ca).map_err(|error| refused(&error))?;
    // The client takes it for granted that they can be read.
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refused(&error))?;
        roots.add(certificate).map_err(|error| refused(&error))?;
    }
    if roots.is_empty() {
        return Err(refused(&"there is no certificate in it"));
    }
    let context = TlsContext::builder().with_trust_store(TrustStore::empty().with_pem_certificate(pem)).build();
    let context = context.map_err(|error| refused(&error))?;
    Ok(Builder::new().tls_provider(Provider::rustls(CryptoMode::AwsLc)).tls_context(context).build_https())
}

/// How providers of credentials that are made by hand reach their services.
pub(crate) fn provider_config(client: Option<&SharedHttpClient>) -> ProviderConfig {
    match client {
        Some(client) => ProviderConfig::default().with_http_client(client.clone()),
        None => ProviderConfig::default(),
    }
}

/// Why a request failed, with the way out where a server is not trusted.
pub fn advised(why: String) -> String {
    match why.contains(DISTRUST) {
        true => format!("{why}; give the authority that signed the server's certificate as `tls.ca`"),
        false => why,
    }
}

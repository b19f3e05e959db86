//! TLS to the servers of tables: what a table asks for, and the client's configuration made of it.
//!
//! | asked | is verified |
//! | --- | --- |
//! | nothing | nothing: who listens cannot read, who sits between can |
//! | the chain | that an authority vouches for the certificate, whatever name is in it |
//! | chain and name | that, and the name the server was called by |
//!
//! Authorities are those of a file, of the files in a directory, or the system's.
//!
//! **Diagnostics**: a file that cannot be read, or has nothing in it, is an error at open.
//! **Standards**: RFC 8446, RFC 9525; ldap_table(5), mysql_table(5), and libpq's `sslmode`.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::cf::reason;

/// What is verified of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Nothing.
    Nothing,
    /// That an authority vouches for it.
    Chain,
    /// That, and its name.
    ChainAndName,
}

/// What a table asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    pub verify: Verify,
    /// A file of authorities.
    pub ca_file: Option<String>,
    /// A directory of such files.
    pub ca_directory: Option<String>,
    /// Files with our own certificate and its key.
    pub identity: Option<(String, String)>,
}

impl Tls {
    /// The configuration of a client.
    ///
    /// Errors: what is wrong with a file.
    pub fn config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((certificate, key)) => {
                let private = PrivateKeyDer::from_pem_slice(&read(key)?)
                    .map_err(|_| format!("{key}: no private key"))?;
                let chain = certificates(certificate)?;
                let built = builder.with_client_auth_cert(chain, private);
                built.map_err(|error| format!("{certificate}: {error}"))
            }
        }
    }

    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, String> {
        if self.verify == Verify::Nothing {
            let provider = provider.clone();
            return Ok(Arc::new(Lenient { provider, chain: None }));
        }
        let roots = Arc::new(self.roots()?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
        let verifier = verifier.build().map_err(|error| error.to_string())?;
        match self.verify {
            Verify::ChainAndName => Ok(verifier),
            _ => Ok(Arc::new(Lenient { provider: provider.clone(), chain: Some(verifier) })),
        }
    }

    /// The certificates of authorities: those that are given, or the system's.
    pub fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let mut all = Vec::new();
        if let Some(file) = &self.ca_file {
            all.extend(certificates(file)?);
        }
        if let Some(directory) = &self.ca_directory {
            all.extend(in_directory(directory)?);
        }
        if self.ca_file.is_none() && self.ca_directory.is_none() {
            all = rustls_native_certs::load_native_certs().certs;
        }
        Ok(all)
    }

    /// The same, ready to verify.
    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(self.authorities()?);
        match added {
            0 => Err("no certificates of authorities".to_owned()),
            _ => Ok(roots),
        }
    }
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("open {path}: {}", reason(&error)))
}

/// All certificates of a file, at least one.
fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(format!("{path}: no certificates")),
    }
}

/// The certificates of all files in a directory; other files have none.
fn in_directory(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let entries = std::fs::read_dir(path);
    let entries = entries.map_err(|error| format!("open {path}: {}", reason(&error)))?;
    let files = entries.flatten().map(|entry| entry.path().to_string_lossy().into_owned());
    Ok(files.filter_map(|file| certificates(&file).ok()).flatten().collect())
}

/// Verifies less than everything: the signatures that show that the server has its key, and the
/// chain where there are authorities, but no name.
struct Lenient {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl fmt::Debug for Lenient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lenient")
    }
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The name is looked at last: the rest is as it should be.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(ca_file: Option<&str>, identity: Option<(&str, &str)>) -> Result<(), String> {
        let own = |(certificate, key): (&str, &str)| (certificate.to_owned(), key.to_owned());
        let (ca_file, identity) = (ca_file.map(str::to_owned), identity.map(own));
        let tls = Tls { verify: Verify::ChainAndName, ca_file, ca_directory: None, identity };
        tls.config().map(drop)
    }

    #[test]
    fn files_that_are_missing_or_empty_are_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(tls(Some("/none"), None), Err("open /none: No such file or directory".into()));
        assert_eq!(tls(Some(path), None), Err(format!("{path}: no certificates")));
        let nothing = Tls {
            verify: Verify::Nothing,
            ca_file: None,
            ca_directory: None,
            identity: Some((path.into(), path.into())),
        };
        assert_eq!(nothing.config().map(drop), Err(format!("{path}: no private key")));
        let directory = tempfile::tempdir().unwrap();
        let ca_directory = Some(directory.path().to_str().unwrap().to_owned());
        let empty = Tls { verify: Verify::Chain, ca_directory, ..nothing };
        assert_eq!(empty.config().map(drop), Err("no certificates of authorities".into()));
    }
}

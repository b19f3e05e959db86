//! TLS under PostgreSQL's protocol: `sslmode` and its relatives in a URI, and the connector.
//!
//! | sslmode | TLS | is verified |
//! | --- | --- | --- |
//! | `disable` | never | - |
//! | `allow`, `prefer`, nothing | when the server has it | nothing |
//! | `require` | always | nothing; the chain, where `sslrootcert` is given |
//! | `verify-ca` | always | the chain |
//! | `verify-full` | always | chain and name |
//!
//! **Standards**: PostgreSQL's documentation, "Parameter Key Words" of libpq.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::{Tls, Verify};

/// What a URI asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub mode: SslMode,
    pub tls: Tls,
}

impl Asked {
    /// Of a host that does not say.
    pub fn nothing() -> Asked {
        let tls =
            Tls { verify: Verify::Nothing, ca_file: None, ca_directory: None, identity: None };
        Asked { mode: SslMode::Prefer, tls }
    }

    /// Takes out of a URI what is about TLS: the rest of it, and that.
    ///
    /// Errors: a mode that is none, or half an identity.
    pub fn split(uri: &str) -> Result<(String, Asked), String> {
        let mut asked = Asked::nothing();
        let Some((place, query)) = uri.split_once('?') else { return Ok((uri.into(), asked)) };
        let (mut rest, mut certificate, mut key) = (Vec::new(), None, None);
        let mut mode = String::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "sslmode" => mode = value.to_owned(),
                "sslrootcert" => asked.tls.ca_file = Some(decoded(value)),
                "sslcert" => certificate = Some(decoded(value)),
                "sslkey" => key = Some(decoded(value)),
                _ => rest.push(pair),
            }
        }
        asked.tls.identity = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => return Err("sslcert and sslkey belong together".to_owned()),
        };
        asked.set_mode(&mode)?;
        let rest = rest.join("&");
        let question = if rest.is_empty() { "" } else { "?" };
        Ok((format!("{place}{question}{rest}"), asked))
    }

    fn set_mode(&mut self, mode: &str) -> Result<(), String> {
        let root = self.tls.ca_file.is_some();
        (self.mode, self.tls.verify) = match mode {
            "disable" => (SslMode::Disable, Verify::Nothing),
            "" | "allow" | "prefer" => (SslMode::Prefer, Verify::Nothing),
            "require" if root => (SslMode::Require, Verify::Chain),
            "require" => (SslMode::Require, Verify::Nothing),
            "verify-ca" => (SslMode::Require, Verify::Chain),
            "verify-full" => (SslMode::Require, Verify::ChainAndName),
            other => return Err(format!("invalid sslmode value: \"{other}\"")),
        };
        Ok(())
    }
}

/// `%2F` is a slash.
fn decoded(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        let byte = code.filter(|_| *first == b'%').and_then(|it| u8::from_str_radix(it, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Puts TLS on a connection.
#[derive(Clone)]
pub(super) struct Secure(pub Arc<ClientConfig>);

/// The same with the name of the server.
pub(super) struct Named {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// A connection with TLS.
pub(super) struct Stream<S>(TlsStream<S>);

impl<S> MakeTlsConnect<S> for Secure
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Named;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Named, Self::Error> {
        let name = ServerName::try_from(domain)?.to_owned();
        Ok(Named { connector: TlsConnector::from(self.0.clone()), name })
    }
}

impl<S> TlsConnect<S> for Named
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { self.connector.connect(self.name, stream).await.map(Stream) })
    }
}

impl<S> tokio_postgres::tls::TlsStream for Stream<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_tls_is_taken_out_of_the_uri() {
        let split = |query: &str| {
            let (rest, asked) = Asked::split(&format!("postgresql://h/d{query}")).unwrap();
            (rest, asked.mode, asked.tls.verify, asked.tls.ca_file)
        };
        let plain = "postgresql://h/d".to_owned();
        assert_eq!(split(""), (plain.clone(), SslMode::Prefer, Verify::Nothing, None));
        assert_eq!(
            split("?sslmode=require"),
            (plain.clone(), SslMode::Require, Verify::Nothing, None)
        );
        assert_eq!(
            split("?connect_timeout=3&sslmode=require&sslrootcert=%2Fca"),
            (format!("{plain}?connect_timeout=3"), SslMode::Require, Verify::Chain, {
                Some("/ca".to_owned())
            })
        );
        assert_eq!(split("?sslmode=verify-ca").2, Verify::Chain);
        assert_eq!(split("?sslmode=verify-full").2, Verify::ChainAndName);
        assert_eq!(split("?sslmode=disable").1, SslMode::Disable);
        let bad = |query: &str| Asked::split(&format!("postgresql://h/d{query}")).unwrap_err();
        assert_eq!(bad("?sslmode=maybe"), "invalid sslmode value: \"maybe\"");
        assert_eq!(bad("?sslcert=/c"), "sslcert and sslkey belong together");
    }
}

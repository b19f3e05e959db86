//! Why recipients are deferred: the detail that a deferral keeps in the queue log, for `postqueue
//! -p` and for the notice when the message expires.

use mail::dsn::Diagnostic;
use mail::record::{self, kind};
use mail::{Dsn, Status};
use std::sync::Arc;

/// Bytes of stored reasons; recipients beyond have none.
const DETAIL_BYTES_MAX: usize = 128 * 1024;
/// Stands for the reason of the recipient before.
const SAME: &str = "=";

/// One recipient's reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// Index into the envelope's recipients.
    pub index: u32,
    /// Status and reason; recipients that share a fate share it.
    pub dsn: Arc<Dsn>,
}

/// The stored form. What would be too long for the log is left out.
pub fn encode(deferrals: &[Deferral]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut last: Option<&Dsn> = None;
    for Deferral { index, dsn } in deferrals {
        let before = out.len();
        match last {
            Some(last) if *last == **dsn => {
                record::put(&mut out, kind::RECIPIENT, format!("{index} {SAME}").as_bytes());
            }
            _ => encode_reason(*index, dsn, &mut out),
        }
        if out.len() > DETAIL_BYTES_MAX {
            out.truncate(before);
            break;
        }
        last = Some(dsn);
    }
    out
}

fn encode_reason(index: u32, dsn: &Dsn, out: &mut Vec<u8>) {
    let diagnostic = match dsn.diagnostic {
        Diagnostic::Local => "X-Postfix",
        Diagnostic::Smtp => "smtp",
        Diagnostic::Unix => "x-unix",
    };
    let line = format!("{index} {} {diagnostic} {}", dsn.status, dsn.reason);
    record::put(out, kind::RECIPIENT, line.as_bytes());
    for (name, value) in [("diag_text", &dsn.diagnostic_text), ("mta_mname", &dsn.remote_mta)] {
        if let Some(value) = value {
            record::put(out, kind::ATTRIBUTE, format!("{name}={value}").as_bytes());
        }
    }
}

/// Reads the stored form; what is not readable is left out, as the reasons are for people only.
pub fn decode(bytes: &[u8]) -> Vec<Deferral> {
    let mut deferrals: Vec<Deferral> = Vec::new();
    let mut input = bytes;
    while let Ok(Some((kind, body))) = record::take(&mut input) {
        let text = String::from_utf8_lossy(body);
        match kind {
            kind::RECIPIENT => {
                let next = same(&text, deferrals.last()).or_else(|| parse(&text));
                deferrals.extend(next);
            }
            kind::ATTRIBUTE => {
                if let Some(last) = deferrals.last_mut() {
                    attribute(Arc::make_mut(&mut last.dsn), &text);
                }
            }
            _ => {}
        }
    }
    deferrals
}

fn attribute(dsn: &mut Dsn, text: &str) {
    match text.split_once('=') {
        Some(("diag_text", value)) => dsn.diagnostic_text = Some(value.into()),
        Some(("mta_mname", value)) => dsn.remote_mta = Some(value.into()),
        _ => {}
    }
}

fn same(line: &str, last: Option<&Deferral>) -> Option<Deferral> {
    let (index, rest) = line.split_once(' ')?;
    let dsn = last.filter(|_| rest == SAME)?.dsn.clone();
    Some(Deferral { index: index.parse().ok()?, dsn })
}

fn parse(line: &str) -> Option<Deferral> {
    let mut words = line.splitn(4, ' ');
    let index = words.next()?.parse().ok()?;
    let (status, _) = Status::parse_prefix(words.next()?.as_bytes())?;
    let diagnostic = match words.next()? {
        "smtp" => Diagnostic::Smtp,
        "x-unix" => Diagnostic::Unix,
        _ => Diagnostic::Local,
    };
    let dsn = Dsn { diagnostic, ..Dsn::local(status, words.next()?) };
    Some(Deferral { index, dsn: Arc::new(dsn) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_back() {
        let dsn =
            Dsn::local(Status::new(4, 4, 1), "connect to x[192.0.2.1]:25: Connection refused");
        let spoken = Dsn {
            diagnostic: Diagnostic::Smtp,
            diagnostic_text: Some("450 4.2.0 later".into()),
            remote_mta: Some("mx.example".into()),
            ..Dsn::local(Status::new(4, 2, 0), "host mx.example said: 450 4.2.0 later")
        };
        let (dsn, spoken) = (Arc::new(dsn), Arc::new(spoken));
        let all = [(0, &dsn), (1, &dsn), (7, &spoken), (8, &spoken), (9, &dsn)]
            .map(|(index, dsn)| Deferral { index, dsn: dsn.clone() });
        assert_eq!(decode(&encode(&all)), all);
        assert_eq!(decode(b"Rgarbage"), []);
    }

    /// The log refused the whole record of a message with very many recipients.
    #[test]
    fn reasons_of_very_many_recipients_fit_the_log() {
        let dsn = Arc::new(Dsn::local(Status::new(4, 4, 1), "x".repeat(500)));
        let all: Vec<Deferral> =
            (0..100_000).map(|index| Deferral { index, dsn: dsn.clone() }).collect();
        let stored = encode(&all);
        assert!(stored.len() <= DETAIL_BYTES_MAX);
        let read = decode(&stored);
        assert!(read.len() > 10_000 && read == all[..read.len()]);
    }
}

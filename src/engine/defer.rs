//! Why recipients are deferred: the detail that a deferral keeps in the queue log, for `postqueue
//! -p` and for the notice when the message expires.

use mail::dsn::Diagnostic;
use mail::record::{self, kind};
use mail::{Dsn, Status};

/// One recipient's reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// Index into the envelope's recipients.
    pub index: u32,
    /// Status and reason.
    pub dsn: Dsn,
}

/// The stored form.
pub fn encode(deferrals: &[Deferral]) -> Vec<u8> {
    let mut out = Vec::new();
    for Deferral { index, dsn } in deferrals {
        let diagnostic = match dsn.diagnostic {
            Diagnostic::Local => "X-Postfix",
            Diagnostic::Smtp => "smtp",
            Diagnostic::Unix => "x-unix",
        };
        let line = format!("{index} {} {diagnostic} {}", dsn.status, dsn.reason);
        record::put(&mut out, kind::RECIPIENT, line.as_bytes());
        for (name, value) in [("diag_text", &dsn.diagnostic_text), ("mta_mname", &dsn.remote_mta)] {
            if let Some(value) = value {
                record::put(&mut out, kind::ATTRIBUTE, format!("{name}={value}").as_bytes());
            }
        }
    }
    out
}

/// Reads the stored form; what is not readable is left out, as the reasons are for people only.
pub fn decode(bytes: &[u8]) -> Vec<Deferral> {
    let mut deferrals: Vec<Deferral> = Vec::new();
    let mut input = bytes;
    while let Ok(Some((kind, body))) = record::take(&mut input) {
        let text = String::from_utf8_lossy(body);
        match kind {
            kind::RECIPIENT => deferrals.extend(parse(&text)),
            kind::ATTRIBUTE => {
                if let (Some(last), Some((name, value))) =
                    (deferrals.last_mut(), text.split_once('='))
                {
                    match name {
                        "diag_text" => last.dsn.diagnostic_text = Some(value.into()),
                        "mta_mname" => last.dsn.remote_mta = Some(value.into()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deferrals
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
    Some(Deferral { index, dsn })
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
        let all = [Deferral { index: 0, dsn }, Deferral { index: 7, dsn: spoken }];
        assert_eq!(decode(&encode(&all)), all);
        assert_eq!(decode(b"Rgarbage"), []);
    }
}

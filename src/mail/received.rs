//! The Received: header that smtpd prepends.
//!
//! Standards: RFC 5321 section 4.4, in Postfix's layout: three lines, `for` only with one
//! recipient.

use crate::address::Address;
use crate::date::{HeaderDate, Zone};
use core::fmt;

/// What a Received: header says.
pub struct Received<'a> {
    /// What the client called itself.
    pub helo: &'a str,
    /// The verified client name, or `unknown`.
    pub client_name: &'a str,
    /// The client address as text; `IPv6:` is put before a version 6 one.
    pub client_address: &'a str,
    /// `Authenticated sender: x`, when it is to be shown.
    pub authenticated: Option<&'a str>,
    /// This host.
    pub hostname: &'a str,
    /// `mail_name`.
    pub mail_name: &'a str,
    /// `SMTP`, `ESMTP`, `ESMTPS`, `ESMTPA`, `UTF8SMTP`, ...
    pub protocol: &'a str,
    /// The queue id.
    pub queue_id: &'a dyn fmt::Display,
    /// The only recipient, when there is only one.
    pub recipient: Option<&'a Address>,
    /// When, in seconds since 1970.
    pub unix: u64,
    /// The local zone then.
    pub zone: &'a Zone,
}

impl fmt::Display for Received<'_> {
    /// Lines end with CRLF, the last one too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = if self.client_address.contains(':') { "IPv6:" } else { "" };
        let date = HeaderDate { unix: self.unix, zone: self.zone };
        write!(f, "Received: from {} ", self.helo)?;
        write!(f, "({} [{tag}{}])\r\n\t", self.client_name, self.client_address)?;
        if let Some(login) = self.authenticated {
            write!(f, "(Authenticated sender: {login})\r\n\t")?;
        }
        write!(f, "by {} ({})", self.hostname, self.mail_name)?;
        write!(f, " with {} id {}", self.protocol, self.queue_id)?;
        match self.recipient {
            Some(recipient) => write!(f, "\r\n\tfor <{recipient}>; {date}\r\n"),
            None => write!(f, ";\r\n\t{date}\r\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn one_recipient_is_named_several_are_not() {
        let zone = Zone { offset: 0, name: "UTC".into() };
        let recipient = Address::from_internal(b"alice@example.test");
        let mut received = Received {
            helo: "c.example.org",
            client_name: "unknown",
            client_address: "2001:db8::1",
            authenticated: None,
            hostname: "mx.example.test",
            mail_name: "Testmail",
            protocol: "ESMTP",
            queue_id: &"4jXS6544LDz1TlDc",
            recipient: Some(&recipient),
            unix: 1_795_398_000,
            zone: &zone,
        };
        assert_eq!(
            received.to_string(),
            "Received: from c.example.org (unknown [IPv6:2001:db8::1])\r\n\
             \tby mx.example.test (Testmail) with ESMTP id 4jXS6544LDz1TlDc\r\n\
             \tfor <alice@example.test>; Mon, 23 Nov 2026 01:40:00 +0000 (UTC)\r\n"
        );
        received.recipient = None;
        assert!(received.to_string().contains(" id 4jXS6544LDz1TlDc;\r\n\tMon, "));
    }
}

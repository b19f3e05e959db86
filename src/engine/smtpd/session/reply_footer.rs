//! `smtpd_reject_footer` and its maps: what is put behind replies that refuse.

use super::Task;
use crate::maillog::Daemon;
use mail::Address;
use mail::date::LogDate;

impl Task {
    /// Gives the reply that begins at `start` its footer, if it has one.
    pub(super) fn add_footer(&mut self, start: usize) {
        let Some(footer) = &self.service.footer else { return };
        let Ok(reply) = str::from_utf8(self.session.output_from(start)) else { return };
        match footer.apply(reply, &|name| self.value(name)) {
            Ok(Some(replies)) => self.session.amend(start, &replies),
            Ok(None) => {}
            Err(why) => self.core.log.warn(Daemon::Smtpd, &why),
        }
    }

    /// What a name in a footer stands for.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        let sender = || self.transaction.as_ref().map(|t| t.envelope.sender.to_string());
        match name {
            "client" => Some(self.client.to_string()),
            "client_address" => Some(self.client.address.clone()),
            "client_name" => Some(self.client.name.clone()),
            "client_port" => self.stream.peer().ok().map(|peer| peer.port().to_string()),
            "helo_name" => self.session.helo().map(String::from),
            "localtime" => {
                let unix = self.core.rt.unix_time().seconds();
                let offset = self.core.local.at(unix).offset;
                Some(LogDate { unix, offset, zero: true }.to_string())
            }
            "protocol_name" | "protocol" => Some(self.protocol().to_string()),
            "recipient" => self.recipient.as_ref().map(Address::to_string),
            "sender" => sender(),
            "server_name" => Some(self.service.protocol.hostname.clone()),
            _ => None,
        }
    }
}

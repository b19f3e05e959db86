//! Addresses in headers: qualified, mapped, and written anew where that changed something.
//!
//! Only headers of the message itself, and only those that have addresses by their name. A header
//! in which nothing changes stays as it is, byte for byte; another one gets one blank after its
//! colon, and lines of up to `LINE_BYTES` with as many addresses as fit, continued with a tab.
//!
//! **Limits**: `header_address_token_limit`; of a longer header that is written anew the rest is
//! lost.
//! **Standards**: cleanup(8), trivial-rewrite(8), postconf(5) `remote_header_rewrite_domain`.

use super::mapping::{Class, Mapping, Trouble};
use super::receive::Receive;
use crate::core::Core;
use crate::snapshot::Snapshot;
use mail::Address;
use mail::header::{self, Addresses};
use mail::queue_id::QueueId;
use mail::tok822::{AddressList, Operators};
use protocol::smtp::reply::Reply;
use std::sync::Arc;

/// Bytes of a line that is written anew, its tab not counted.
const LINE_BYTES: usize = 70;

/// The envelope's attribute that says [`Context::Local`] of a message that is forwarded later;
/// without it, it came from elsewhere.
pub const REWRITE_CONTEXT: &str = "rewrite_context";
/// Its value.
pub const LOCAL_CONTEXT: &[u8] = b"local";

/// By which domain names are qualified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// `$myorigin`: the message comes from here.
    Local,
    /// `remote_header_rewrite_domain`; nothing when that is empty.
    Remote,
}

/// What rewrites the headers of one message.
pub struct Rewriting<'a> {
    core: &'a Core,
    snapshot: Arc<Snapshot>,
    id: QueueId,
    context: Context,
    receive: Receive,
}

impl<'a> Rewriting<'a> {
    /// Rewriting in a context; none where headers are left alone.
    pub fn new(
        core: &'a Core,
        id: QueueId,
        context: Context,
        receive: Receive,
    ) -> Option<Rewriting<'a>> {
        let snapshot = core.snapshot();
        let none = context == Context::Remote && snapshot.remote_rewrite_domain.is_empty();
        (!none).then_some(Rewriting { core, snapshot, id, context, receive })
    }

    /// A whole logical header in wire form: what it becomes, if that is something else.
    ///
    /// # Errors
    /// The reply after end-of-data: a table cannot answer.
    pub fn header(&self, line: &[u8]) -> Result<Option<Vec<u8>>, Reply> {
        let mut trouble = None;
        let limit = self.snapshot.cleanup.address_token_limit;
        let new = rewrite_line(line, limit, |class, address, operators| match trouble {
            None => self.address(class, address, operators).map_err(|why| trouble = Some(why)).ok(),
            Some(_) => None,
        });
        match trouble {
            Some(trouble) => Err(trouble.told(self.core, self.id)),
            None => Ok(new),
        }
    }

    /// Asks the tables for all addresses in the header at the start of `text`.
    pub fn look_up(&self, text: &[u8]) {
        for line in crate::head::logical_lines(text, true) {
            let _verdict = self.header(line);
        }
    }

    fn address(
        &self,
        class: Class,
        address: &Address,
        operators: Operators,
    ) -> Result<Address, Trouble> {
        let Snapshot { resolver, mapping, remote_rewrite_domain, .. } = &*self.snapshot;
        let mut address = match self.context {
            Context::Local => resolver.canonical_written(address, operators),
            Context::Remote => resolver.canonical_at(address, operators, remote_rewrite_domain),
        };
        if self.receive.maps_addresses {
            Mapping::header(mapping, self.core, resolver, self.id, class, &mut address)?;
        }
        Ok(address)
    }
}

/// A logical header in wire form: what it becomes when `change` gives its addresses another form;
/// nothing when it does not.
pub fn rewrite_line(
    line: &[u8],
    tokens_max: usize,
    mut change: impl FnMut(Class, &Address, Operators) -> Option<Address>,
) -> Option<Vec<u8>> {
    let class = match header::name(line).and_then(header::addresses)? {
        Addresses::Sender => Class::HeaderSender,
        Addresses::Recipient => Class::HeaderRecipient,
    };
    let colon = line.iter().position(|byte| *byte == b':').map_or(0, |colon| colon + 1);
    let (name, value) = line.split_at(colon);
    let mut list = AddressList::parse_header(value, tokens_max);
    let changed = list.rewrite(|address, operators| change(class, address, operators));
    changed.then(|| folded(name, &list))
}

/// A header in lines, in wire form.
fn folded(name: &[u8], list: &AddressList) -> Vec<u8> {
    let mut text = [name, b" "].concat();
    list.write(b'\n', &mut text);
    let mut out = Vec::with_capacity(text.len() + 16);
    let mut line = 0;
    for (at, piece) in text.split(|byte| *byte == b'\n').enumerate() {
        if at > 0 && line + 1 + piece.len() < LINE_BYTES {
            out.push(b' ');
            line += 1;
        } else if at > 0 {
            out.extend_from_slice(b"\r\n\t");
            line = 0;
        }
        out.extend_from_slice(piece);
        line += piece.len();
    }
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const MAPS: &str = "myorigin = origin.example\nmydestination = ours.example\n\
        canonical_maps = inline:{{old@x.example=new@x.example}}\n\
        sender_canonical_maps = inline:{{both@x.example=s@x.example}}\n\
        recipient_canonical_maps = inline:{{both@x.example=r@x.example}}\n\
        masquerade_domains = corp.example\nappend_dot_mydomain = yes\nmydomain = dom.example\n";

    fn rewritten(main_cf: &str, context: Context, line: &str) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        let world = testing::world(directory.path(), main_cf, 1);
        let id = QueueId { micros: 0, number: 1, long: true };
        let rewriting = Rewriting::new(&world.core, id, context, Receive::default())?;
        let new = rewriting.header(format!("{line}\r\n").as_bytes()).unwrap();
        let text = new.map(|new| String::from_utf8(new).unwrap());
        text.map(|text| text.strip_suffix("\r\n").unwrap().to_string())
    }

    fn local(line: &str) -> Option<String> {
        rewritten(MAPS, Context::Local, line)
    }

    #[test]
    fn a_header_without_a_change_is_left_alone() {
        for line in [
            "To:a@b.example ,c@d.example",
            "X-To: old@x.example",
            "Subject: user",
            "To: Nobody <>",
            "To:",
        ] {
            assert_eq!(local(line), None, "{line}");
        }
    }

    #[test]
    fn addresses_are_qualified_and_mapped_by_the_class_of_their_header() {
        for (line, new) in [
            ("From: Me <old@x.example>", "From: Me <new@x.example>"),
            ("sender:both@x.example", "sender: s@x.example"),
            ("Cc: both@x.example (who), user", "Cc: r@x.example (who), user@origin.example"),
            ("Reply-To: u@h.corp.example", "Reply-To: u@corp.example"),
            ("Resent-To: a@host", "Resent-To: a@host.dom.example"),
            ("Errors-To: host!user", "Errors-To: user@host.dom.example"),
            ("Bcc: user%y.example", "Bcc: user@y.example"),
            ("From: @r.example:a@b.example.", "From: a@b.example"),
            ("From: \"x.example!u\"", "From: x.example!u@origin.example"),
            ("From: <x.example!\"u v\">", "From: <\"u v\"@x.example>"),
            ("From: \"u@x.example\"", "From: \"u@x.example\"@origin.example"),
            ("From: \"u\"+e@x.example", "From: u@origin.example, +e@x.example"),
            ("From: <@>, u", "From: <\"\">, u@origin.example"),
            ("From: Re: foo <u>", "From: Re@origin.example:foo <u@origin.example>"),
        ] {
            assert_eq!(local(line).as_deref(), Some(new), "{line}");
        }
    }

    #[test]
    fn as_many_addresses_as_fit_share_a_line() {
        let line = "To: user, user@host.example, user@remote.example, user@host2.example.test";
        let new = "To: user@origin.example, user@host.example, user@remote.example,\r\n\
                   \tuser@host2.example.test";
        assert_eq!(local(line).as_deref(), Some(new));
    }

    #[test]
    fn mail_from_elsewhere_is_left_alone_unless_a_domain_is_given() {
        assert_eq!(rewritten(MAPS, Context::Remote, "From: user"), None);
        let given = format!("{MAPS}remote_header_rewrite_domain = r.invalid\n");
        let new = rewritten(&given, Context::Remote, "From: user, a@host, old@x.example");
        assert_eq!(new.as_deref(), Some("From: user@r.invalid, a@host.r.invalid, new@x.example"));
    }
}

//! The mappings of cleanup(8) in their order: canonical, masquerade, virtual aliases, blind copies.
//!
//! | address | canonical_maps of | masquerade | then |
//! | --- | --- | --- | --- |
//! | sender | sender_, all | `envelope_sender` | sender_bcc_maps |
//! | recipient | recipient_, all | `envelope_recipient` | virtual_alias_maps; recipient_bcc_maps |
//! | header | sender_ or recipient_, all | `header_sender`, `header_recipient` | - |
//!
//! A blind copy is a recipient like any other, without reports, and makes no further copies.
//!
//! **Diagnostics**: [`Trouble`]: the message cannot be taken now, and why.
//! **Standards**: cleanup(8), ADDRESS_REWRITING_README.

use super::map1n::Map1n;
use super::map11::Map11;
use super::masquerade::Masquerade;
use crate::core::Core;
use crate::lookup::{Maps, Opener};
use crate::mail_addr_find::Finder;
use crate::mail_addr_map::{Buffers, Mapper, Watch};
use crate::maillog::{Daemon, Event};
use crate::trivial_rewrite::Resolver;
use config::Params;
use config::params::BadValue;
use mail::envelope::notify;
use mail::queue_id::QueueId;
use mail::{Address, Envelope, Recipient};
use protocol::smtp::reply::Reply;
use std::fmt::Display;

/// Where an address stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The envelope sender.
    EnvelopeSender,
    /// An envelope recipient.
    EnvelopeRecipient,
    /// From:, Reply-To: and their like.
    HeaderSender,
    /// To:, Cc: and their like.
    HeaderRecipient,
}

/// Which classes something is for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Classes([bool; 4]);

/// Whether blind copies are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies<'a> {
    /// Of mail from outside and of local submissions, also for those whom checks have added.
    Made(&'a [Address]),
    /// Not of mail that the system itself makes.
    None,
}

/// Why a message cannot be taken now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What the table has to say, line by line.
    pub said: String,
    /// For the mail log, after the queue id.
    pub text: String,
    /// For the client.
    pub reply: Reply,
}

/// The mappings of one configuration.
#[derive(Debug, Default)]
pub struct Mapping {
    /// How addresses are looked up.
    pub finder: Finder,
    /// canonical_maps.
    pub canonical: Map11,
    sender_canonical: Map11,
    recipient_canonical: Map11,
    masquerade: Masquerade,
    /// virtual_alias_maps.
    pub virtual_alias: Map1n,
    always_bcc: String,
    sender_bcc: Maps,
    recipient_bcc: Maps,
}

impl Classes {
    /// Reads a parameter that lists classes.
    ///
    /// # Errors
    /// Its value is not valid.
    pub fn new(params: &Params, name: &str) -> Result<Classes, BadValue> {
        let words = params.list(name)?;
        let names = ["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"];
        Ok(Classes(names.map(|class| words.iter().any(|word| word == class))))
    }

    /// Whether a class is among them.
    pub fn has(self, class: Class) -> bool {
        self.0[class as usize]
    }
}

impl Trouble {
    /// A table cannot answer for `address`.
    pub fn lookup(name: &str, address: &dyn Display, why: &str) -> Trouble {
        let reply = Reply::fixed("451 4.3.0 Error: queue file write error");
        let what = format!("{name} map lookup problem for {address}");
        Trouble { said: why.to_string(), text: not_accepted(&what), reply }
    }

    /// A table of copies cannot answer: Postfix does not say for whom.
    fn copying(name: &str, why: &str) -> Trouble {
        let reply = Reply::fixed("451 4.3.0 Error: queue file write error");
        let what = format!("{name} map lookup problem");
        Trouble { said: why.to_string(), text: not_accepted(&what), reply }
    }

    /// An address stands for too much.
    pub fn expansion(what: &str) -> Trouble {
        let reply = Reply::fixed("451 4.6.0 Alias expansion error");
        Trouble { said: String::new(), text: not_accepted(what), reply }
    }
}

impl Trouble {
    /// Says so in the log; what to say to the client.
    pub fn told(self, core: &Core, id: QueueId) -> Reply {
        core.log.warn(Daemon::Cleanup, &self.said);
        warn(core, id, &self.text);
        self.reply
    }
}

/// A recipient whom nobody sees and nobody hears of.
pub fn blind_copy(address: &Address) -> Recipient {
    Recipient { notify: notify::NEVER, ..Recipient::new(address.clone()) }
}

fn not_accepted(what: &str) -> String {
    format!("{what} -- message not accepted, try again later")
}

/// What a message is mapped with.
struct Job<'a> {
    mapping: &'a Mapping,
    mapper: Mapper<'a>,
    warn: &'a dyn Fn(&str),
}

/// What becomes of the recipients of a message.
#[derive(Default)]
struct Recipients {
    out: Vec<Recipient>,
    /// What each recipient was before virtual aliases, while copies are made of that.
    mapped: Vec<Address>,
    results: Vec<Address>,
}

impl Mapping {
    /// Reads the parameters and opens the tables.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(params: &Params, opener: &Opener) -> Result<Mapping, BadValue> {
        let map11 = |names| Map11::new(params, opener, names);
        Ok(Mapping {
            finder: Finder::new(params)?,
            canonical: map11(["canonical_maps", "canonical_classes"])?,
            sender_canonical: map11(["sender_canonical_maps", "sender_canonical_classes"])?,
            recipient_canonical: map11([
                "recipient_canonical_maps",
                "recipient_canonical_classes",
            ])?,
            masquerade: Masquerade::new(params, opener)?,
            virtual_alias: Map1n::new(params, opener)?,
            always_bcc: params.text("always_bcc")?,
            sender_bcc: opener.maps(params, "sender_bcc_maps")?,
            recipient_bcc: opener.maps(params, "recipient_bcc_maps")?,
        })
    }

    /// The sender as it is queued; it is in canonical form.
    ///
    /// # Errors
    /// A table cannot answer.
    pub fn sender(
        &self,
        core: &Core,
        resolver: &Resolver,
        id: QueueId,
        sender: &mut Address,
    ) -> Result<(), Trouble> {
        let warn = |text: &str| warn(core, id, text);
        let buffers = Buffers::default();
        self.job(resolver, None, &warn, &buffers).one(Class::EnvelopeSender, sender)
    }

    /// The recipients as they are queued, `copies` included; the sender is mapped already.
    ///
    /// # Errors
    /// A table cannot answer, or a recipient stands for too much.
    pub fn recipients(
        &self,
        core: &Core,
        resolver: &Resolver,
        id: QueueId,
        envelope: &mut Envelope,
        copies: Copies<'_>,
    ) -> Result<(), Trouble> {
        self.rewrite(resolver, envelope, copies, &|text| warn(core, id, text))
    }

    /// The same with no core at hand; what is odd goes to `warn`.
    ///
    /// # Errors
    /// A table cannot answer, or a recipient stands for too much.
    pub fn rewrite(
        &self,
        resolver: &Resolver,
        envelope: &mut Envelope,
        copies: Copies<'_>,
        warn: &dyn Fn(&str),
    ) -> Result<(), Trouble> {
        let added = matches!(copies, Copies::Made(added) if !added.is_empty());
        if self.leaves_recipients() && !added {
            return Ok(());
        }
        let buffers = Buffers::default();
        let job = self.job(resolver, None, warn, &buffers);
        let mut done = Recipients::default();
        done.out.reserve(envelope.recipients.len());
        for recipient in std::mem::take(&mut envelope.recipients) {
            job.recipient(recipient, &mut done)?;
        }
        let copies = match copies {
            Copies::Made(added) => {
                let mut copies = job.copies(&envelope.sender, &done.mapped)?;
                copies.extend_from_slice(added);
                copies
            }
            Copies::None => Vec::new(),
        };
        for address in copies {
            job.copied(&address, &mut done)?;
        }
        envelope.recipients = done.out;
        Ok(())
    }

    /// Names what each recipient was in reports, where the submitter has not: the address in
    /// canonical form, mapped by the canonical maps, unquoted.
    ///
    /// # Errors
    /// A table cannot answer.
    pub fn name_originals(
        &self,
        resolver: &Resolver,
        recipients: &mut [Recipient],
        warn: &dyn Fn(&str),
    ) -> Result<(), Trouble> {
        let buffers = Buffers::default();
        let job = self.job(resolver, None, warn, &buffers);
        for recipient in recipients.iter_mut().filter(|it| it.dsn_orcpt.is_none()) {
            let mut address = resolver.canonical_recipient(&recipient.original);
            job.one(Class::EnvelopeRecipient, &mut address)?;
            let orcpt = [b"rfc822;", address.as_bytes()].concat();
            recipient.dsn_orcpt = Some(orcpt).filter(|_| !address.is_8bit());
        }
        Ok(())
    }

    /// An address in a header, in canonical form.
    ///
    /// # Errors
    /// A table cannot answer.
    pub fn header(
        &self,
        core: &Core,
        resolver: &Resolver,
        id: QueueId,
        class: Class,
        address: &mut Address,
    ) -> Result<(), Trouble> {
        let warn = |text: &str| warn(core, id, text);
        let buffers = Buffers::default();
        self.job(resolver, None, &warn, &buffers).one(class, address)
    }

    fn job<'a>(
        &'a self,
        resolver: &'a Resolver,
        watch: Option<Watch<'a>>,
        warn: &'a dyn Fn(&str),
        buffers: &'a Buffers,
    ) -> Job<'a> {
        let mapper = Mapper { finder: &self.finder, resolver, watch, buffers };
        Job { mapping: self, mapper, warn }
    }

    /// What an address becomes as sender or as recipient, with `watch` told of each step and `warn`
    /// of what is odd: one address, or everybody it stands for.
    ///
    /// # Errors
    /// A table cannot answer, or the address stands for too much.
    pub fn watched(
        &self,
        resolver: &Resolver,
        class: Class,
        address: &Address,
        watch: Watch<'_>,
        warn: &dyn Fn(&str),
    ) -> Result<Vec<Address>, Trouble> {
        let buffers = Buffers::default();
        let job = self.job(resolver, Some(watch), warn, &buffers);
        let mut address = address.clone();
        job.one(class, &mut address)?;
        let mut results = Vec::new();
        match class {
            Class::EnvelopeRecipient => {
                self.virtual_alias.expand(job.mapper, &address, &mut results)?;
            }
            _ => results.push(address),
        }
        Ok(results)
    }

    fn leaves_recipients(&self) -> bool {
        self.canonical.maps.is_empty()
            && self.recipient_canonical.maps.is_empty()
            && self.masquerade.is_empty()
            && self.virtual_alias.maps.is_empty()
            && self.always_bcc.is_empty()
            && self.sender_bcc.is_empty()
            && self.recipient_bcc.is_empty()
    }
}

/// The name that mail from the system itself goes by: as a sender it is nobody.
fn is_daemon(sender: &Address, resolver: &Resolver) -> bool {
    let is = |part: &[u8], name: &str| part.eq_ignore_ascii_case(name.as_bytes());
    is(sender.local_part(), "mailer-daemon")
        && sender.domain().is_some_and(|domain| is(domain, resolver.myorigin()))
}

fn warn(core: &Core, id: QueueId, text: &str) {
    core.log.log(&Event::MessageWarning { daemon: Daemon::Cleanup, id, text });
}

impl Job<'_> {
    /// Mappings that make one address of one.
    fn one(&self, class: Class, address: &mut Address) -> Result<(), Trouble> {
        let Mapping { canonical, masquerade, .. } = self.mapping;
        let special = match class {
            Class::EnvelopeSender | Class::HeaderSender => &self.mapping.sender_canonical,
            Class::EnvelopeRecipient | Class::HeaderRecipient => &self.mapping.recipient_canonical,
        };
        if class == Class::EnvelopeSender && is_daemon(address, self.mapper.resolver) {
            *address = Address::null();
        }
        let mut warn = |text: String| (self.warn)(&text);
        special.apply(self.mapper, class, address, &mut warn)?;
        canonical.apply(self.mapper, class, address, &mut warn)?;
        masquerade.apply(class, address)
    }

    /// Everybody a recipient stands for.
    fn recipient(&self, recipient: Recipient, done: &mut Recipients) -> Result<(), Trouble> {
        let resolver = self.mapper.resolver;
        let mut address = resolver.canonical_recipient(&recipient.original);
        self.one(Class::EnvelopeRecipient, &mut address)?;
        self.expanded(recipient, address, done)
    }

    /// The same of a blind copy: reports and the log know it by its mapped address.
    fn copied(&self, address: &Address, done: &mut Recipients) -> Result<(), Trouble> {
        let mut address = self.mapper.resolver.canonical(address);
        self.one(Class::EnvelopeRecipient, &mut address)?;
        self.expanded(blind_copy(&address), address, done)
    }

    fn expanded(
        &self,
        recipient: Recipient,
        address: Address,
        done: &mut Recipients,
    ) -> Result<(), Trouble> {
        let resolver = self.mapper.resolver;
        let Recipients { out, mapped, results } = done;
        self.mapping.virtual_alias.expand(self.mapper, &address, results)?;
        if !self.mapping.recipient_bcc.is_empty() {
            mapped.push(address);
        }
        let last = results.pop().map(|result| resolver.localized(result));
        out.extend(results.drain(..).map(|result| {
            let address = resolver.localized(result);
            Recipient { address, ..recipient.clone() }
        }));
        out.extend(last.map(|address| Recipient { address, ..recipient }));
        Ok(())
    }

    /// Who gets copies of what is from `sender` to these.
    fn copies(&self, sender: &Address, recipients: &[Address]) -> Result<Vec<Address>, Trouble> {
        let Mapping { always_bcc, sender_bcc, recipient_bcc, .. } = self.mapping;
        let mut copies = Vec::new();
        if !sender.is_null() {
            copies.extend(self.copy(sender_bcc, "sender_bcc_maps", sender)?);
        }
        for recipient in recipients {
            copies.extend(self.copy(recipient_bcc, "recipient_bcc_maps", recipient)?);
        }
        if !always_bcc.is_empty() {
            copies.push(Address::from_internal(always_bcc.as_bytes()));
        }
        let resolver = self.mapper.resolver;
        Ok(copies.into_iter().map(|copy| resolver.canonical_form(copy)).collect())
    }

    /// Who gets a copy of what is from or to an address.
    fn copy(&self, maps: &Maps, name: &str, address: &Address) -> Result<Option<Address>, Trouble> {
        let Mapper { finder, resolver, buffers, .. } = self.mapper;
        let found = finder.find(resolver, maps, address, &mut buffers.key.borrow_mut());
        let found = found.map_err(|why| Trouble::copying(name, &why))?;
        Ok(found.map(|found| Address::from_internal(found.value.trim_ascii())))
    }
}

#[cfg(test)]
mod tests;

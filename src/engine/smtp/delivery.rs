//! One delivery: destinations, hosts, and the transaction with each, until nobody is left.
//!
//! Temporary failures are kept for the next server while there is one; the last server's word is
//! final.

use super::connection::{Body, Broken, Connection, Host, error_text};
use super::filter::{EightBit, Filter};
use super::generic::Head;
use super::hosts::{Hosts, Lookup, NoHosts};
use super::nexthop::{self, Destination};
use super::report::{Blame, PassedOn, Relay, Report};
use super::{Client, Settings};
use crate::custody::Told;
use crate::delivery::{DeliverRequest, Outcome};
use crate::lookup::servers;
use crate::maillog::Event;
use mail::envelope::Encoding;
use mail::{Dsn, Envelope, Status};
use protocol::mx::Candidate;
use protocol::smtp::client::{self, Ending, Handshake, Manner, Progress, Said, Stage, Verdict};
use protocol::smtp::ehlo::Keywords;
use std::borrow::Cow;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;

/// A delivery on its way.
pub struct Delivery<'a> {
    pub(super) client: &'a Rc<Client>,
    pub(super) settings: &'a Arc<Settings>,
    pub(super) request: &'a DeliverRequest,
    pub(super) report: Report<'a>,
    /// Why the last thing tried did not work.
    why: Option<Dsn>,
    last_destination: bool,
    pub(super) last_server: bool,
    fallback: Fallback,
}

/// Whose destination is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fallback {
    No,
    Yes,
}

/// Whether other destinations may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Go {
    On,
    No,
}

impl<'a> Delivery<'a> {
    /// A delivery at its beginning.
    pub fn new(
        client: &'a Rc<Client>,
        settings: &'a Arc<Settings>,
        request: &'a DeliverRequest,
        report: Report<'a>,
    ) -> Delivery<'a> {
        Delivery {
            client,
            settings,
            request,
            report,
            why: None,
            last_destination: false,
            last_server: false,
            fallback: Fallback::No,
        }
    }

    /// Tries everything; the outcome names every recipient.
    pub async fn run(mut self) -> Outcome {
        self.left_under_way().await;
        if !self.report.left().is_empty() {
            self.sites().await;
        }
        self.give_up();
        self.report.finish()
    }

    /// Tries one destination after the other.
    async fn sites(&mut self) {
        let request = self.request;
        let settings = self.settings;
        let own = nexthop::split(&request.nexthop).map(|site| (site, Fallback::No));
        let fallback = nexthop::split(&settings.fallback_relay).map(|site| (site, Fallback::Yes));
        let mut sites = own.chain(fallback).enumerate().peekable();
        while let Some((at, (site, fallback))) = sites.next() {
            self.last_destination = sites.peek().is_none();
            self.fallback = fallback;
            let go = self.site(site, at == 0).await;
            if self.report.left().is_empty() || go == Go::No {
                break;
            }
        }
    }

    /// Tries one destination; the first one may have connections waiting.
    async fn site(&mut self, site: &str, may_reuse: bool) -> Go {
        let destination = match Destination::parse(site, &self.settings.port) {
            Ok(destination) => destination,
            Err(error) => {
                // A process of Postfix's would have ended with it, and left its queue manager to
                // say so.
                let (daemon, text) = (self.settings.daemon.clone(), &error.to_string());
                self.client.log.log(&Event::Fatal { daemon, text });
                let reason = "unknown mail transport error".to_string();
                self.why = Some(Dsn::local(Status::new(4, 3, 0), reason));
                return Go::On;
            }
        };
        match self.look_up(&destination).await {
            Ok(hosts) => {
                self.last_destination |= hosts.i_am_mx;
                self.hosts(hosts.candidates, destination.port, may_reuse).await;
                if hosts.i_am_mx { Go::No } else { Go::On }
            }
            Err(none) => {
                if none.no_valid_mx {
                    let text =
                        format!("no MX host for {} has a valid address record", destination.host);
                    self.report.warn(self.settings, &text);
                }
                self.why = Some(none.why);
                if none.loops { Go::No } else { Go::On }
            }
        }
    }

    async fn look_up(&self, destination: &Destination) -> Result<Hosts, NoHosts> {
        let Client { resolver, random, .. } = &**self.client;
        Lookup { resolver, settings: self.settings, random }.hosts(destination).await
    }

    async fn hosts(&mut self, mut candidates: Vec<Candidate>, port: u16, may_reuse: bool) {
        let best = candidates.first().map(|candidate| candidate.preference);
        let mut sessions = 0;
        if may_reuse && self.reuse(&mut candidates, port).await {
            sessions = 1;
        }
        let limit = self.settings.address_limit;
        if limit > 0 {
            candidates.truncate(limit);
        }
        let count = candidates.len();
        for (at, candidate) in candidates.into_iter().enumerate() {
            if self.report.left().is_empty() {
                return;
            }
            let is_best = Some(candidate.preference) == best;
            let last = at + 1 == count;
            let host = Host { candidate, port };
            let Some(connection) = self.connect(host).await else { continue };
            self.last_server = self.last_destination && last;
            let Some(connection) = self.handshake(connection, is_best).await else { continue };
            sessions += 1;
            let enough = sessions == self.settings.session_limit;
            self.last_server = self.last_destination && (last || enough);
            self.transfer(connection).await;
            if enough {
                return;
            }
        }
    }

    async fn connect(&mut self, host: Host) -> Option<Connection> {
        let why = match self.open(&host).await {
            Ok(connection) => return Some(connection),
            Err(why) => why,
        };
        self.report.not_connected(self.settings, &why);
        self.why = Some(why);
        None
    }

    /// Connects from the address that is configured, or from any when that one is not ours.
    async fn open(&self, host: &Host) -> Result<Connection, Dsn> {
        let (rt, settings) = (&self.client.rt, self.settings);
        let from = settings.bind(host.candidate.address);
        let mut opened = Connection::open(rt, settings, host.clone(), from).await;
        if let (Some(from), Err(error)) = (from, &opened)
            && error.kind() == ErrorKind::AddrNotAvailable
        {
            let text = format!("cannot connect from {}: {}", from.ip(), error_text(error));
            self.report.warn(settings, &text);
            if settings.bind_enforce {
                return Err(Dsn::local(Status::new(4, 4, 0), "server configuration error"));
            }
            opened = Connection::open(rt, settings, host.clone(), None).await;
        }
        opened.map_err(|error| {
            let reason = format!("connect to {host}: {}", error_text(&error));
            Dsn::local(Status::new(4, 4, 1), reason)
        })
    }

    /// Uses connections that wait, as long as they are still good. Whether one was used; the host
    /// it goes to is no candidate any more.
    async fn reuse(&mut self, candidates: &mut Vec<Candidate>, port: u16) -> bool {
        let key = (self.request.transport.clone(), self.request.nexthop.clone());
        while let Some(mut connection) = self.client.idle.take(&key) {
            let address = connection.host.candidate.address;
            let known = connection.host.port == port
                && candidates.iter().any(|candidate| candidate.address == address);
            if !connection.is_quiet(&self.client.rt).await {
                continue;
            }
            if !known {
                self.leave(connection);
                continue;
            }
            connection.uses += 1;
            let alone = candidates.len() == 1;
            self.last_server = self.last_destination && alone;
            if self.transfer(connection).await == Used::Stale {
                continue;
            }
            candidates.retain(|candidate| candidate.address != address);
            return true;
        }
        false
    }

    /// Greeting to EHLO; nothing when no transaction may begin.
    async fn handshake(&mut self, mut connection: Connection, best: bool) -> Option<Connection> {
        let going = |session: &client::Session| *session.handshake() != Handshake::Going;
        let talked = connection.talk(&self.client.rt, self.settings, None, going).await;
        let host = &connection.host;
        if connection.session.greeted_with_own_name() && host.port == 25 {
            let text = format!(
                "host {} greeted me with my own hostname {}",
                host.named(),
                self.settings.hello.myhostname
            );
            self.report.warn(self.settings, &text);
        }
        let why = match (talked, connection.session.handshake()) {
            (Err(broken), _) => self.broken(host, broken, connection.session.stage()),
            (_, Handshake::Refused(said)) => self.refused_to_talk(host, said),
            (_, Handshake::Loop) => self.loops(host, best),
            (Ok(()), Handshake::Ready | Handshake::Going) => return Some(connection),
        };
        self.fail_all(why, Some(Relay { host, uses: connection.uses }), Blame::Site);
        if talked.is_ok() {
            self.leave(connection);
        }
        None
    }

    fn refused_to_talk(&self, host: &Host, said: &Said) -> Dsn {
        let reason = format!("host {} refused to talk to me: {}", host.named(), said.text);
        let mut why = remote(host, said, reason);
        if said.code / 100 == 5 && self.settings.skip_5xx_greeting {
            why.status.class = 4;
        }
        why
    }

    fn loops(&self, host: &Host, is_best: bool) -> Dsn {
        let name = &self.settings.hello.myhostname;
        let text =
            format!("host {} replied to HELO/EHLO with my own hostname {name}", host.named());
        self.report.warn(self.settings, &text);
        let class = if is_best { 5 } else { 4 };
        let reason = format!("mail for {} loops back to myself", self.request.nexthop);
        Dsn::local(Status::new(class, 4, 6), reason)
    }

    /// One transaction for all who are left.
    async fn transfer(&mut self, mut connection: Connection) -> Used {
        self.report.ready();
        if let Some(why) = self.unfit(&connection) {
            let relay = Relay { host: &connection.host, uses: connection.uses };
            self.fail_all(why, Some(relay), Blame::Mail);
            return Used::Yes;
        }
        let ending = self.ending(&connection);
        if self.settings.generic.is_some() && servers::exist() {
            let client = &self.client;
            let (rt, log, resolver) = (&client.rt, &client.log, &client.resolver);
            let asker = servers::Asker { rt, log, resolver, daemon: &self.settings.daemon };
            servers::rehearse(asker, || drop(self.outside())).await;
        }
        let (envelope, head) = match self.outside() {
            Ok(outside) => outside,
            Err(why) => {
                let relay = Relay { host: &connection.host, uses: connection.uses };
                self.client.log.warn(self.settings.daemon.clone(), &why);
                let reason = "generic address mapping failure".to_string();
                let dsn = Dsn::local(Status::new(4, 3, 0), reason);
                self.fail_all(dsn, Some(relay), Blame::Mail);
                return Used::Yes;
            }
        };
        let filter = self.begin(&mut connection, &envelope, ending);
        drop(envelope);
        let body = Body { content: &self.request.content, head, filter };
        let sent = |session: &client::Session| session.is_settled() || session.awaits_end();
        let rt = &self.client.rt;
        let mut talked = connection.talk(rt, self.settings, Some(body), sent).await;
        if talked.is_ok() {
            talked = self.end_of_data(&mut connection).await;
        }
        let broken = talked.err().map(|broken| (broken, connection.session.stage()));
        // A server may hang up on an idle connection whenever it likes: that is nobody's fault.
        if connection.uses > 1 && matches!(broken, Some((Broken::Lost, Stage::Mail))) {
            return Used::Stale;
        }
        let told = self.tell_master(&mut connection);
        let relay = Relay { host: &connection.host, uses: connection.uses };
        let left = self.report.left().to_vec();
        self.settle(&left, relay, &connection.session, broken);
        if broken.is_some() {
            return Used::Yes;
        }
        if ending == Ending::Keep && told == Told::Yes && connection.session.is_reusable() {
            let key = (self.request.transport.clone(), self.request.nexthop.clone());
            self.client.idle.keep(key, connection, self.settings);
        } else {
            self.leave(connection);
        }
        Used::Yes
    }

    /// Why the message cannot be for this server, whoever it is for.
    fn unfit(&self, connection: &Connection) -> Option<Dsn> {
        let offer = connection.session.offer();
        let envelope = &self.request.message.envelope;
        let named = connection.host.named();
        if offer.size_limit > 0 && offer.size_limit < envelope.size {
            let (size, limit) = (envelope.size, offer.size_limit);
            let reason =
                format!("message size {size} exceeds size limit {limit} of server {named}");
            return Some(Dsn::local(Status::new(5, 3, 4), reason));
        }
        if needs_smtputf8(envelope) && !offer.keywords.has(Keywords::SMTPUTF8) {
            let reason = format!("SMTPUTF8 is required, but was not offered by host {named}");
            return Some(Dsn::local(Status::new(5, 6, 7), reason));
        }
        None
    }

    /// Envelope and header as they are outside.
    fn outside(&self) -> Result<(Cow<'_, Envelope>, Option<Head>), String> {
        let envelope = &self.request.message.envelope;
        let Some(generic) = &self.settings.generic else {
            return Ok((Cow::Borrowed(envelope), None));
        };
        let warn = |text: &str| self.client.log.warn(self.settings.daemon.clone(), text);
        let mapped = generic.envelope(envelope, self.report.left(), &warn)?;
        Ok((Cow::Owned(mapped), Some(generic.head(&self.request.content, &warn)?)))
    }

    /// Writes the commands; what the content has to go through.
    fn begin(
        &self,
        connection: &mut Connection,
        envelope: &Envelope,
        ending: Ending,
    ) -> Option<Filter> {
        let all = &envelope.recipients;
        let recipients = self.report.left().iter().map(|index| &all[*index as usize]);
        let manner = Manner { quoting: self.settings.quoting, ending };
        connection.session.begin(envelope, recipients, manner);
        let limit = self.settings.line_length_limit;
        let too_long = limit > 0 && envelope.longest_line as usize > limit;
        let eight_bit = self.eight_bit(connection);
        let as_it_is = !too_long && eight_bit == EightBit::Keep;
        (!as_it_is).then(|| Filter::new(limit, eight_bit))
    }

    /// What the server's offer means for 8-bit content. Declared 7-bit, content is left alone.
    fn eight_bit(&self, connection: &Connection) -> EightBit {
        let envelope = &self.request.message.envelope;
        let offered = connection.session.offer().keywords.has(Keywords::EIGHT_BIT_MIME);
        let is_8bit = match envelope.encoding {
            Some(Encoding::SevenBit) => false,
            Some(Encoding::EightBit) => true,
            None => envelope.has_8bit,
        };
        if is_8bit && !offered && !self.settings.disable_conversion {
            EightBit::Downgrade
        } else {
            EightBit::Keep
        }
    }

    /// Whether the connection is to be kept afterwards.
    fn ending(&self, connection: &Connection) -> Ending {
        let reuse = &self.settings.reuse;
        let wanted = (reuse.on_demand && self.request.keep_connection)
            || reuse.destinations.contains(&self.request.nexthop).is_yes();
        let young = self.client.rt.now().since(connection.opened) < reuse.age;
        let fresh = reuse.count == 0 || connection.uses < reuse.count;
        if wanted && young && fresh { Ending::Keep } else { Ending::Quit }
    }

    /// Gives every recipient of a transaction its result, or keeps it for the next server.
    pub(super) fn settle(
        &mut self,
        recipients: &[u32],
        relay: Relay<'_>,
        session: &client::Session,
        broken: Option<(Broken, Stage)>,
    ) {
        let progress = session.progress();
        let mut open = Vec::with_capacity(recipients.len());
        for (index, verdict) in recipients.iter().copied().zip(&progress.recipients) {
            match verdict {
                Verdict::Refused(said) => {
                    let why = said_to(relay.host, said, Stage::Rcpt);
                    self.fail(&[index], why, Some(relay), Blame::Mail);
                }
                Verdict::Accepted | Verdict::Unanswered => open.push(index),
            }
        }
        if open.is_empty() {
            return;
        }
        match (refusal(progress), &progress.end, broken) {
            (Some((said, stage)), ..) => {
                self.fail(&open, said_to(relay.host, said, stage), Some(relay), Blame::Mail);
            }
            (None, Some(said), _) => self.sent(&open, relay, session, said),
            (None, None, Some((broken, stage))) => {
                let why = self.broken(relay.host, broken, stage);
                self.fail(&open, why, Some(relay), Blame::Site);
            }
            (None, None, None) => unreachable!("a settled dialogue decides about everybody"),
        }
    }

    fn sent(&mut self, open: &[u32], relay: Relay<'_>, session: &client::Session, said: &Said) {
        let dsn = remote(relay.host, said, said.text.clone());
        let on = match session.offer().keywords.has(Keywords::DSN) {
            true => PassedOn::Yes,
            false => PassedOn::No,
        };
        for index in open {
            self.report.sent(self.settings, *index, relay, dsn.clone(), on);
        }
    }

    fn broken(&self, host: &Host, broken: Broken, stage: Stage) -> Dsn {
        let (named, doing) = (host.named(), stage.doing());
        match broken {
            Broken::Lost => {
                let reason = format!("lost connection with {named} while {doing}");
                Dsn::local(Status::new(4, 4, 2), reason)
            }
            Broken::TimedOut => {
                let reason = format!("conversation with {named} timed out while {doing}");
                Dsn::local(Status::new(4, 4, 2), reason)
            }
            Broken::NotSmtp => {
                let reason = format!("Protocol error: host {named} sent an endless reply");
                Dsn::local(Status::new(4, 5, 0), format!("{reason} while {doing}"))
            }
        }
    }

    fn fail_all(&mut self, why: Dsn, relay: Option<Relay<'_>>, blame: Blame) {
        let left = self.report.left().to_vec();
        self.fail(&left, why, relay, blame);
    }

    /// Fails recipients, or keeps them when another server may do better.
    fn fail(&mut self, recipients: &[u32], why: Dsn, relay: Option<Relay<'_>>, blame: Blame) {
        let soft = why.status.is_transient() || self.settings.soft_bounce;
        if soft && !self.last_server {
            self.report.skipped(self.settings, &why);
        } else {
            for index in recipients {
                self.report.failed(self.settings, *index, relay, &why, blame);
            }
        }
        self.why = Some(why);
    }

    /// Nothing else can be tried.
    fn give_up(&mut self) {
        if self.report.left().is_empty() {
            return;
        }
        let excuse = || {
            let reason = "server unavailable or unable to receive mail";
            Dsn::local(Status::new(4, 3, 0), reason)
        };
        let mut why = self.why.take().unwrap_or_else(excuse);
        let relayhost = &self.settings.relayhost;
        let is_relayhost = nexthop::split(&self.request.nexthop).next() == Some(relayhost);
        let culprit = match self.fallback {
            Fallback::Yes => Some("smtp_fallback_relay"),
            Fallback::No => is_relayhost.then_some("relayhost"),
        };
        if let Some(name) = culprit.filter(|_| !why.status.is_transient()) {
            // What looks like a mistake in the configuration must not cost anybody's mail.
            self.report.warn(self.settings, &format!("{name} configuration problem"));
            why.status = Status::new(4, 3, 5);
        }
        self.last_server = true;
        self.fail_all(why, None, Blame::Site);
    }

    /// Lets a connection end politely in its own time.
    pub(super) fn leave(&self, connection: Connection) {
        if !connection.session.is_over() {
            let rt = self.client.rt.clone();
            self.client.rt.spawn(connection.part(rt, self.settings.clone()));
        }
    }
}

/// Whether a connection was any good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Used {
    /// The server said something about the mail, or should have.
    Yes,
    /// It had hung up before: nothing has happened.
    Stale,
}

/// The first refusal of everybody who is left: MAIL, DATA, or the content.
fn refusal(progress: &Progress) -> Option<(&Said, Stage)> {
    let mail = progress.mail_refused.as_ref().map(|said| (said, Stage::Mail));
    let data = || progress.data_refused.as_ref().map(|said| (said, Stage::Data));
    let end = || progress.end.as_ref().filter(|said| said.code / 100 != 2);
    mail.or_else(data).or_else(|| end().map(|said| (said, Stage::End)))
}

/// A refusal in the server's words.
fn said_to(host: &Host, said: &Said, stage: Stage) -> Dsn {
    let reason =
        format!("host {} said: {} (in reply to {})", host.named(), said.text, stage.command());
    let mut why = remote(host, said, reason);
    if !matches!(why.status.class, 4 | 5) {
        why.status = Status::new(5, 5, 0);
    }
    why
}

fn remote(host: &Host, said: &Said, reason: String) -> Dsn {
    Dsn {
        status: said.status,
        reason,
        diagnostic: mail::dsn::Diagnostic::Smtp,
        diagnostic_text: Some(said.text.clone()),
        remote_mta: Some(host.candidate.name.to_string()),
    }
}

/// Whether only a server with SMTPUTF8 can take the envelope.
fn needs_smtputf8(envelope: &Envelope) -> bool {
    let recipients = envelope.recipients.iter();
    envelope.smtputf8
        && (envelope.header_8bit
            || envelope.sender.is_8bit()
            || recipients.map(|r| &r.address).any(|a| a.is_8bit()))
}

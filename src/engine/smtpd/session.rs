//! One client, from connect to disconnect: bytes to the dialogue, the dialogue's questions to
//! policy and to the transaction, replies to the client, facts to the log.

use super::Service;
use super::door::Pass;
use super::restrictions::Question;
use super::transaction::{Sender, Transaction};
use super::unlisted::Listed;
use crate::anvil::Visit;
use crate::core::Core;
use crate::limits::INPUT_BYTES;
use crate::maillog::{Client, Daemon, Event as LogEvent};
use crate::snapshot::Snapshot;
use crate::trivial_rewrite::Resolved;
use mail::Address;
use mail::queue_id::QueueId;
use protocol::smtp::command::{Mail, Rcpt};
use protocol::smtp::data::BareNewline;
use protocol::smtp::reply::Reply;
use protocol::smtp::server::{Closing, Event, Session};
use runtime::net::{Arrived, Stream};
use runtime::{Chunk, Instant};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Why a session is over.
enum End {
    /// As the dialogue says.
    Closed(Closing),
    /// The client is gone.
    Lost,
    /// The client is too slow.
    TimedOut,
}

/// A recipient that the system's accounts decide about.
struct Doubtful {
    rcpt: Rcpt,
    /// As it is queued.
    address: Address,
}

struct Task {
    core: Rc<Core>,
    service: Arc<Service>,
    stream: Stream,
    session: Session,
    client: Client,
    address: IpAddr,
    transaction: Option<Box<Transaction>>,
    last_recipient: Option<Address>,
    /// Its counts, unless it is exempt.
    visit: Option<Box<Visit>>,
    /// The last command that was worked on, for `lost connection after`.
    after: &'static str,
    /// Bytes of the content that is under way.
    content_bytes: u64,
    /// When a whole request must have come, see [`Service::min_data_rate`].
    request_until: Instant,
}

/// Serves a client to the end.
pub async fn serve(core: Rc<Core>, service: Arc<Service>, stream: Stream, pass: Pass) {
    if let Ok(peer) = stream.peer() {
        let address = peer.ip().to_canonical();
        let task = Task::new(core.clone(), service, stream, address).await;
        Box::pin(task.run()).await;
    }
    core.sessions.set(core.sessions.get() - 1);
    drop(pass);
}

impl Task {
    async fn new(core: Rc<Core>, service: Arc<Service>, stream: Stream, address: IpAddr) -> Task {
        let name = match service.peername_lookup {
            true => Box::pin(core.agents.client_name(address)).await,
            false => "unknown".into(),
        };
        let excluded = service.bare_newline_exclusions.contains(address, &name).is_yes();
        let request_until = core.rt.now() + service.timeout;
        let policy = if excluded { BareNewline::Accept } else { service.bare_newline };
        Task {
            session: Session::new(policy),
            client: Client { name, address: address.to_string() },
            core,
            service,
            stream,
            address,
            transaction: None,
            last_recipient: None,
            visit: None,
            after: "CONNECT",
            content_bytes: 0,
            request_until,
        }
    }

    async fn run(mut self) {
        self.core.log.log(&LogEvent::Connect { client: &self.client });
        let end = match self.enter() {
            Ok(()) => self.converse().await,
            Err(end) => end,
        };
        self.log_end(&end);
        self.session.abort();
        if matches!(end, End::TimedOut) {
            let hostname = &self.service.protocol.hostname;
            let reply = format!("421 4.4.2 {hostname} Error: timeout exceeded");
            self.session.say(&Reply::from(reply));
        }
        if !matches!(end, End::Lost) {
            // What the client does not take in time it does not get.
            self.flush().await.ok();
            self.stream.drained(self.deadline()).await.ok();
        }
        if let Some(transaction) = self.transaction.take() {
            transaction.abandon(&self.core);
        }
        let counters = self.session.counters();
        self.core.log.log(&LogEvent::Disconnect { client: &self.client, counters });
    }

    /// Greets the client, unless there are too many of it.
    fn enter(&mut self) -> Result<(), End> {
        let Task { core, service, client, address, .. } = self;
        let visit = service.rates.enter(core, *address, client);
        let hostname = &service.protocol.hostname;
        let verdict = visit
            .as_ref()
            .map_or(Ok(()), |visit| service.rates.connection(core, visit, client, hostname));
        let (greeting, entered) = match verdict {
            Ok(()) => (Reply::from(format!("220 {}", service.banner)), Ok(())),
            Err(reply) => (reply, Err(End::Closed(Closing::Refused))),
        };
        self.visit = visit.map(Box::new);
        self.session.say(&greeting);
        entered
    }

    fn log_end(&self, end: &End) {
        let (client, after) = (&self.client, self.after);
        let content_bytes = self.content_bytes();
        match end {
            End::Lost => {
                self.core.log.log(&LogEvent::LostConnection { client, after, content_bytes })
            }
            End::TimedOut => self.core.log.log(&LogEvent::Timeout { client, after, content_bytes }),
            End::Closed(Closing::TooManyErrors { after }) => {
                let after = after.name();
                self.core.log.log(&LogEvent::TooManyErrors { client, after });
            }
            End::Closed(Closing::Forbidden(line)) => {
                self.core.log.log(&LogEvent::NonSmtp { client, line });
            }
            End::Closed(_) => {}
        }
    }

    /// How much of the content has come, when it is under way.
    fn content_bytes(&self) -> Option<u64> {
        self.session.in_content().then_some(self.content_bytes)
    }

    async fn converse(&mut self) -> End {
        loop {
            if let Err(end) = self.wait_for_input().await {
                return end;
            }
            if let Err(end) = self.work().await {
                return end;
            }
        }
    }

    /// Sends what has collected and waits for the client.
    async fn wait_for_input(&mut self) -> Result<(), End> {
        self.flush().await.map_err(ended)?;
        while self.core.is_backed_up() {
            self.core.rt.yield_now().await;
        }
        let stopping = || self.core.is_stopping() && !self.session.in_content();
        match self.stream.readable_unless(self.request_deadline(), stopping).await {
            Ok(Arrived::Bytes) => Ok(()),
            Ok(Arrived::Eof) => Err(End::Lost),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(self.shut_down()),
            Err(error) => Err(ended(error)),
        }
    }

    fn shut_down(&mut self) -> End {
        let hostname = &self.service.protocol.hostname;
        let reply = format!("421 4.3.2 {hostname} Error: service shutting down");
        self.session.say(&Reply::from(reply));
        End::Closed(Closing::Refused)
    }

    /// Works on everything that has arrived.
    async fn work(&mut self) -> Result<(), End> {
        loop {
            let slow = self.session.errors() >= self.service.soft_errors;
            if slow && self.session.has_output() {
                self.flush().await.map_err(ended)?;
            }
            let content = self.session.in_content();
            let event = self.step();
            if let Some(improper) = self.session.take_improper() {
                let (client, after) = (&self.client, improper.after.name());
                let input = &improper.input;
                self.core.log.log(&LogEvent::Improper { client, after, input });
            }
            if event == Event::NeedInput {
                return Ok(());
            }
            self.after = self.session.verb().name();
            self.answer(event).await?;
            // Each command is a request of its own, and so is a message's content.
            if !content || !self.session.in_content() {
                self.request_until = self.deadline();
            }
            if slow && self.session.has_output() {
                self.core.rt.sleep_until(self.core.rt.now() + self.service.error_sleep).await;
            }
        }
    }

    fn step(&mut self) -> Event {
        let Task { stream, session, service, transaction, .. } = self;
        let message = transaction.as_mut().and_then(|transaction| transaction.message.as_mut());
        let mut nowhere = Vec::new();
        let sink = message.map_or(&mut nowhere, |message| &mut message.content);
        let before = sink.len();
        let event = stream.input(|bytes| {
            let some = &bytes[..bytes.len().min(INPUT_BYTES)];
            let (used, event) = session.step(&service.protocol, some, sink);
            let more = some.len() < bytes.len() && used > 0 && event == Event::NeedInput;
            (used, if more { Event::Again } else { event })
        });
        let came = (sink.len() - before) as u64;
        self.content_bytes += came;
        self.extend_request(came);
        event
    }

    async fn answer(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::NeedInput | Event::Again => {}
            Event::Helo => self.helo(),
            Event::Reset => self.reset(),
            Event::Mail(mail) => self.mail(*mail)?,
            Event::Rcpt(rcpt) => {
                if let Some(doubtful) = self.rcpt(*rcpt)? {
                    // Boxed, as rare things are: an idle session should be small.
                    Box::pin(self.ask_for_account(doubtful)).await?;
                }
            }
            Event::Data => self.data()?,
            Event::Content => self.content().await,
            Event::EndOfData => self.end_of_data().await,
            Event::Vrfy(address) => {
                let reply = format!("252 2.0.0 {}", mail::address::Printable(address.as_bytes()));
                self.session.accept_text(Reply::from(reply));
            }
            Event::Etrn(domain) => {
                let reply = Reply::from(format!("459 <{domain}>: service unavailable"));
                self.refuse("ETRN", reply, None, None)?;
            }
            Event::Close(closing) => return Err(End::Closed(closing)),
        }
        Ok(())
    }

    fn helo(&mut self) {
        self.reset();
        let discarded = self.service.discarded(&self.client.address).unwrap_or_else(|why| {
            // Postfix offers nothing then, and so nothing that it should not.
            self.core.log.warn(Daemon::Smtpd, &why);
            self.service.protocol.keywords
        });
        self.session.answer_helo(&self.service.protocol, discarded);
    }

    fn reset(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            transaction.abandon(&self.core);
        }
        self.last_recipient = None;
    }

    fn mail(&mut self, mail: Mail) -> Result<(), End> {
        if let Some(visit) = &self.visit
            && let Err(reply) = self.service.rates.message(&self.core, visit, &self.client)
        {
            return self.refuse_quietly(reply);
        }
        let limit = self.service.protocol.limits.message_size;
        if mail.smtputf8_missing() {
            let reply = Reply::fixed("553 5.6.7 Must declare SMTPUTF8 to send unicode address");
            return self.refuse("MAIL", reply, Some(&mail.sender), None);
        }
        if limit > 0 && mail.size.is_some_and(|size| size > limit) {
            let reply = Reply::fixed("552 5.3.4 Message size exceeds fixed limit");
            return self.refuse("MAIL", reply, Some(&mail.sender), None);
        }
        if self.is_disk_full(mail.size.unwrap_or(0)) {
            let reply = Reply::fixed("452 4.3.1 Insufficient system storage");
            return self.refuse("MAIL", reply, Some(&mail.sender), None);
        }
        self.transaction = Some(Box::new(Transaction::new(&self.core, mail, limit)));
        self.session.accept();
        Ok(())
    }

    /// Room for half as much again as the largest message, as Postfix has it, and for this one.
    fn is_disk_full(&self, announced: u64) -> bool {
        let limit = self.service.protocol.limits.message_size;
        let room = self.core.queue.borrow().room();
        let minimum = self.core.snapshot.borrow().queue_minfree;
        room <= minimum.max(limit + limit / 2).max(announced)
    }

    /// Decides on a recipient, or leaves that to [`Task::ask_for_account`].
    fn rcpt(&mut self, rcpt: Rcpt) -> Result<Option<Doubtful>, End> {
        if let Some(visit) = &self.visit
            && let Err(reply) = self.service.rates.recipient(&self.core, visit, &self.client)
        {
            return self.refuse_quietly(reply).map(|()| None);
        }
        let Some(transaction) = &self.transaction else {
            unreachable!("the dialogue asks for recipients only within a transaction");
        };
        let (verdict, address) = self.judge(&transaction.envelope.sender, &rcpt.address);
        let verdict = match verdict {
            Listed::Yes => Ok(()),
            Listed::No(reply) => Err(reply),
            Listed::Ask => return Ok(Some(Doubtful { rcpt, address })),
        };
        self.answer_rcpt(rcpt, address, verdict).map(|()| None)
    }

    async fn ask_for_account(&mut self, doubtful: Doubtful) -> Result<(), End> {
        let Doubtful { rcpt, address } = doubtful;
        let recipients = &self.service.recipients;
        let verdict = recipients.ask(&self.core, &rcpt.address, &address).await;
        self.answer_rcpt(rcpt, address, verdict)
    }

    fn answer_rcpt(
        &mut self,
        rcpt: Rcpt,
        address: Address,
        verdict: Result<(), Reply>,
    ) -> Result<(), End> {
        if let Err(reply) = verdict {
            let sender = self.transaction.as_ref().map(|t| t.envelope.sender.clone());
            return self.refuse("RCPT", reply, sender.as_ref(), Some(&rcpt.address));
        }
        self.last_recipient = Some(rcpt.address.clone());
        let Some(transaction) = &mut self.transaction else { return Ok(()) };
        if transaction.add_recipient(&self.core, address, rcpt)
            && let Some(id) = transaction.id()
        {
            self.core.log.log(&LogEvent::ClientOf { id, client: &self.client });
        }
        self.session.accept();
        Ok(())
    }

    /// The restrictions' verdict, and the recipient as it is queued.
    fn judge(&self, sender: &Address, recipient: &Address) -> (Listed, Address) {
        let snapshot = self.core.snapshot();
        let resolved = snapshot.resolver.resolve(recipient);
        let question = self.question(&snapshot, sender, (recipient, &resolved));
        // A bare postmaster is always welcome (RFC 5321 section 4.5.1).
        let verdict = if recipient.as_bytes().eq_ignore_ascii_case(b"postmaster") {
            Listed::Yes
        } else if resolved == Resolved::BadSyntax {
            Listed::No(Reply::fixed("501 5.1.3 Bad recipient address syntax"))
        } else {
            match self.service.restrictions.recipient(&question) {
                Ok(()) => self.service.recipients.check(&self.core, recipient, &resolved),
                Err(reply) => Listed::No(reply),
            }
        };
        (verdict, snapshot.resolver.queued(recipient, resolved))
    }

    fn question<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        sender: &'a Address,
        (recipient, resolved): (&'a Address, &'a Resolved),
    ) -> Question<'a> {
        Question {
            client: self.address,
            client_name: &self.client,
            service: &self.service,
            snapshot,
            helo: self.session.helo(),
            sender,
            recipient,
            resolved,
        }
    }

    /// `smtpd_data_restrictions`, which see the last recipient.
    fn judge_data(&self) -> Result<(), Reply> {
        let (Some(transaction), Some(recipient)) = (&self.transaction, &self.last_recipient) else {
            return Ok(());
        };
        let snapshot = self.core.snapshot();
        let resolved = snapshot.resolver.resolve(recipient);
        let to = (recipient, &resolved);
        let question = self.question(&snapshot, &transaction.envelope.sender, to);
        self.service.restrictions.data(&question)
    }

    fn data(&mut self) -> Result<(), End> {
        if let Err(reply) = self.judge_data() {
            let sender = self.transaction.as_ref().map(|t| t.envelope.sender.clone());
            return self.refuse("DATA", reply, sender.as_ref(), None);
        }
        let is_local = self.core.snapshot.borrow().own_addresses.contains(&self.address);
        let helo = self.session.helo().unwrap_or(&self.client.name).to_string();
        let protocol = self.protocol();
        let Some(transaction) = &mut self.transaction else {
            unreachable!("the dialogue asks for content only within a transaction");
        };
        let sender = Sender { client: &self.client, helo: &helo, protocol, is_local };
        transaction.begin(&self.core, &sender);
        self.content_bytes = 0;
        self.session.accept();
        Ok(())
    }

    async fn content(&mut self) {
        if let Some(transaction) = &mut self.transaction
            && transaction.content(&self.core)
        {
            // Boxed, as rare things are: an idle session should be small.
            Box::pin(transaction.spill_content(&self.core)).await;
        }
    }

    async fn end_of_data(&mut self) {
        let findings = self.session.findings();
        let Some(mut transaction) = self.transaction.take() else {
            unreachable!("content belongs to a transaction");
        };
        if findings.bare_newline && self.session.rejects_bare_newline() {
            let code = self.service.bare_newline_code;
            let reply = format!("{code} 5.5.2 bare <LF> received");
            transaction.failure.get_or_insert(Reply::from(reply));
        }
        // Boxed: the commit's state is needed only now, not in every idle session.
        let reply = Box::pin(transaction.commit(&self.core, findings)).await;
        self.session.finish(&self.service.protocol, reply);
        self.last_recipient = None;
    }

    fn protocol(&self) -> &'static str {
        let utf8 = self.transaction.as_ref().is_some_and(|t| t.envelope.smtputf8);
        match (self.session.is_esmtp(), utf8) {
            (true, true) => "UTF8SMTP",
            (true, false) => "ESMTP",
            (false, _) => "SMTP",
        }
    }

    /// Refuses, and logs it.
    fn refuse(
        &mut self,
        stage: &str,
        reply: Reply,
        sender: Option<&Address>,
        recipient: Option<&Address>,
    ) -> Result<(), End> {
        let soft = self.service.protocol.soft_bounce;
        let shown = if soft { reply.clone().softened() } else { reply.clone() };
        let id: Option<QueueId> = self.transaction.as_ref().and_then(|t| t.id());
        self.core.log.log(&LogEvent::Reject {
            id,
            stage,
            client: &self.client,
            reply: &shown.0,
            sender,
            recipient,
            protocol: self.protocol(),
            helo: self.session.helo(),
        });
        match self.session.refuse(&self.service.protocol, reply) {
            Some(closing) => Err(End::Closed(closing)),
            None => Ok(()),
        }
    }

    /// Refuses what the log has its own line about.
    fn refuse_quietly(&mut self, reply: Reply) -> Result<(), End> {
        match self.session.refuse(&self.service.protocol, reply) {
            Some(closing) => Err(End::Closed(closing)),
            None => Ok(()),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.session.has_output() {
            let output = self.session.take_output();
            self.stream.send(vec![Chunk::Owned(output)], self.deadline()).await?;
        }
        Ok(())
    }

    fn deadline(&self) -> Instant {
        self.core.rt.now() + self.service.timeout
    }

    /// Until when something must have come: more of the request, or all of it.
    fn request_deadline(&self) -> Instant {
        match self.service.min_data_rate {
            Some(_) => self.request_until,
            None => self.deadline(),
        }
    }

    /// Content that keeps the pace earns time, never more than there was at first.
    fn extend_request(&mut self, bytes: u64) {
        if let Some(rate) = self.service.min_data_rate {
            let earned = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
            self.request_until = (self.request_until + earned).min(self.deadline());
        }
    }
}

fn ended(error: io::Error) -> End {
    if error.kind() == io::ErrorKind::TimedOut { End::TimedOut } else { End::Lost }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a future, without making one.
    fn size<A, F: Future>(_: fn(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_session_is_small() {
        let outer = size(|(core, service, stream, pass)| serve(core, service, stream, pass));
        let inner = size(Task::run);
        assert!(outer + inner <= 1536, "{outer} + {inner} bytes per idle session");
    }
}

//! What the dialogue asks: policy and the transaction answer, and the log hears of refusals.

use super::super::restrictions::Judgement;
use super::super::transaction::{Kind, Sender, Transaction};
use super::judge::{About, Judged, fault_of_content};
use super::{END_OF_MESSAGE, End, Task};
use crate::lookup::servers;
use crate::maillog::{Daemon, Event as LogEvent};
use mail::Address;
use mail::date::LogDate;
use protocol::smtp::command::{Mail, Rcpt, Vrfy};
use protocol::smtp::faults::Faults;
use protocol::smtp::path::{BAD_RECIPIENT, BAD_SENDER};
use protocol::smtp::reply::Reply;
use protocol::smtp::server::{Closing, Event};

/// A command that the system's accounts decide about.
struct Doubtful {
    command: Doubted,
    /// The account to ask for.
    name: String,
}

enum Doubted {
    Mail(Mail),
    Rcpt(Rcpt),
    Data,
}

impl Doubtful {
    fn new(command: Doubted, name: String) -> Option<Box<Doubtful>> {
        Some(Box::new(Doubtful { command, name }))
    }
}

impl Task {
    pub(super) async fn answer(&mut self, event: Event) -> Result<(), End> {
        let mut doubtful = None;
        match event {
            Event::NeedInput | Event::Again => {}
            Event::Helo => self.helo()?,
            Event::Reset => self.reset(),
            Event::Mail(mail) => doubtful = self.mail(*mail)?,
            Event::Rcpt(rcpt) => doubtful = self.rcpt(*rcpt)?,
            Event::Data => doubtful = self.data()?,
            Event::Content => self.content().await,
            Event::EndOfData => Box::pin(self.end_of_data()).await?,
            // Boxed, as rare things are.
            Event::Vrfy(vrfy) => Box::pin(self.vrfy(*vrfy)).await?,
            Event::Etrn(domain) => {
                let text = format!("reject: ETRN {domain}... from {}", self.client);
                self.core.log.warn(Daemon::Smtpd, &text);
                let reply = Reply::from(format!("459 <{domain}>: service unavailable"));
                self.refuse_quietly(reply)?;
            }
            Event::Close(closing) => return Err(End::Closed(closing)),
        }
        match doubtful {
            // Boxed, as rare things are: an idle session should be small.
            Some(doubtful) => Box::pin(self.settle(doubtful)).await,
            None => Ok(()),
        }
    }

    /// Answers a command as soon as the system has been asked for all accounts it is about.
    async fn settle(&mut self, doubtful: Box<Doubtful>) -> Result<(), End> {
        let mut doubtful = Some(doubtful);
        while let Some(doubt) = doubtful {
            self.ask(doubt.name).await;
            doubtful = match doubt.command {
                Doubted::Mail(mail) => self.begin(mail)?,
                Doubted::Rcpt(rcpt) => self.decide_on(rcpt)?,
                Doubted::Data => self.data()?,
            };
        }
        self.accounts.clear();
        Ok(())
    }

    /// Has servers asked for what the answer to `event` depends on.
    pub(super) async fn rehearse(&mut self, event: Event) -> Event {
        self.look_up(&event).await;
        event
    }

    async fn look_up(&self, event: &Event) {
        let core = self.core.clone();
        let asker = core.agents.asker(&Daemon::Smtpd);
        let cleanup = core.agents.asker(&Daemon::Cleanup);
        let sender = self.transaction.as_ref().map(|it| it.envelope.sender.clone());
        let sender = sender.unwrap_or_default();
        match event {
            Event::Helo => {
                let look_up = || {
                    drop(self.judge_helo());
                    drop(self.service.discarded(&self.client.address));
                };
                servers::rehearse(asker, look_up).await;
            }
            Event::Mail(mail) => {
                let look_up = || {
                    drop(self.judge_sender(&mail.sender));
                    drop(self.is_local());
                };
                servers::rehearse(asker, look_up).await;
            }
            Event::Rcpt(rcpt) => {
                let look_up = || drop(self.judge_recipient(&sender, &rcpt.address));
                servers::rehearse(asker, look_up).await;
            }
            Event::Vrfy(vrfy) => {
                let look_up = || drop(self.judge_recipient(&sender, &vrfy.address));
                servers::rehearse(asker, look_up).await;
            }
            Event::Data => {
                servers::rehearse(asker, || drop(self.judge_message(false))).await;
                let Some(transaction) = &self.transaction else { return };
                servers::rehearse(cleanup, || transaction.look_up_sender(&core)).await;
            }
            Event::Content | Event::EndOfData => {
                let Some(transaction) = &self.transaction else { return };
                let ends = matches!(event, Event::EndOfData);
                if ends && self.service.restrictions.has_end_of_data() {
                    let asker = core.agents.asker(&Daemon::Smtpd);
                    servers::rehearse(asker, || drop(self.judge_message(true))).await;
                }
                servers::rehearse(cleanup, || transaction.look_up(&core, ends)).await;
            }
            _ => {}
        }
    }

    fn helo(&mut self) -> Result<(), End> {
        let about = About { stage: self.session.verb().name(), sender: None, recipient: None };
        let judgement = self.judge_helo();
        if let Some(reply) = self.take(judgement, about)? {
            return self.refuse(about.stage, reply, None, None);
        }
        self.reset();
        let discarded = self.service.discarded(&self.client.address).unwrap_or_else(|why| {
            // Postfix offers nothing then, and so nothing that it should not.
            self.core.log.warn(Daemon::Smtpd, &why);
            self.service.protocol.keywords
        });
        self.session.answer_helo(&self.service.protocol, discarded);
        Ok(())
    }

    fn reset(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            transaction.abandon(&self.core);
        }
    }

    fn mail(&mut self, mail: Mail) -> Result<Option<Box<Doubtful>>, End> {
        if let Some(visit) = &self.visit
            && let Err(reply) = self.service.rates.message(&self.core, visit, &self.client)
        {
            self.session.blame(Faults::POLICY);
            return self.refuse_quietly(reply).map(|()| None);
        }
        if let Err(reply) = self.check_address(&mail.sender, BAD_SENDER) {
            return self.refuse_quietly(reply).map(|()| None);
        }
        self.begin(mail)
    }

    /// Begins a transaction, if there is room and the sender is accepted.
    fn begin(&mut self, mail: Mail) -> Result<Option<Box<Doubtful>>, End> {
        let limit = self.service.protocol.limits.message_size;
        if limit > 0 && mail.size.is_some_and(|size| size > limit) {
            let reply = Reply::fixed("552 5.3.4 Message size exceeds fixed limit");
            self.session.blame(Faults::POLICY);
            return self.refuse("MAIL", reply, Some(&mail.sender), None).map(|()| None);
        }
        if self.core.memory.is_scarce() || self.is_disk_full(mail.size.unwrap_or(0)) {
            let reply = Reply::fixed("452 4.3.1 Insufficient system storage");
            self.session.blame(Faults::RESOURCE);
            return self.refuse("MAIL", reply, Some(&mail.sender), None).map(|()| None);
        }
        let is_local = match self.is_local() {
            Ok(is_local) => is_local,
            Err(why) => {
                self.core.log.warn(Daemon::Smtpd, &why);
                let reply = Reply::fixed("451 4.3.0 Temporary lookup error");
                self.session.blame(Faults::RESOURCE);
                return self.refuse("MAIL", reply, None, None).map(|()| None);
            }
        };
        let kind = Kind { is_local, receive: self.service.receive };
        let mut judgement = self.judge_sender(&mail.sender);
        if let Some(name) = judgement.asks.take() {
            return Ok(Doubtful::new(Doubted::Mail(mail), name));
        }
        let sender = (!judgement.is_plain()).then(|| mail.sender.clone());
        let mut transaction = Box::new(Transaction::new(&self.core, mail, limit, kind));
        transaction.orders.filter.clone_from(&self.service.content_filter);
        self.transaction = Some(transaction);
        if let Some(sender) = sender {
            let about = About { stage: "MAIL", sender: Some(&sender), recipient: None };
            if let Some(reply) = self.take(judgement, about)? {
                self.reset();
                return self.refuse("MAIL", reply, Some(&sender), None).map(|()| None);
            }
        }
        self.session.accept();
        Ok(None)
    }

    /// Room for half as much again as the largest message, as Postfix has it, and for this one.
    fn is_disk_full(&self, announced: u64) -> bool {
        let limit = self.service.protocol.limits.message_size;
        let room = self.core.queue.borrow().room();
        let minimum = self.core.snapshot.borrow().queue_minfree;
        room <= minimum.max(limit + limit / 2).max(announced)
    }

    /// Whether an address can be resolved, whatever its local part is made into: `bad` if not, with
    /// a line in the log.
    fn check_address(&mut self, address: &Address, bad: Reply) -> Result<(), Reply> {
        if self.core.snapshot().resolver.is_well_formed(address) {
            return Ok(());
        }
        let (client, command) = (&self.client, self.session.verb().name());
        let path = [b"<", address.external().as_slice(), b">"].concat();
        self.core.log.log(&LogEvent::IllegalAddress { client, command, path: &path });
        self.session.blame(Faults::PROTOCOL);
        Err(bad)
    }

    /// Decides on a recipient, or leaves that to [`Task::settle`].
    fn rcpt(&mut self, rcpt: Rcpt) -> Result<Option<Box<Doubtful>>, End> {
        if let Some(visit) = &self.visit
            && let Err(reply) = self.service.rates.recipient(&self.core, visit, &self.client)
        {
            self.session.blame(Faults::POLICY);
            return self.refuse_quietly(reply).map(|()| None);
        }
        if let Err(reply) = self.check_address(&rcpt.address, BAD_RECIPIENT) {
            return self.refuse_quietly(reply).map(|()| None);
        }
        self.decide_on(rcpt)
    }

    fn decide_on(&mut self, rcpt: Rcpt) -> Result<Option<Box<Doubtful>>, End> {
        let Some(transaction) = &self.transaction else {
            unreachable!("the dialogue asks for recipients only within a transaction");
        };
        let Judged { mut judgement, queued } =
            self.judge_recipient(&transaction.envelope.sender, &rcpt.address);
        if let Some(name) = judgement.asks.take() {
            return Ok(Doubtful::new(Doubted::Rcpt(rcpt), name));
        }
        if self.service.footer.is_some() {
            self.recipient = Some(rcpt.address.clone());
        }
        let refusal = match judgement.is_plain() {
            true => None,
            false => {
                let sender = self.sender().unwrap_or_default();
                let (sender, recipient) = (Some(&sender), Some(&rcpt.address));
                self.take(judgement, About { stage: "RCPT", sender, recipient })?
            }
        };
        self.answer_rcpt(rcpt, queued, refusal).map(|()| None)
    }

    fn sender(&self) -> Option<Address> {
        self.transaction.as_ref().map(|it| it.envelope.sender.clone())
    }

    /// VRFY: what RCPT would say.
    async fn vrfy(&mut self, Vrfy { address, path }: Vrfy) -> Result<(), End> {
        if let Err(reply) = self.check_address(&address, BAD_RECIPIENT) {
            return self.refuse_quietly(reply);
        }
        let sender = self.sender();
        let from = sender.clone().unwrap_or_default();
        let mut judgement = self.judge_recipient(&from, &address).judgement;
        while let Some(name) = judgement.asks.take() {
            self.ask(name).await;
            judgement = self.judge_recipient(&from, &address).judgement;
        }
        self.accounts.clear();
        let about = About { stage: "VRFY", sender: Some(&from), recipient: Some(&address) };
        match self.take(judgement, about)? {
            None => {
                let text = format!("252 2.0.0 {}", mail::address::Printable(&path));
                self.session.accept_text(Reply::from(text));
                Ok(())
            }
            Some(reply) => self.refuse("VRFY", reply, sender.as_ref(), Some(&address)),
        }
    }

    fn answer_rcpt(
        &mut self,
        rcpt: Rcpt,
        address: Address,
        refusal: Option<Reply>,
    ) -> Result<(), End> {
        if let Some(reply) = refusal {
            let sender = self.sender();
            return self.refuse("RCPT", reply, sender.as_ref(), Some(&rcpt.address));
        }
        let Some(transaction) = &mut self.transaction else { return Ok(()) };
        if transaction.add_recipient(&self.core, address, rcpt)
            && let Some(id) = transaction.id()
        {
            self.core.log.log(&LogEvent::ClientOf { id, client: &self.client });
        }
        self.session.accept();
        Ok(())
    }

    /// Whether the client's headers are completed as those of local mail.
    fn is_local(&self) -> Result<bool, String> {
        let snapshot = self.core.snapshot();
        self.service.local_clients.has(&self.service, &snapshot, self.address, &self.client)
    }

    /// What comes of a judgement on the message as a whole; the reply, when it is refused.
    fn take_whole(&mut self, stage: &str, judgement: Judgement) -> Result<Option<Reply>, End> {
        let (sender, recipient) = self.named();
        let (sender, recipient) = (sender.as_ref(), recipient.as_ref());
        self.take(judgement, About { stage, sender, recipient })
    }

    /// Sender and only recipient, as lines about the whole message name them.
    fn named(&self) -> (Option<Address>, Option<Address>) {
        let from = |it: &Transaction| it.mail_from.clone().unwrap_or(it.envelope.sender.clone());
        (self.transaction.as_deref().map(from), self.only_recipient().cloned())
    }

    fn data(&mut self) -> Result<Option<Box<Doubtful>>, End> {
        let mut judgement = self.judge_message(false);
        if let Some(name) = judgement.asks.take() {
            return Ok(Doubtful::new(Doubted::Data, name));
        }
        if let Some(reply) = self.take_whole("DATA", judgement)? {
            let (sender, recipient) = self.named();
            let stage = self.session.verb().name();
            self.refuse(stage, reply, sender.as_ref(), recipient.as_ref())?;
            // The last chunk has ended the transaction.
            if !self.session.in_transaction() {
                self.reset();
            }
            return Ok(None);
        }
        let helo = self.session.helo().unwrap_or(&self.client.name).to_string();
        let protocol = self.protocol();
        let Some(transaction) = &mut self.transaction else {
            unreachable!("the dialogue asks for content only within a transaction");
        };
        if self.service.restrictions.has_end_of_data() {
            transaction.mail_from = Some(transaction.envelope.sender.clone());
        }
        let sender = Sender { client: &self.client, helo: &helo, protocol };
        transaction.begin(&self.core, &sender);
        self.content_bytes = 0;
        self.session.accept();
        Ok(None)
    }

    async fn content(&mut self) {
        if let Some(transaction) = &mut self.transaction
            && transaction.content(&self.core)
        {
            // Boxed, as rare things are: an idle session should be small.
            Box::pin(transaction.spill_content(&self.core)).await;
        }
    }

    async fn judge_content(&mut self) -> Judgement {
        let mut judgement = self.judge_message(true);
        while let Some(name) = judgement.asks.take() {
            self.ask(name).await;
            judgement = self.judge_message(true);
        }
        self.accounts.clear();
        judgement
    }

    async fn end_of_data(&mut self) -> Result<(), End> {
        let findings = self.session.findings();
        let mut refusal = None;
        if self.service.restrictions.has_end_of_data() {
            let judgement = self.judge_content().await;
            refusal = self.take_whole(END_OF_MESSAGE, judgement)?;
        }
        let bare_newline = findings.bare_newline && self.session.rejects_bare_newline();
        if bare_newline {
            self.log_refused_content("bare <LF> received");
        }
        if let Some(reply) = &refusal {
            self.log_refused_content(&self.soft(reply.clone()).0);
        }
        let refused = refusal.is_some();
        if let Some(transcript) = self.transcript.as_mut().filter(|_| refused) {
            transcript.stay_open();
        }
        let Some(mut transaction) = self.transaction.take() else {
            unreachable!("content belongs to a transaction");
        };
        if bare_newline {
            let code = self.service.bare_newline_code;
            let hostname = &self.service.protocol.hostname;
            let reply = format!("{code} 5.5.2 {hostname} Error: bare <LF> received");
            transaction.failure.get_or_insert(Reply::from(reply));
        }
        if let Some(reply) = refusal {
            transaction.failure.get_or_insert(reply);
        }
        // Boxed: the commit's state is needed only now, not in every idle session.
        let reply = Box::pin(transaction.commit(&self.core, findings)).await;
        if reply.is_error() && !refused {
            self.session.blame(fault_of_content(&reply));
        }
        let code = reply.code();
        self.after = END_OF_MESSAGE;
        self.session.finish(&self.service.protocol, reply);
        match code {
            421 | 521 => Err(End::Closed(Closing::Refused)),
            _ => Ok(()),
        }
    }

    fn log_refused_content(&self, text: &str) {
        let (sender, recipient) = self.named();
        let (sender, recipient) = (sender.as_ref(), recipient.as_ref());
        self.log_verdict("reject", text, About { stage: END_OF_MESSAGE, sender, recipient });
    }

    pub(super) fn protocol(&self) -> &'static str {
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
        let shown = self.soft(reply.clone());
        self.log_verdict("reject", &shown.0, About { stage, sender, recipient });
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

    /// Has servers asked whether the client is counted.
    pub(super) async fn look_up_client(&self) {
        let look_up = || {
            let _verdict = self.service.rates.is_exempt(self.address, &self.client);
            drop(self.judge_client());
        };
        servers::rehearse(self.core.agents.asker(&Daemon::Smtpd), look_up).await;
    }

    /// Has servers asked for the footer of the reply that begins at `start`.
    pub(super) async fn look_up_footer(&self, start: usize) {
        let Some(footer) = &self.service.footer else { return };
        let Ok(reply) = str::from_utf8(self.session.output_from(start)) else { return };
        let look_up = || drop(footer.apply(reply, &|name| self.value(name)));
        servers::rehearse(self.core.agents.asker(&Daemon::Smtpd), look_up).await;
    }

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
    fn value(&self, name: &str) -> Option<String> {
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

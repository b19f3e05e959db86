//! What the dialogue asks of its commands: policy and the transaction answer, and the log hears of
//! refusals.

use super::super::transaction::{Kind, Transaction};
use super::judge::{About, Judged};
use super::{End, Task};
use crate::maillog::{Daemon, Event as LogEvent};
use mail::Address;
use protocol::smtp::command::{Mail, Rcpt, Vrfy};
use protocol::smtp::faults::Faults;
use protocol::smtp::path::{BAD_RECIPIENT, BAD_SENDER};
use protocol::smtp::reply::Reply;
use protocol::smtp::server::Event;

/// A command that the system's accounts decide about.
pub(super) struct Doubtful {
    command: Doubted,
    /// The account to ask for.
    name: String,
}

pub(super) enum Doubted {
    Mail(Mail),
    Rcpt(Rcpt),
    Data,
}

impl Doubtful {
    pub(super) fn new(command: Doubted, name: String) -> Option<Box<Doubtful>> {
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

    pub(super) fn reset(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            transaction.abandon(&self.core);
        }
    }

    fn mail(&mut self, mail: Mail) -> Result<Option<Box<Doubtful>>, End> {
        let rates = &self.service.rates;
        let rate = match &self.visit {
            Some(visit) => rates.message(&self.core, visit, &self.client),
            None => Ok(()),
        };
        match self.check(rate, &mail.sender, BAD_SENDER) {
            Ok(()) => self.begin(mail),
            Err(reply) => self.refuse_quietly(reply).map(|()| None),
        }
    }

    /// What MAIL and RCPT are asked first: whether the client keeps its rate, and whether the
    /// address is one.
    fn check(
        &mut self,
        rate: Result<(), Reply>,
        address: &Address,
        bad: Reply,
    ) -> Result<(), Reply> {
        rate.inspect_err(|_| self.session.blame(Faults::POLICY))?;
        self.check_address(address, bad)
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
        let rates = &self.service.rates;
        let rate = match &self.visit {
            Some(visit) => rates.recipient(&self.core, visit, &self.client),
            None => Ok(()),
        };
        match self.check(rate, &rcpt.address, BAD_RECIPIENT) {
            Ok(()) => self.decide_on(rcpt),
            Err(reply) => self.refuse_quietly(reply).map(|()| None),
        }
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
    pub(super) fn is_local(&self) -> Result<bool, String> {
        let snapshot = self.core.snapshot();
        self.service.local_clients.has(&self.service, &snapshot, self.address, &self.client)
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
    pub(super) fn refuse(
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
}

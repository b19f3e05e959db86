//! DATA, BDAT and what they bring: the message as a whole is judged before and after its content.

use super::super::restrictions::Judgement;
use super::super::transaction::{Sender, Transaction};
use super::commands::{Doubted, Doubtful};
use super::judge::{About, fault_of_content};
use super::{END_OF_MESSAGE, End, Task};
use mail::Address;
use protocol::smtp::reply::Reply;
use protocol::smtp::server::Closing;

impl Task {
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

    pub(super) fn data(&mut self) -> Result<Option<Box<Doubtful>>, End> {
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

    pub(super) async fn content(&mut self) {
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

    pub(super) async fn end_of_data(&mut self) -> Result<(), End> {
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
}

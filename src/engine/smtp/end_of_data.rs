//! The reply to the end of data: waited for, kept by master meanwhile, or read in place of an
//! engine that has ended.
//!
//! A server that has the dot and has not answered may deliver; nobody but its answer can tell. So
//! that the answer is not lost with this process, a connection that waits longer than
//! [`limits::KEEP_AFTER`] is given to master ([`crate::custody`]). A fast server costs nothing.
//!
//! A delivery begins with what an earlier engine has left under way of it. A reply settles the
//! recipients as it would have done there; no reply, and it is an ordinary delivery.
//!
//! Diagnostics: as any transaction; an orphan without a reply is a line in the words of a lost or
//! slow connection, and the delivery goes on.

use super::connection::{Broken, Connection, Host};
use super::delivery::Delivery;
use super::report::Relay;
use crate::custody::{Orphan, Told};
use crate::limits;
use mail::Status;
use privsep::transaction::{Answer, Server, TEXT_MAX, Transaction};
use protocol::mx::Candidate;
use protocol::smtp::client::{Resumed, Said, Session, Stage, Verdict};
use protocol::smtp::ehlo::Keywords;
use runtime::net::Stream;

impl Delivery<'_> {
    /// Waits for the reply that a dialogue needs at its end of data.
    pub(super) async fn end_of_data(&self, connection: &mut Connection) -> Result<(), Broken> {
        let rt = &self.client.rt;
        let limit = self.settings.timeouts.of(Stage::End);
        let deadline = rt.now() + limit;
        let mut patience = limits::KEEP_AFTER;
        let mut tried = !self.client.custody.is_open() || !self.may_be_continued(connection);
        while !connection.session.is_settled() {
            let look = if tried { deadline } else { deadline.min(rt.now() + patience) };
            match connection.read(look).await {
                Err(Broken::TimedOut) if look < deadline => {
                    // What the kernel does not have the server will never see.
                    tried = connection.session.awaits_end() && connection.stream.is_drained();
                    if tried {
                        self.keep(connection);
                    }
                    patience *= 2;
                }
                read => read?,
            }
        }
        Ok(())
    }

    /// Whether another process could go on with the dialogue. One whose state is more than what a
    /// [`Transaction`] has (TLS, once it is spoken) could not.
    fn may_be_continued(&self, connection: &Connection) -> bool {
        self.names_recipients() && connection.session.awaits_end()
    }

    /// Whether the request's recipients are the message's: what local has handed over has numbers
    /// of its own, which mean others in the next engine.
    fn names_recipients(&self) -> bool {
        self.request.handovers == 0
    }

    fn keep(&self, connection: &mut Connection) {
        let transaction = self.transaction(connection);
        let limit = self.settings.timeouts.of(Stage::End);
        connection.slot = self.client.custody.keep(&connection.stream, &transaction, limit);
    }

    /// Tells master what has become of a transaction that it keeps.
    pub(super) fn tell_master(&self, connection: &mut Connection) -> Told {
        let custody = &self.client.custody;
        let Some(slot) = connection.slot.take() else { return Told::Yes };
        let transaction = self.transaction(connection);
        // Anything else may be said twice.
        if transaction.answer.is_none() {
            return custody.forget(slot);
        }
        custody.answered(slot, &transaction)
    }

    /// What the next engine has to know.
    fn transaction(&self, connection: &Connection) -> Transaction {
        let (session, host) = (&connection.session, &connection.host);
        let verdicts = self.report.left().iter().zip(&session.progress().recipients);
        let accepted = verdicts.filter(|(_, verdict)| **verdict == Verdict::Accepted);
        let mut recipients: Vec<u32> = accepted.map(|(index, _)| *index).collect();
        recipients.sort_unstable();
        let keywords = session.offer().keywords;
        let message = &self.request.message;
        Transaction {
            number: message.number.get(),
            micros: message.id.micros,
            recipients,
            server: Server {
                name: host.candidate.name.to_string(),
                address: host.candidate.address,
                port: host.port,
                pipelining: keywords.has(Keywords::PIPELINING),
                dsn: keywords.has(Keywords::DSN),
            },
            uses: connection.uses,
            quit_sent: session.has_quit(),
            last: self.last_server,
            answer: session.progress().end.as_ref().and_then(answer),
        }
    }

    /// Settles what an earlier engine has sent and had no answer to.
    pub(super) async fn left_under_way(&mut self) {
        if !self.names_recipients() {
            return;
        }
        let message = &self.request.message;
        while let Some(orphan) = self.client.custody.take(message, self.report.left()) {
            self.report.ready();
            match orphan.sock {
                Some(_) => self.hear(orphan).await,
                None => self.heard(orphan),
            }
        }
    }

    /// The earlier engine had the answer, and no time to note it.
    fn heard(&mut self, orphan: Orphan) {
        let Orphan { slot, transaction, .. } = orphan;
        if transaction.answer.is_none() {
            self.client.custody.forget(slot);
            return;
        }
        let session = self.resumed(&transaction);
        let host = host(&transaction.server);
        self.client.custody.await_settlement(slot, &transaction);
        let relay = Relay { host: &host, uses: transaction.uses };
        self.settle(&transaction.recipients, relay, &session, None);
    }

    /// The answer is still to come, or waits to be read.
    async fn hear(&mut self, orphan: Orphan) {
        let Orphan { slot, sock, transaction } = orphan;
        let rt = self.client.rt.clone();
        let Some(Ok(stream)) = sock.map(|sock| Stream::inherit(&rt, sock)) else {
            self.client.custody.forget(slot);
            return;
        };
        let mut connection = Connection {
            stream,
            session: self.resumed(&transaction),
            host: host(&transaction.server),
            opened: rt.now(),
            uses: transaction.uses,
            slot: None,
        };
        let settled = |session: &Session| session.is_settled();
        let talked = connection.talk(&rt, self.settings, None, settled).await;
        let answered = talked.and_then(|()| match connection.session.progress().end {
            Some(_) => Ok(()),
            None => Err(Broken::Lost),
        });
        let answer = connection.session.progress().end.as_ref().and_then(answer);
        match answer {
            Some(answer) => {
                let answered = Transaction { answer: Some(answer), ..transaction.clone() };
                self.client.custody.answered(slot, &answered);
            }
            None => {
                self.client.custody.forget(slot);
            }
        }
        let broken = answered.err().map(|broken| (broken, Stage::End));
        // Without an answer there is another server to try: the same one, from the beginning.
        self.last_server = transaction.last && broken.is_none();
        let relay = Relay { host: &connection.host, uses: connection.uses };
        self.settle(&transaction.recipients, relay, &connection.session, broken);
        if broken.is_none() {
            self.leave(connection);
        }
    }

    fn resumed(&self, transaction: &Transaction) -> Session {
        let Transaction { recipients, server, quit_sent, answer, .. } = transaction;
        let offered = [(server.pipelining, Keywords::PIPELINING), (server.dsn, Keywords::DSN)];
        let offered = offered.into_iter().filter(|(offers, _)| *offers);
        let said = |Answer { code, status: (subject, detail), text }: &Answer| Said {
            code: *code,
            status: Status::new(2, *subject, *detail),
            text: text.clone(),
        };
        let from = Resumed {
            recipients: recipients.len(),
            keywords: offered.fold(Keywords::default(), |all, (_, one)| all.with(one)),
            quit_sent: *quit_sent,
            answer: answer.as_ref().map(said),
        };
        Session::resume(self.settings.hello.clone(), from)
    }
}

fn host(server: &Server) -> Host {
    let candidate =
        Candidate { name: server.name.as_str().into(), address: server.address, preference: 0 };
    Host { candidate, port: server.port }
}

/// A reply that is noted for the next engine: success, in no more words than there is room for.
fn answer(said: &Said) -> Option<Answer> {
    let good = said.code / 100 == 2 && said.status.class == 2;
    let Status { subject, detail, .. } = said.status;
    let mut text = said.text.clone();
    text.truncate(text.floor_char_boundary(TEXT_MAX));
    good.then_some(Answer { code: said.code, status: (subject, detail), text })
}

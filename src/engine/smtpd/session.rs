//! One client, from connect to disconnect: bytes to the dialogue, the dialogue's questions to
//! policy and to the transaction, replies to the client, facts to the log.

mod commands;
mod history;
mod judge;
mod message;
mod rehearsal;
mod reply_footer;

use super::Service;
use super::door::Pass;
use super::transaction::Transaction;
use super::transcript::Transcript;
use crate::accounts::Verdict;
use crate::anvil::Visit;
use crate::core::Core;
use crate::limits::{BACKLOG_RETRY, INPUT_BYTES, REPLY_BYTES};
use crate::lookup::servers;
use crate::maillog::{Client, Daemon, Event as LogEvent};
use history::Turn;
use judge::About;
use mail::Address;
use mail::address::Printable;
use protocol::smtp::data::BareNewline;
use protocol::smtp::path::Complaint;
use protocol::smtp::reply::Reply;
use protocol::smtp::server::{Closing, Event, Session};
use runtime::net::{Arrived, Stream};
use runtime::{Chunk, Instant};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What stands for a command when the content has come.
const END_OF_MESSAGE: &str = "END-OF-MESSAGE";

/// Why a session is over.
enum End {
    /// As the dialogue says.
    Closed(Closing),
    /// The client is gone.
    Lost,
    /// The client is too slow.
    TimedOut,
    /// An access table says to hang up.
    HungUp,
}

struct Task {
    core: Rc<Core>,
    service: Arc<Service>,
    stream: Stream,
    session: Session,
    client: Client,
    address: IpAddr,
    transaction: Option<Box<Transaction>>,
    /// The one asked about last.
    recipient: Option<Address>,
    /// Whether more has come behind what is worked on.
    sends_on: bool,
    /// How long the client waits for the answer that has been written, milliseconds.
    pause: u32,
    /// Its counts, unless it is exempt.
    visit: Option<Box<Visit>>,
    /// What has been said, when a postmaster might want to read it.
    transcript: Option<Box<Transcript>>,
    /// The last command that was worked on, for `lost connection after`.
    after: &'static str,
    /// What the system has said of accounts that this command is about.
    accounts: Vec<(String, Verdict)>,
    /// Bytes of the content that is under way.
    content_bytes: u64,
    /// When a whole request must have come, see [`Service::min_data_rate`].
    request_until: Instant,
}

/// Serves a client to the end.
pub async fn serve(core: Rc<Core>, service: Arc<Service>, stream: Stream, pass: Pass) {
    if let Ok(peer) = stream.peer() {
        let address = peer.ip().to_canonical();
        // Boxed, and lent: a future that owned it would have room for it twice.
        let mut task = Box::new(Task::new(core.clone(), service, stream, address).await);
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
            transcript: service.transcripts.begin(),
            core,
            service,
            stream,
            address,
            transaction: None,
            recipient: None,
            sends_on: false,
            pause: 0,
            visit: None,
            after: "CONNECT",
            accounts: Vec::new(),
            content_bytes: 0,
            request_until,
        }
    }

    async fn run(&mut self) {
        self.core.log.log(&LogEvent::Connect { client: &self.client });
        if servers::exist() {
            Box::pin(self.look_up_client()).await;
        }
        let entered = self.enter();
        self.note_replies(0);
        if self.pause > 0 {
            Box::pin(self.rest()).await;
        }
        let end = match entered {
            Ok(()) => self.converse().await,
            Err(end) => end,
        };
        self.log_end(&end);
        self.session.abort();
        if matches!(end, End::TimedOut) {
            let hostname = &self.service.protocol.hostname;
            self.say_last(format!("421 4.4.2 {hostname} Error: timeout exceeded"));
        }
        if !matches!(end, End::Lost) {
            // What the client does not take in time it does not get.
            self.flush().await.ok();
            self.stream.drained(self.deadline()).await.ok();
        }
        if let Some(transaction) = self.transaction.take() {
            transaction.abandon(&self.core);
        }
        if self.transcript.is_some() {
            Box::pin(self.close_history(&end)).await;
        }
        let counters = self.session.counters();
        self.core.log.log(&LogEvent::Disconnect { client: &self.client, counters });
    }

    /// Greets the client, unless there are too many of it.
    fn enter(&mut self) -> Result<(), End> {
        let Task { core, service, client, address, .. } = &*self;
        let visit = service.rates.enter(core, *address, client);
        let hostname = &service.protocol.hostname;
        let verdict = visit
            .as_ref()
            .map_or(Ok(()), |visit| service.rates.connection(core, visit, client, hostname));
        self.visit = visit.map(Box::new);
        match verdict {
            Ok(()) => self.greet(),
            Err(reply) => {
                self.session.say(&reply);
                Err(End::Closed(Closing::Refused))
            }
        }
    }

    /// Greets a client, or says why it may not come in; it may say QUIT then.
    fn greet(&mut self) -> Result<(), End> {
        let about = About { stage: "CONNECT", sender: None, recipient: None };
        let judgement = self.judge_client();
        let Some(reply) = self.take(judgement, about)? else {
            self.session.say(&Reply::from(format!("220 {}", self.service.banner)));
            return Ok(());
        };
        self.session.deny(&self.client.to_string());
        let reply = self.soft(reply);
        self.log_verdict("reject", &reply.0, about);
        self.session.say(&reply);
        match reply.code() {
            421 | 521 => Err(End::Closed(Closing::Refused)),
            _ => Ok(()),
        }
    }

    /// A refusal as `soft_bounce` has it.
    fn soft(&self, reply: Reply) -> Reply {
        if self.service.protocol.soft_bounce { reply.softened() } else { reply }
    }

    fn log_end(&self, end: &End) {
        let (client, after) = (&self.client, self.after);
        let content_bytes = self.content_bytes();
        match end {
            // A client that goes when its message has been answered has got what it wanted.
            End::Lost if after == END_OF_MESSAGE => {}
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
            // The line about the refusal says it.
            End::HungUp | End::Closed(_) => {}
        }
    }

    fn log_complaint(&self, complaint: &Complaint) {
        let (client, command) = (&self.client, self.session.verb().name());
        let text = match complaint {
            Complaint::Address(path) => {
                return self.core.log.log(&LogEvent::IllegalAddress { client, command, path });
            }
            Complaint::Notify { word, value } => {
                return self.core.log.log(&LogEvent::UnknownNotify { word, value });
            }
            Complaint::Bdat(line) => {
                format!("malformed BDAT command syntax from {client}: {}", Printable(line))
            }
            Complaint::LargeChunk => {
                format!("BDAT request from {client} exceeds message size limit")
            }
        };
        let id = self.transaction.as_ref().and_then(|transaction| transaction.id());
        let id = id.map_or_else(|| "NOQUEUE".to_string(), |id| id.to_string());
        self.core.log.warn(Daemon::Smtpd, &format!("{id}: {text}"));
    }

    /// How much of the content has come, when it is under way.
    fn content_bytes(&self) -> Option<u64> {
        self.session.content_bytes(self.content_bytes)
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
        let stopping = || self.core.is_stopping() && !self.session.in_content();
        match self.stream.readable_unless(self.request_deadline(), stopping).await {
            Ok(Arrived::Bytes) => Ok(()),
            Ok(Arrived::Eof) => Err(End::Lost),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(self.shut_down()),
            Err(error) => Err(ended(error)),
        }
    }

    /// Waits while other cores cannot keep up: what is done for this client makes work for them.
    async fn wait_for_lanes(&self) {
        while self.core.is_backed_up() {
            self.core.rt.sleep_until(self.core.rt.now() + BACKLOG_RETRY).await;
        }
    }

    fn shut_down(&mut self) -> End {
        let hostname = &self.service.protocol.hostname;
        self.say_last(format!("421 4.3.2 {hostname} Error: service shutting down"));
        End::Closed(Closing::Refused)
    }

    /// A word that no command has asked for.
    fn say_last(&mut self, reply: String) {
        let start = self.session.output_end();
        self.session.say(&Reply::from(reply));
        self.note_replies(start);
    }

    /// Makes the pause that a judgement has asked for.
    async fn rest(&mut self) {
        let pause = std::mem::take(&mut self.pause);
        let pause = Duration::from_millis(pause.into());
        self.core.rt.sleep_until(self.core.rt.now() + pause).await;
    }

    /// Works on everything that has arrived.
    async fn work(&mut self) -> Result<(), End> {
        loop {
            self.wait_for_lanes().await;
            let slow = self.session.errors() >= self.service.soft_errors;
            if slow && self.session.has_output() || self.session.output_end() > REPLY_BYTES {
                self.flush().await.map_err(ended)?;
            }
            let content = self.session.in_content();
            let replies = self.session.output_end();
            let event = self.step();
            if let Some(improper) = self.session.take_improper() {
                let (client, after) = (&self.client, improper.after.name());
                let input = &improper.input;
                self.core.log.log(&LogEvent::Improper { client, after, input });
            }
            if let Some(complaint) = self.session.take_complaint() {
                self.log_complaint(&complaint);
            }
            if event == Event::NeedInput {
                return Ok(());
            }
            self.after = self.session.verb().name();
            // Boxed, as rare things are: an idle session should be small.
            let event = match servers::exist() {
                true => Box::pin(self.rehearse(event)).await,
                false => event,
            };
            let turn = Turn::around(&event, self.session.verb());
            let answered = self.answer(event).await;
            if self.service.footer.is_some() && servers::exist() {
                Box::pin(self.look_up_footer(replies)).await;
            }
            self.add_footer(replies);
            if self.transcript.is_some() {
                Box::pin(self.note_answer(replies, turn)).await;
            }
            answered?;
            if self.pause > 0 {
                Box::pin(self.rest()).await;
            }
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
        let Task { stream, session, service, transaction, transcript, sends_on, .. } = self;
        let transcript = transcript.as_mut().filter(|_| session.expects_command());
        let message = transaction.as_mut().and_then(|transaction| transaction.message.as_mut());
        let mut nowhere = Vec::new();
        let sink = message.map_or(&mut nowhere, |message| &mut message.content);
        let before = sink.len();
        let event = stream.input(|bytes| {
            let some = &bytes[..bytes.len().min(INPUT_BYTES)];
            let (used, event) = session.step(&service.protocol, some, sink);
            *sends_on = used < bytes.len();
            if let Some(transcript) = transcript.filter(|_| used > 0) {
                transcript.client_said(&some[..used]);
            }
            let more = some.len() < bytes.len() && used > 0 && event == Event::NeedInput;
            (used, if more { Event::Again } else { event })
        });
        let came = (sink.len() - before) as u64;
        self.content_bytes += came;
        self.extend_request(came);
        event
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
        let task = size_of::<Task>();
        let inner = size::<&'static mut Task, _>(|task| task.run());
        let sum = outer + task + inner;
        assert!(sum <= 1280, "{outer} + {task} + {inner} = {sum} bytes per idle session");
    }
}

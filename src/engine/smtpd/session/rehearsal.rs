//! What servers of tables are asked before a command is answered, so that answering waits for
//! nobody.
//!
//! Judging changes nothing: what will be judged is judged once before, and what that would ask is
//! asked.

use super::Task;
use crate::lookup::servers;
use crate::maillog::Daemon;
use protocol::smtp::server::Event;

impl Task {
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
}

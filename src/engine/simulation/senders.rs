//! SMTP clients: bursts and trickles of mail, by the book and against it, and what each was told.
//!
//! A client repeats a message until somebody acknowledges it or its patience is over, as a mail
//! server does; whatever it was not told stays [`Fate::Unanswered`].

use super::chance::Chance;
use super::dialogue::{Dialogue, Gone};
use super::ledger::{Fate, Mail, Rcpt, Try};
use super::letter;
use super::plan::{HOMES, Plan, smtpd_address};
use super::scene::Scene;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// Submissions of one message before its sender gives up.
const TRIES_MAX: usize = 12;

/// What a client does with a message, apart from sending it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Nothing.
    ByTheBook,
    /// Resets the transaction first.
    ResetFirst,
    /// Goes away in the middle of the content.
    LeaveBeforeDot,
    /// Goes away with the final dot.
    LeaveAfterDot,
    /// Is slow.
    Dawdle,
}

/// One client host.
pub struct Sender {
    scene: Rc<Scene>,
    chance: Chance,
    from: SocketAddr,
    next_id: Rc<Cell<u32>>,
}

/// Starts all of them.
pub fn start(scene: &Rc<Scene>) {
    let next_id = Rc::new(Cell::new(1));
    for number in 0..scene.plan.senders {
        let from =
            SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1 + number as u8)), 40_000);
        let chance = scene.chance(2000 + number as u64);
        let sender = Sender { scene: scene.clone(), chance, from, next_id: next_id.clone() };
        scene.rt.spawn(sender.run());
    }
}

impl Sender {
    async fn run(mut self) {
        loop {
            let pause = self.chance.around(self.scene.plan.burst_pause);
            self.scene.sleep(pause).await;
            if self.scene.calm.get() {
                return;
            }
            let burst = if self.chance.one_in(6) { self.chance.between(5, 25) } else { 1 };
            let ids: Vec<u32> = (0..burst).map(|_| self.write()).collect();
            // Several hosts behind one address: bursts come over several connections at once.
            for ids in ids.chunks(4) {
                let id = u64::from(ids[0]);
                let batch = Batch {
                    scene: self.scene.clone(),
                    chance: self.scene.chance(1_000_000 + id),
                    from: self.from,
                    ids: ids.to_vec(),
                };
                self.scene.sending.set(self.scene.sending.get() + 1);
                self.scene.rt.spawn(batch.run());
            }
        }
    }

    /// A new message, in the books and not sent yet.
    fn write(&mut self) -> u32 {
        let (scene, chance) = (self.scene.clone(), &mut self.chance);
        let id = self.next_id.replace(self.next_id.get() + 1);
        let count = match chance.below(10) {
            0..7 => 1,
            7..9 => chance.between(2, 5),
            _ => chance.between(6, 60),
        };
        let bytes = match chance.below(20) {
            0 => chance.between(130_000, 500_000),
            1..4 => chance.between(10_000, 60_000),
            _ => chance.between(0, 3_000),
        };
        let home = &scene.plan.sites[HOMES[id as usize % 2]].domain;
        let sender = (!chance.one_in(25)).then(|| format!("s{id}@{home}"));
        let rcpts = (0..count as usize).map(|at| recipient(&scene.plan, chance, id, at)).collect();
        let mail = Mail { sender, bytes: bytes as usize, rcpts, tries: Vec::new() };
        scene.ledger.borrow_mut().mail.insert(id, mail);
        id
    }
}

fn recipient(plan: &Plan, chance: &mut Chance, id: u32, at: usize) -> Rcpt {
    let (site, kind) = plan.recipient(chance);
    Rcpt {
        address: format!("m{id}r{at}@{}", plan.sites[site].domain),
        site,
        kind,
        copies: Vec::new(),
        notices: 0,
        lines: Vec::new(),
        first_seen: None,
    }
}

/// Some messages that one host sends over one connection, again and again.
struct Batch {
    scene: Rc<Scene>,
    chance: Chance,
    from: SocketAddr,
    ids: Vec<u32>,
}

impl Batch {
    async fn run(mut self) {
        for _ in 0..TRIES_MAX {
            self.connection().await;
            self.forget_taken();
            if self.ids.is_empty() || self.scene.calm.get() {
                break;
            }
            let pause = self.chance.seconds(60, 3600);
            self.scene.sleep(pause).await;
        }
        self.scene.sending.set(self.scene.sending.get() - 1);
    }

    fn forget_taken(&mut self) {
        let ledger = self.scene.ledger.borrow();
        self.ids.retain(|id| ledger.mail[id].taken().is_none());
    }

    async fn connection(&mut self) {
        let core = self.chance.below(self.scene.cores.get() as u64) as usize;
        let to = smtpd_address(core);
        let Ok(mut dialogue) = Dialogue::connect(&self.scene.rt, self.from, to).await else {
            return;
        };
        for id in self.ids.clone() {
            let manner = self.manner();
            if self.send(&mut dialogue, id, manner).await.is_err() {
                return;
            }
        }
        // A rude client just goes.
        if !self.chance.one_in(10) {
            dialogue.say("QUIT\r\n").await.ok();
            dialogue.reply().await.ok();
        }
    }

    fn manner(&mut self) -> Manner {
        match self.chance.below(40) {
            0 | 1 => Manner::ResetFirst,
            2 => Manner::LeaveBeforeDot,
            3 => Manner::LeaveAfterDot,
            4 => Manner::Dawdle,
            _ => Manner::ByTheBook,
        }
    }

    async fn send(&mut self, dialogue: &mut Dialogue, id: u32, manner: Manner) -> Result<(), Gone> {
        let mail = self.scene.ledger.borrow().mail[&id].clone();
        if manner == Manner::ResetFirst {
            dialogue.say("MAIL FROM:<nobody@site0.test>\r\nRSET\r\n").await?;
            dialogue.reply().await?;
            dialogue.reply().await?;
        }
        let fresh = Try { fate: Fate::Unsent, at: self.scene.now(), accepted: BTreeSet::new() };
        self.book(id, fresh.clone());
        let Some(accepted) = self.envelope(dialogue, &mail).await? else {
            dialogue.say("RSET\r\n").await?;
            return dialogue.reply().await.map(drop);
        };
        let text = letter::stuffed(&letter::write(id, mail.bytes));
        if manner == Manner::Dawdle {
            self.scene.sleep(Duration::from_secs(100)).await;
        }
        if manner == Manner::LeaveBeforeDot {
            dialogue.say(&text[..text.len() / 2]).await?;
            return Err(Gone);
        }
        // From here on the server may have it.
        self.book_last(id, |it| (it.fate, it.accepted) = (Fate::Unanswered, accepted));
        dialogue.say(&text).await?;
        dialogue.say(".\r\n").await?;
        if manner == Manner::LeaveAfterDot {
            return Err(Gone);
        }
        let reply = dialogue.reply().await?;
        let now = self.scene.now();
        self.book_last(id, |it| (it.fate, it.at) = (verdict(&reply), now));
        Ok(())
    }

    /// MAIL, RCPT and DATA, one by one or all at once: the recipients that were accepted, if
    /// content is expected.
    async fn envelope(
        &mut self,
        dialogue: &mut Dialogue,
        mail: &Mail,
    ) -> Result<Option<BTreeSet<usize>>, Gone> {
        let sender = mail.sender.as_deref().unwrap_or_default();
        let mut commands = vec![format!("MAIL FROM:<{sender}>\r\n")];
        commands.extend(mail.rcpts.iter().map(|rcpt| format!("RCPT TO:<{}>\r\n", rcpt.address)));
        commands.push("DATA\r\n".into());
        let pipelined = self.chance.one_in(2);
        if pipelined {
            dialogue.say(&commands.concat()).await?;
        }
        let mut replies = Vec::new();
        for command in &commands {
            if !pipelined {
                dialogue.say(command).await?;
            }
            replies.push(dialogue.reply().await?);
        }
        let yes = |at: &usize| replies[at + 1].starts_with('2');
        let accepted: BTreeSet<usize> = (0..mail.rcpts.len()).filter(yes).collect();
        let go = replies.last().is_some_and(|reply| reply.starts_with('3'));
        Ok(go.then_some(accepted))
    }

    fn book(&self, id: u32, it: Try) {
        if let Some(mail) = self.scene.ledger.borrow_mut().mail.get_mut(&id) {
            mail.tries.push(it);
        }
    }

    fn book_last(&self, id: u32, change: impl FnOnce(&mut Try)) {
        let mut ledger = self.scene.ledger.borrow_mut();
        let last = ledger.mail.get_mut(&id).and_then(|mail| mail.tries.last_mut());
        last.map(change);
    }
}

fn verdict(reply: &str) -> Fate {
    match reply.trim_end().rsplit_once("queued as ") {
        Some((_, id)) => Fate::Taken(id.to_string()),
        // A write that failed may have reached the disk all the same: nobody can promise either.
        None if reply.starts_with("451 4.3.0 Error: queue file write error") => Fate::Unanswered,
        None => Fate::Refused,
    }
}

//! pickup(8): local submissions from the maildrop directory.
//!
//! `postdrop` leaves complete files there (owner may execute); a trigger on `public/pickup` or the
//! wakeup of master.cf makes us look. A file is read on the background thread, committed like any
//! message, and removed only after the commit, so a crash in between delivers it twice at worst and
//! never loses it.
//!
//! Diagnostics: a file that is not a submission is left where it is, with a warning; one that can
//! never be taken (no recipients) too.
//!
//! Limits: 64 files and, but for the last of them, 16 MiB are in memory at a time; an address is as
//! long as a command line may be.
//!
//! Standards: pickup(8), postdrop(1).

use crate::cleanup::checks::Inspector;
use crate::cleanup::commit::{Name, Patience, Start, commit, describe};
use crate::cleanup::envelope::drop_duplicates;
use crate::cleanup::mapping::{Copies, Trouble, blind_copy};
use crate::cleanup::orders::Orders;
use crate::cleanup::rewrite::{Context, LOCAL_CONTEXT, REWRITE_CONTEXT, Rewriting};
use crate::cleanup::{Message, Origin};
use crate::core::Core;
use crate::delivery::REFUSED;
use crate::limits::INPUT_BYTES;
use crate::localtime::LocalTime;
use crate::lookup::servers;
use crate::maillog::{Daemon, Event};
use crate::snapshot::Snapshot;
use mail::address::Address;
use mail::date::HeaderDate;
use mail::queue_id::QueueId;
use mail::record::{self, kind};
use mail::{Envelope, Recipient, dsn};
use protocol::smtp::command::unxtext;
use protocol::smtp::reply::Reply;
use runtime::Sock;
use runtime::net::Listener;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// master.cf's wakeup for pickup.
const WAKEUP: Duration = Duration::from_secs(60);
/// Files read in one go.
const BATCH: usize = 64;
/// Bytes of files after which no other is read in one go.
const BATCH_BYTES: usize = 16 << 20;
/// The longest address: as long as a command line may be.
const ADDRESS_MAX: usize = crate::limits::COMMAND_LINE_MAX;

mod fuzz;

pub use fuzz::fuzz_pickup;

/// A file of the maildrop directory.
struct Submission {
    path: PathBuf,
    uid: u32,
    records: Vec<u8>,
}

/// Files that were found.
#[derive(Default)]
struct Found {
    submissions: Vec<Submission>,
    /// There are others.
    more: bool,
}

/// What a submission says.
#[derive(Default)]
struct Parsed {
    envelope: Envelope,
    full_name: Option<String>,
    /// Whether it says that it comes from elsewhere (`sendmail -G`).
    is_remote: bool,
    content: Vec<u8>,
}

impl Parsed {
    /// How its headers are rewritten.
    fn context(&self) -> Context {
        if self.is_remote { Context::Remote } else { Context::Local }
    }
}

/// Looks at the maildrop directory at start, on every trigger and now and then.
pub fn start(core: &Rc<Core>) {
    core.pickup.serves.set(true);
    let core = core.clone();
    let rt = core.rt.clone();
    rt.spawn(async move {
        while !core.is_stopping() {
            core.pickup.postponed.borrow_mut().clear();
            scan(&core);
            core.rt.sleep_until(core.rt.now() + WAKEUP).await;
        }
    });
}

/// Takes triggers at `public/pickup`: whoever connects wants us to look.
pub fn listen(core: &Rc<Core>, sock: Sock) {
    let core = core.clone();
    let rt = core.rt.clone();
    rt.spawn(async move {
        let listener = Listener::new(&core.rt, sock);
        while let Ok(trigger) = listener.accept().await {
            drop(trigger);
            scan(&core);
        }
    });
}

/// Where looking at the directory stands.
#[derive(Default)]
pub struct Pickup {
    /// Whether there is a maildrop: not where nobody submits locally.
    serves: Cell<bool>,
    /// One scan at a time; a trigger meanwhile asks for another.
    scan: Cell<Scan>,
    /// Files that were warned about once.
    bad: RefCell<BTreeSet<PathBuf>>,
    /// Files that could not be taken now: left alone until the next wake-up, so that those behind
    /// them are not held up.
    postponed: RefCell<BTreeSet<PathBuf>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Scan {
    #[default]
    Idle,
    Running,
    Again,
}

/// Starts a scan, or asks for another after the one that runs.
pub fn scan(core: &Rc<Core>) {
    let Pickup { scan, bad, postponed, serves } = &core.pickup;
    if !serves.get() {
        return;
    }
    if scan.get() != Scan::Idle {
        return scan.set(Scan::Again);
    }
    scan.set(Scan::Running);
    let directory = PathBuf::from("maildrop");
    let left: BTreeSet<PathBuf> = bad.borrow().union(&postponed.borrow()).cloned().collect();
    core.desk.run(move || {
        let found = read_directory(&directory, &left);
        Box::new(move |core| take_all(core, found))
    });
}

fn take_all(core: &Rc<Core>, found: io::Result<Found>) {
    let core = core.clone();
    let rt = core.rt.clone();
    rt.spawn(async move {
        let Found { submissions, more } = found.unwrap_or_else(|error| {
            core.log.warn(Daemon::Pickup, &format!("open directory maildrop: {error}"));
            Found::default()
        });
        let mut taken = Vec::new();
        for submission in submissions {
            let path = submission.path.clone();
            match take(&core, submission).await {
                Ok(()) => taken.push(path),
                Err(Refused::Bad(reason)) => {
                    let text = format!("{}: {reason}", path.display());
                    core.log.warn(Daemon::Pickup, &text);
                    core.pickup.bad.borrow_mut().insert(path);
                }
                // It has been said why; the next wake-up finds the file again.
                Err(Refused::NotNow) => {
                    core.pickup.postponed.borrow_mut().insert(path);
                }
            }
        }
        core.desk.run(move || {
            taken.iter().for_each(|path| drop(std::fs::remove_file(path)));
            Box::new(move |core| scanned(core, more))
        });
    });
}

fn scanned(core: &Rc<Core>, more: bool) {
    let again = core.pickup.scan.replace(Scan::Idle) == Scan::Again;
    if again || more {
        scan(core);
    }
}

/// Complete files but those that are `left` alone, oldest names first. Runs on the background
/// thread.
fn read_directory(directory: &Path, left: &BTreeSet<PathBuf>) -> io::Result<Found> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory)?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let (mut found, mut bytes) = (Found::default(), 0);
    for path in paths.into_iter().filter(|path| !left.contains(path)) {
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        let complete = metadata.is_file() && metadata.permissions().mode() & 0o100 != 0;
        if !complete {
            continue;
        }
        if let Ok(records) = std::fs::read(&path) {
            bytes += records.len();
            found.submissions.push(Submission { path, uid: metadata.uid(), records });
        }
        if found.submissions.len() == BATCH || bytes >= BATCH_BYTES {
            found.more = true;
            break;
        }
    }
    Ok(found)
}

/// Why a submission stays in maildrop.
enum Refused {
    /// It is none.
    Bad(String),
    /// Its addresses cannot be mapped now, in envelope or header.
    NotNow,
}

impl Refused {
    /// What a client would be told; what is temporary has been logged.
    fn of(reply: Reply) -> Refused {
        match reply.0.starts_with('4') {
            true => Refused::NotNow,
            false => Refused::Bad(reply.0.into_owned()),
        }
    }
}

impl From<String> for Refused {
    fn from(reason: String) -> Refused {
        Refused::Bad(reason)
    }
}

async fn take(core: &Rc<Core>, submission: Submission) -> Result<(), Refused> {
    let mut parsed = parse(&submission.records)?;
    let snapshot = core.snapshot();
    let name = Name::new(core);
    // The sender as submitted.
    let sender = &parsed.envelope.sender;
    core.log.log(&Event::Pickup { id: name.id, uid: submission.uid, sender });
    let scene = Scene { snapshot: &snapshot, local: &core.local, micros: name.micros };
    scene.localize(&mut parsed.envelope);
    let receive = snapshot.pickup;
    let context = parsed.context();
    let rehearsed = || {
        if let Some(rewriting) = Rewriting::new(core, name.id, context, receive) {
            rewriting.look_up(&parsed.content);
        }
        if let Some(inspector) = Inspector::new(core, name.id, &parsed.envelope, receive) {
            inspector.look_up(&parsed.content);
        }
        let mut envelope = parsed.envelope.clone();
        let _verdict = map_sender(core, &snapshot, name.id, &mut envelope.sender);
        let _verdict = map_recipients(core, &snapshot, name.id, &mut envelope, &[]);
    };
    servers::rehearse(core.agents.asker(&Daemon::Cleanup), rehearsed).await;
    let not_now = |trouble: Trouble| Refused::of(trouble.told(core, name.id));
    map_sender(core, &snapshot, name.id, &mut parsed.envelope.sender).map_err(not_now)?;
    let id = name.id;
    let hands = Hands {
        rewriting: Rewriting::new(core, id, context, receive),
        inspector: Inspector::new(core, id, &parsed.envelope, receive).map(Inspector::reading_on),
        named: &|message| message.log_ids(core, id),
    };
    let mut message = scene.content((id, submission.uid), hands, &parsed)?;
    let orders = found(&snapshot, &mut message, &mut parsed.envelope)?;
    if orders.discard {
        return Ok(());
    }
    let copies = orders.bcc.as_slice();
    map_recipients(core, &snapshot, name.id, &mut parsed.envelope, copies).map_err(not_now)?;
    scene.complete(&message, &mut parsed.envelope);
    let Parsed { mut envelope, .. } = parsed;
    orders.route(&mut envelope);
    if context == Context::Local {
        envelope.attributes.push((REWRITE_CONTEXT.into(), LOCAL_CONTEXT.to_vec()));
    }
    describe(core, name, &mut envelope, &message.content);
    let start = if orders.hold { Start::Held } else { Start::Incoming };
    // However long the disk takes: the file waits in maildrop as well as anywhere.
    let how = (start, Patience::Forever);
    let queued = commit(core, name, envelope, &message.content, how).await;
    queued.map_err(|full| Refused::Bad(full.to_string()))
}

/// What the checks have ordered. A message that they refuse for good is queued all the same, and
/// returned from there.
fn found(
    snapshot: &Snapshot,
    message: &mut Message,
    envelope: &mut Envelope,
) -> Result<Orders, Refused> {
    let filter = Some(&snapshot.pickup_filter).filter(|it| !it.is_empty()).cloned();
    let mut orders = Orders { filter, ..Orders::default() };
    let Some(findings) = message.findings() else { return Ok(orders) };
    orders.add(std::mem::take(&mut findings.orders));
    let Some(reply) = findings.refusal.take() else { return Ok(orders) };
    match reply.0.strip_prefix("5").and_then(|_| reply.0.split_once(' ')) {
        Some((_, why)) => {
            envelope.attributes.push((REFUSED.into(), why.as_bytes().to_vec()));
            // Nobody needs the rest of what was refused.
            envelope.ret = Some(mail::envelope::Ret::Headers);
            // It goes nowhere: neither held nor sent elsewhere first.
            Ok(Orders::default())
        }
        None => Err(Refused::NotNow),
    }
}

fn map_sender(
    core: &Core,
    snapshot: &Snapshot,
    id: QueueId,
    sender: &mut Address,
) -> Result<(), Trouble> {
    match snapshot.pickup.maps_addresses {
        true => snapshot.mapping.sender(core, &snapshot.resolver, id, sender),
        false => Ok(()),
    }
}

/// Maps recipients, unless that is left out, and adds those to whom checks send copies.
fn map_recipients(
    core: &Core,
    snapshot: &Snapshot,
    id: QueueId,
    envelope: &mut Envelope,
    copies: &[Address],
) -> Result<(), Trouble> {
    if !snapshot.pickup.maps_addresses {
        envelope.recipients.extend(copies.iter().map(blind_copy));
        return Ok(());
    }
    let (mapping, resolver) = (&snapshot.mapping, &snapshot.resolver);
    // What is odd is said when the recipients are mapped.
    mapping.name_originals(resolver, &mut envelope.recipients, &|_| ())?;
    mapping.recipients(core, resolver, id, envelope, Copies::Made(copies))
}

/// Whether a submission has what only SMTPUTF8 can carry (`smtputf8_autodetect_classes`).
fn needs_smtputf8(envelope: &Envelope) -> bool {
    let mut recipients = envelope.recipients.iter();
    envelope.header_8bit
        || envelope.sender.is_8bit()
        || recipients.any(|recipient| recipient.address.is_8bit())
}

/// Who has a hand in the content.
struct Hands<'a> {
    /// What rewrites addresses, if anything does.
    rewriting: Option<Rewriting<'a>>,
    /// What checks headers and body, if anything does.
    inspector: Option<Inspector<'a>>,
    /// Logs what the message is called.
    named: &'a dyn Fn(&mut Message),
}

/// Where and when a submission becomes a message.
struct Scene<'a> {
    snapshot: &'a Snapshot,
    local: &'a LocalTime,
    micros: u64,
}

impl Scene<'_> {
    /// Addresses as the queue manager wants them.
    fn localize(&self, envelope: &mut Envelope) {
        let resolver = &self.snapshot.resolver;
        envelope.sender = resolver.canonical(&envelope.sender);
        for recipient in &mut envelope.recipients {
            let address = resolver.canonical_recipient(&recipient.address);
            recipient.address = resolver.localized(address);
        }
    }

    /// What the envelope says about the content.
    fn complete(&self, message: &Message, envelope: &mut Envelope) {
        envelope.header_8bit = message.header_8bit();
        drop_duplicates(envelope, &self.snapshot.cleanup);
        envelope.smtputf8 = self.snapshot.detects_smtputf8 && needs_smtputf8(envelope);
    }

    /// The content as the queue stores it: our Received:, missing headers, wire form.
    fn content(
        &self,
        (id, uid): (QueueId, u32),
        hands: Hands<'_>,
        parsed: &Parsed,
    ) -> Result<Message, Refused> {
        let unix = self.micros / 1_000_000;
        let zone = self.local.at(unix);
        let date = HeaderDate { unix, zone: &zone };
        let (host, mail_name) = (&self.snapshot.myhostname, &self.snapshot.mail_name);
        let received = format_args!(
            "Received: by {host} ({mail_name}, from userid {uid})\r\n\tid {id}; {date}\r\n"
        );
        let mut message = Message::new(Vec::new(), received);
        let full_name = parsed.full_name.as_deref();
        let sender = &parsed.envelope.sender;
        // As for mail from elsewhere by SMTP.
        let untouched = parsed.is_remote && self.snapshot.remote_rewrite_domain.is_empty();
        let add_missing = !untouched || self.snapshot.always_add_missing;
        let Hands { rewriting, inspector, named } = hands;
        let zone = &zone;
        let origin =
            Origin { id, sender, full_name, unix, zone, add_missing, rewriting, inspector };
        let settings = &self.snapshot.cleanup;
        // Piece by piece: what changes in a header moves what is behind it.
        for piece in parsed.content.chunks(INPUT_BYTES) {
            message.content.extend_from_slice(piece);
            message.advance(settings, &origin).map_err(Refused::of)?;
            named(&mut message);
        }
        message.finish(settings, &origin).map_err(Refused::of)?;
        named(&mut message);
        Ok(message)
    }
}

fn parse(records: &[u8]) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut input = records;
    let mut in_content = false;
    let mut line = Vec::new();
    let mut next = Recipient::new(Address::null());
    while let Some((kind, body)) =
        record::take(&mut input).map_err(|error| format!("not a submission: {error:?}"))?
    {
        if in_content {
            match kind {
                kind::LINE => {
                    line.extend_from_slice(body);
                    put_line(&mut parsed.content, &mut line);
                }
                kind::PARTIAL => line.extend_from_slice(body),
                kind::EXTRACTED => in_content = false,
                _ => return Err(format!("unexpected record type {}", kind as char)),
            }
            continue;
        }
        match kind {
            kind::MESSAGE => in_content = true,
            kind::END => return complete(parsed),
            _ => parsed.envelope_record(kind, body, &mut next)?,
        }
    }
    Err("the file ends too early".into())
}

fn complete(parsed: Parsed) -> Result<Parsed, String> {
    if parsed.envelope.recipients.is_empty() {
        return Err("no recipients".into());
    }
    Ok(parsed)
}

impl Parsed {
    fn envelope_record(
        &mut self,
        kind: u8,
        body: &[u8],
        next: &mut Recipient,
    ) -> Result<(), String> {
        match kind {
            kind::FULL_NAME => {
                self.full_name = Some(String::from_utf8_lossy(&one_line(body)).into_owned());
            }
            kind::SENDER => self.envelope.sender = address(body)?,
            kind::RECIPIENT => {
                let address = address(body)?;
                let fresh = Recipient::new(address.clone());
                let mut recipient = std::mem::replace(next, Recipient::new(Address::null()));
                recipient.original = address;
                recipient.address = fresh.address;
                self.envelope.recipients.push(recipient);
            }
            kind::ATTRIBUTE => self.attribute(body, next),
            // Times are ours; what else a submitter may say changes nothing here.
            kind::TIME | kind::INSPECT | kind::VERP | b'n' => {}
            _ => return Err(format!("unexpected record type {}", kind as char)),
        }
        Ok(())
    }

    fn attribute(&mut self, body: &[u8], next: &mut Recipient) {
        use mail::envelope::{Encoding, Ret, notify};
        let text = String::from_utf8_lossy(body);
        match text.split_once('=') {
            Some(("rewrite_context", context)) => self.is_remote = context == "remote",
            Some(("encoding", "8bit")) => self.envelope.encoding = Some(Encoding::EightBit),
            Some(("encoding", "7bit")) => self.envelope.encoding = Some(Encoding::SevenBit),
            // What SMTP could not carry is as good as not given.
            Some(("notify_flags", bits)) => {
                let bits = bits.parse().ok().filter(|bits| notify::is_valid(*bits));
                next.notify = bits.unwrap_or_default();
            }
            Some(("dsn_orig_rcpt", orcpt)) => {
                next.dsn_orcpt = Some(orcpt.into()).filter(|orcpt: &Vec<u8>| dsn::is_orcpt(orcpt));
            }
            Some(("envelope_id", envid)) => {
                let good = |envid: &Vec<u8>| dsn::is_envid(envid) && unxtext(envid).is_some();
                self.envelope.envid = Some(envid.into()).filter(good);
            }
            Some(("ret_flags", "1")) => self.envelope.ret = Some(Ret::Full),
            Some(("ret_flags", "2")) => self.envelope.ret = Some(Ret::Headers),
            _ => {}
        }
    }
}

/// An address; what would end a line is a blank in it, as for trivial-rewrite(8).
fn address(body: &[u8]) -> Result<Address, String> {
    match body.len() <= ADDRESS_MAX {
        true => Ok(Address::from_internal(&one_line(body))),
        false => Err(format!("an address of {} bytes", body.len())),
    }
}

fn one_line(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }).collect()
}

/// A line in wire form: dot-stuffed, no CR or LF inside, CRLF at the end.
fn put_line(content: &mut Vec<u8>, line: &mut Vec<u8>) {
    while line.last() == Some(&b'\r') {
        line.pop();
    }
    if line.first() == Some(&b'.') {
        content.push(b'.');
    }
    content
        .extend(line.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    content.extend_from_slice(b"\r\n");
    line.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(list: &[(u8, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        list.iter().for_each(|(kind, body)| record::put(&mut out, *kind, body.as_bytes()));
        out
    }

    #[test]
    fn a_submission_is_read() {
        let file = records(&[
            (b'T', "1 2"),
            (b'S', "a@b"),
            (b'A', "notify_flags=4"),
            (b'R', "c@d"),
            (b'M', ""),
            (b'N', "Subject: x"),
            (b'N', ""),
            (b'L', ".long "),
            (b'N', "line\r"),
            (b'X', ""),
            (b'E', ""),
        ]);
        let parsed = parse(&file).unwrap();
        assert_eq!(parsed.content, b"Subject: x\r\n\r\n..long line\r\n");
        assert_eq!(parsed.envelope.recipients[0].notify, 4);
        assert_eq!(parsed.envelope.sender, Address::from_internal(b"a@b"));
        for cut in 1..file.len() {
            assert!(parse(&file[..cut]).is_err(), "a torn file is not a message");
        }
    }

    #[test]
    fn what_smtp_could_not_carry_is_not_taken() {
        let file = records(&[
            (b'F', "a\r\nBcc: b"),
            (b'S', "a\r\n@b"),
            (b'A', "notify_flags=99"),
            (b'A', "dsn_orig_rcpt=x\r\nDATA;y"),
            (b'A', "envelope_id=a RET=HDRS"),
            (b'R', "c@d"),
            (b'M', ""),
            (b'X', ""),
            (b'E', ""),
        ]);
        let Parsed { envelope, full_name, .. } = parse(&file).unwrap();
        assert_eq!(full_name.as_deref(), Some("a  Bcc: b"));
        assert_eq!((envelope.sender.as_bytes(), envelope.envid), (b"a  @b".as_slice(), None));
        let recipient = &envelope.recipients[0];
        assert_eq!((recipient.notify, &recipient.dsn_orcpt), (0, &None));
        let long = "x".repeat(ADDRESS_MAX + 1);
        assert!(parse(&records(&[(b'S', &long)])).is_err());
    }
}

//! Queue entries read from the disk: the maildrop directory always, the queue log when nobody
//! serves.
//!
//! **Diagnostics**: what cannot be read is left out; a log that cannot be opened is the caller's.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

use mail::queue_id::QueueId;
use mail::record::{self, kind};
use mail::{Address, Envelope};
use queue::{Live, Reader, State};

use super::entry::{Entry, Recipient};

/// Complete messages have it.
const READY: u32 = 0o100;
/// Bytes of a maildrop file that are read for its envelope.
const ENVELOPE_MAX: usize = 16 * 1024 * 1024;

/// Submissions not yet picked up, as far as this process may see them.
pub fn maildrop(queue: &Path) -> Vec<Entry> {
    let Ok(directory) = fs::read_dir(queue.join("maildrop")) else { return Vec::new() };
    directory.flatten().filter_map(|file| maildrop_entry(&file)).collect()
}

fn maildrop_entry(file: &fs::DirEntry) -> Option<Entry> {
    let id = file.file_name().into_string().ok().filter(|name| is_queue_id(name))?;
    let data = file.metadata().ok().filter(fs::Metadata::is_file)?;
    if data.permissions().mode() & READY == 0 {
        return None;
    }
    let modified = data.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let bytes = fs::read(file.path()).ok().filter(|bytes| bytes.len() <= ENVELOPE_MAX)?;
    let mut entry = Entry {
        queue: "maildrop".to_owned(),
        id,
        arrival: modified,
        size: data.size(),
        sender: shown_sender(&Address::null()),
        ..Entry::default()
    };
    let mut rest = bytes.as_slice();
    while let Ok(Some((kind, body))) = record::take(&mut rest) {
        take(&mut entry, kind, body);
    }
    Some(entry)
}

fn take(entry: &mut Entry, kind: u8, body: &[u8]) {
    match kind {
        kind::TIME => {
            let text = String::from_utf8_lossy(body);
            let seconds = text.split(' ').next().and_then(|word| word.parse().ok());
            entry.arrival = seconds.unwrap_or(entry.arrival);
        }
        kind::SENDER => entry.sender = shown_sender(&Address::from_internal(body)),
        kind::RECIPIENT => {
            let address = Address::from_internal(body).to_string();
            entry.recipients.push(Recipient { address, reason: String::new() });
        }
        _ => {}
    }
}

/// A name that may be a queue id.
pub fn is_queue_id(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The null sender has a name in listings.
fn shown_sender(address: &Address) -> String {
    if address.is_null() { "MAILER-DAEMON".to_owned() } else { address.to_string() }
}

/// Messages of the queue log; `long` is the shape of their ids.
pub fn log(queue: &Path, long: bool) -> Result<Vec<Entry>, queue::OpenError> {
    let reader = Reader::open(queue)?;
    let live = reader.live();
    let mut entries: Vec<_> = live
        .iter()
        .filter_map(|live| Some((rank(live), log_entry(&reader, live, long)?)))
        .collect();
    entries.sort_by_key(|(rank, _)| *rank);
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

/// Postfix's order of queues.
fn rank(live: &Live) -> u8 {
    match live.state {
        State::Incoming => 0,
        State::Deferred { .. } => 1,
        State::Held => 2,
    }
}

fn log_entry(reader: &Reader, live: &Live, long: bool) -> Option<Entry> {
    let message = reader.message(live.number).ok()?;
    let envelope = Envelope::decode(&message.envelope).ok()?;
    let reason = String::from_utf8_lossy(&message.detail).into_owned();
    let mut recipients = Vec::new();
    for (index, recipient) in (0u32..).zip(&envelope.recipients) {
        if !message.live.marks.contains(index) {
            let address = recipient.address.to_string();
            recipients.push(Recipient { address, reason: reason.clone() });
        }
    }
    Some(Entry {
        queue: queue_name(live.state).to_owned(),
        id: id(live, long),
        arrival: live.arrival_us / 1_000_000,
        size: live.size,
        forced_expire: false,
        sender: shown_sender(&envelope.sender),
        recipients,
    })
}

/// Postfix's name of the queue.
pub fn queue_name(state: State) -> &'static str {
    match state {
        State::Incoming => "incoming",
        State::Deferred { .. } => "deferred",
        State::Held => "hold",
    }
}

/// The queue id of a message.
pub fn id(live: &Live, long: bool) -> String {
    QueueId { micros: live.arrival_us, number: live.number.get(), long }.text()
}

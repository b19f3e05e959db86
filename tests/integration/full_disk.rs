//! A full disk refuses new mail, loses none, and heals by itself.
//!
//! The queue is a small volume in a mount namespace of the system's own, so nothing is left
//! mounted; the
//! test reaches it through the supervisor's root in /proc.

use crate::support::client::Client;
use crate::support::keeper::Keeper;
use crate::support::process::{children, end, runs, signal};
use crate::support::system::{System, is_root};
use crate::support::{skip, wait, within};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Bytes of the volume.
const VOLUME: u64 = 96 << 20;
/// Messages after which the volume must have refused one.
const SENT_MAX: usize = 4000;

/// A file system of 96 MiB in a file.
fn image(path: &Path) -> bool {
    let sized = File::create(path).and_then(|file| file.set_len(VOLUME));
    sized.is_ok()
        && Command::new("mkfs.ext4").arg("-q").arg(path).status().is_ok_and(|s| s.success())
}

/// Starts the system with its queue on a volume of its own; the kind of volume.
fn start(system: &System) -> Option<&'static str> {
    let mut kinds = vec![("tmpfs", "mount -t tmpfs -o size=96m tmpfs \"$2\"")];
    if image(&system.path("image")) {
        kinds.insert(0, ("ext4", "mount -o loop \"$1\" \"$2\""));
    }
    for (kind, mount) in kinds {
        let script = format!(
            "{mount} || exit 77; mkdir -p \"$2/queue\"; chmod 755 \"$2\" \"$2/queue\"; \
             exec \"$3\" -c \"$4\" start"
        );
        let status = Command::new("unshare")
            .args(["-m", "sh", "-c", &script, "sh"])
            .arg(system.path("image"))
            .arg(system.path("volume"))
            .arg(system.path("bin/postfix"))
            .arg(system.path("conf"))
            .status();
        match status.ok().and_then(|status| status.code()) {
            Some(0) => return Some(kind),
            Some(77) | None => {}
            other => panic!("postfix start: {other:?}\n{}", system.log()),
        }
    }
    None
}

/// The volume as this process reaches it.
fn volume(system: &System, master: u32) -> PathBuf {
    let inside = system.path("volume").to_string_lossy().into_owned();
    PathBuf::from(format!("/proc/{master}/root{inside}"))
}

/// The supervisor; its lock file is on the volume, so it is looked for by its program.
fn master_of(system: &System) -> u32 {
    let program = system.path("bin/master");
    let is_it = |pid: &u32| {
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|found| found.ends_with(&program))
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(is_it).expect("it has started")
}

/// Ends the system whatever happens: its lock file is out of sight of [`System`].
struct End(u32);

impl Drop for End {
    fn drop(&mut self) {
        let engines = children(self.0);
        end(self.0);
        engines.into_iter().for_each(end);
    }
}

/// Sends numbered messages one after the other.
struct Sender {
    port: u16,
    next: usize,
    acknowledged: BTreeSet<String>,
}

impl Sender {
    /// The reply to one message, in a session of its own.
    fn send(&mut self) -> String {
        let name = format!("m{}", self.next);
        self.next += 1;
        let mut client = Client::connect(self.port).expect("the system serves");
        client.ask("EHLO client.example").unwrap();
        let content = format!("Subject: {name}\r\n\r\n{}", "padding line\r\n".repeat(4000));
        let reply = client.send("a@source.example", "user@sink.example", &content).unwrap();
        if reply.starts_with("250") {
            self.acknowledged.insert(name);
        }
        reply
    }
}

/// Fills what is left to the last byte.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let block = vec![b'x'; 1 << 20];
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&block[..size]).is_ok() {}
    }
}

#[test]
fn a_full_disk_refuses_mail_with_452_loses_none_and_heals_by_itself() {
    const NAME: &str = "a full disk";
    if !is_root() {
        return skip(NAME, "only root can mount a volume");
    }
    let system =
        System::new("minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n");
    let mounted = system.path("volume");
    std::fs::create_dir(&mounted).unwrap();
    std::fs::set_permissions(&mounted, std::fs::Permissions::from_mode(0o755)).unwrap();
    system.configure(&format!("queue_directory = {}/queue\n", mounted.display()));
    let Some(kind) = start(&system) else {
        return skip(NAME, "no volume can be mounted here (loop device, tmpfs)");
    };
    println!("the queue is on {kind}");
    let master = master_of(&system);
    let _end = End(master);
    let engine = children(master);
    let volume = volume(&system, master);
    let mut sender = Sender { port: system.port, next: 0, acknowledged: BTreeSet::new() };
    let reply = sender.send();
    assert!(reply.starts_with("250"), "normal mail: {reply}");
    // Nothing leaves the queue while the sink is away.
    fill(&volume.join("ballast"));
    let refused = (0..SENT_MAX).map(|_| sender.send()).find(|reply| !reply.starts_with("250"));
    let refused = refused.expect("a full disk takes no more");
    assert!(refused.starts_with("452 4.3.1 ") || refused.starts_with("451 4.3.0 "), "{refused}");
    let at_mail = within(Duration::from_secs(10), || sender.send().starts_with("452 4.3.1 "));
    assert!(at_mail, "the refusal is said at MAIL");
    let taken = sender.acknowledged.len();
    std::fs::remove_file(volume.join("ballast")).unwrap();
    let healed = within(Duration::from_secs(10), || sender.send().starts_with("250"));
    assert!(healed, "{}", system.log());
    println!("{taken} messages were taken before the disk was full");
    let sink = Keeper::start(system.sink);
    wait("every acknowledged message", || {
        let names: BTreeSet<String> =
            sink.mail().iter().filter_map(|mail| mail.header("Subject").map(Into::into)).collect();
        sender.acknowledged.is_subset(&names)
    });
    assert_eq!(children(master), engine, "one and the same engine all the time");
    signal(master, Signal::TERM);
    wait("the end", || !runs(master));
}

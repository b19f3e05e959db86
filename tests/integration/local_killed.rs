//! Deliveries for aliases, killed at work: the mail is delivered later, and not lost; and tables
//! that are written while they are asked.

use super::local::{installed, process, send};
use crate::support::process::{children, signal};
use crate::support::system::System;
use crate::support::wait;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;

const KILLED: &str = "dsn=4.3.0, status=deferred (unknown mail transport error)";

/// A system with one alias, started; `OUT` is a directory anybody may write to.
fn with_alias(value: &str, locks: &str) -> System {
    let system = installed("");
    let out = system.path("out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, Permissions::from_mode(0o1777)).unwrap();
    let path = system.path("conf/aliases");
    fs::write(&path, format!("it: {}\n", value.replace("OUT", &out.display().to_string())))
        .unwrap();
    let table = format!("hash:{}", path.display());
    system.tell("postalias", &[&table]);
    // A lock file of who was killed would be in the way for a while.
    system.configure(&format!("alias_maps = {table}\nmailbox_delivery_lock = {locks}\n"));
    system.start();
    system
}

/// A delivery may be over before it is killed.
fn kill_if_there(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a child has an id");
    let _over_already = kill_process(pid, Signal::KILL);
}

fn out(system: &System, name: &str) -> String {
    fs::read_to_string(system.path("out").join(name)).unwrap_or_default()
}

#[test]
fn one_that_waits_for_an_aliass_file_is_made_again() {
    let system = with_alias("OUT/file", "dotlock");
    let helper = process(&system, "deliver");
    let lock = system.path("out/file.lock");
    fs::write(&lock, "").unwrap();
    send(&system, "it", "once");
    wait("a delivery at work", || !children(helper).is_empty());
    signal(children(helper)[0], Signal::KILL);
    wait("the deferral in the log", || system.logged(KILLED) == 1);
    fs::remove_file(&lock).unwrap();
    wait("the delivery", || system.logged("status=sent (delivered to file: ") == 1);
    system.wait_until_empty();
    assert_eq!(out(&system, "file").matches("\nSubject: once\n").count(), 1);
    assert_eq!(process(&system, "deliver"), helper, "only the delivery died");
}

#[test]
fn those_that_write_an_aliass_file_are_made_again() {
    const MESSAGES: usize = 20;
    let system = with_alias("OUT/file", "fcntl");
    let helper = process(&system, "deliver");
    for number in 0..MESSAGES {
        send(&system, "it", &format!("no {number}."));
        // Whatever they are doing.
        children(helper).into_iter().for_each(kill_if_there);
    }
    wait("all deliveries", || system.logged("status=sent (delivered to file: ") == MESSAGES);
    system.wait_until_empty();
    let text = out(&system, "file");
    for number in 0..MESSAGES {
        let whole = format!("\nSubject: no {number}.\n");
        assert!(text.contains(&whole), "{number}\n{text}");
    }
    assert_eq!(system.logged("status=bounced"), 0, "{}", system.log());
}

#[test]
fn one_whose_command_runs_is_made_again() {
    // The first time it does not end, and says who it is.
    let command = "\"|if [ -e OUT/pid ]; then cat > OUT/done; else echo $$ > OUT/pid.new && \
                   mv OUT/pid.new OUT/pid && exec sleep 600; fi\"";
    let system = with_alias(command, "fcntl");
    let helper = process(&system, "deliver");
    send(&system, "it", "once");
    wait("the command", || !out(&system, "pid").is_empty());
    signal(children(helper)[0], Signal::KILL);
    wait("the deferral in the log", || system.logged(KILLED) == 1);
    wait("the delivery", || system.logged("status=sent (delivered to command: ") == 1);
    system.wait_until_empty();
    assert_eq!(out(&system, "done").matches("\nSubject: once\n").count(), 1);
    signal(out(&system, "pid").trim().parse().unwrap(), Signal::KILL);
}

#[test]
fn a_table_that_is_written_is_waited_for() {
    let system = with_alias("OUT/file", "dotlock");
    let helper = process(&system, "deliver");
    let table = system.path("conf/aliases.db");
    let writer = File::options().read(true).write(true).open(table).unwrap();
    flock(&writer, FlockOperation::LockExclusive).unwrap();
    send(&system, "it", "once");
    wait("a delivery at work", || !children(helper).is_empty());
    assert_eq!(system.logged("status="), 0, "{}", system.log());
    drop(writer);
    wait("the delivery", || system.logged("status=sent (delivered to file: ") == 1);
    system.wait_until_empty();
    assert_eq!(out(&system, "file").matches("\nSubject: once\n").count(), 1);
}

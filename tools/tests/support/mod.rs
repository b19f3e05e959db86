//! A mail system in a temporary directory: configuration, copies of the programs, a fake engine.
//!
//! Programs are copied so that each finds the others beside itself. Works as an ordinary user and
//! as root; root needs the account `daemon` for `mail_owner`.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Held while a program is written and while one is started: a child between fork and exec holds
/// every file its parent writes, and the kernel executes no file that is open for writing.
static PROGRAMS: Mutex<()> = Mutex::new(());

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Says what it was given, serves until SIGTERM; `SOCKETS` and the events are for the tests.
const ENGINE: &str = r#"#!/bin/bash
events=$PWD/events/list
trap 'echo term >> $events; exit 0' TERM
trap 'echo hup >> $events' HUP
test -f "$PWD/events/fail" && exit 3
echo "start $$ $RINGPOST_SOCKETS cores=$RINGPOST_CORES args=$*" >> $events
echo ready >&$RINGPOST_READY_FD
while :; do sleep 0.02; done
"#;

/// The directories.
pub struct System {
    root: TempDir,
    /// TCP port of the service `smtp`.
    pub port: u16,
}

impl System {
    /// Directories, main.cf with `extra` and master.cf.
    pub fn new(extra: &str) -> System {
        let root = tempfile::tempdir().unwrap();
        let system = System { root, port: free_port() };
        open_up(system.root.path(), 0o755);
        for name in ["conf", "queue", "queue/events", "bin", "log"] {
            fs::create_dir(system.path(name)).unwrap();
        }
        open_up(&system.path("queue/events"), 0o777);
        fs::write(system.path("conf/main.cf"), system.main_cf(extra)).unwrap();
        fs::write(system.path("conf/master.cf"), system.master_cf()).unwrap();
        system
    }

    /// A path below the root.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn main_cf(&self, extra: &str) -> String {
        let root = self.root.path().display();
        let (owner, group) = accounts();
        format!(
            "compatibility_level = 3.6\nqueue_directory = {root}/queue\n\
             data_directory = {root}/data\nmail_owner = {owner}\nsetgid_group = {group}\n\
             maillog_file = {root}/log/maillog\nmaillog_file_prefixes = {root}\n\
             myhostname = mx.example.test\ninet_interfaces = 127.0.0.1\n\
             daemon_directory = {root}/bin\ncommand_directory = {root}/bin\n{extra}"
        )
    }

    fn master_cf(&self) -> String {
        format!("127.0.0.1:{} inet n - n - - smtpd\n", self.port)
    }

    /// Copies programs into `bin`.
    pub fn install(&self, programs: &[(&str, &str)]) {
        let _lock = lock();
        for (name, from) in programs {
            fs::copy(from, self.path("bin").join(name)).unwrap();
        }
    }

    /// The supervisor, built now: it belongs to another package. And an engine that is a script.
    pub fn install_master(&self) {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_postfix")).with_file_name("master");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        let cargo = cargo.args(["build", "--quiet", "-p", "ringpost", "--bin", "master"]);
        let mut child = spawn(cargo.current_dir(env!("CARGO_MANIFEST_DIR")));
        let status = child.wait().unwrap();
        assert!(status.success(), "the program master cannot be built");
        let _lock = lock();
        fs::copy(&built, self.path("bin/master"))
            .unwrap_or_else(|error| panic!("no program {}: {error}", built.display()));
        let engine = self.path("bin/engine");
        fs::write(&engine, ENGINE).unwrap();
        open_up(&engine, 0o755);
    }

    /// Runs an installed program as `PROGRAM -c CONF ARGS`.
    pub fn run(&self, program: &str, args: &[&str]) -> Output {
        self.run_with(program, "-c", args, "")
    }

    /// Runs an installed program with input.
    pub fn run_with(&self, program: &str, option: &str, args: &[&str], input: &str) -> Output {
        let mut command = Command::new(self.path("bin").join(program));
        command.arg(option).arg(self.path("conf")).args(args).env("TZ", "UTC0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut command);
        // A program that needs no input may be gone already.
        let _closed = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// The mail log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log/maillog")).unwrap_or_default()
    }

    /// What the fake engine saw so far.
    pub fn events(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("queue/events/list")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until `done`.
    pub fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !done() {
            let seen = (self.log(), self.events());
            assert!(Instant::now() < until, "waited in vain for {what}: {seen:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if self.path("bin/master").exists() {
            self.run("postfix", &["abort"]);
        }
    }
}

fn lock() -> MutexGuard<'static, ()> {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program.
pub fn spawn(command: &mut Command) -> Child {
    let _lock = lock();
    command.spawn().unwrap()
}

/// Runs a program without input.
pub fn run(command: &mut Command) -> Output {
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn(piped).wait_with_output().unwrap()
}

/// A port nobody listens at, below those the system gives to clients, each only once per run.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 30_000 + (std::process::id() % 27) as u16 * 100;
    let ports = || start + NEXT.fetch_add(1, Ordering::Relaxed);
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(ports).find(free).unwrap()
}

/// `mail_owner` and `setgid_group`: the caller, or daemon when he is root.
pub fn accounts() -> (String, String) {
    let id = |args: &[&str]| {
        let output = run(Command::new("id").args(args));
        out(&output).trim().to_owned()
    };
    match id(&["-un"]).as_str() {
        "root" => ("daemon".to_owned(), id(&["-gn", "nobody"])),
        user => (user.to_owned(), id(&["-gn"])),
    }
}

fn open_up(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Standard output as text.
pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

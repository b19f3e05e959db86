//! An installed ringpost in a temporary directory; as root the engine runs as `daemon`.

use super::client::Client;
use super::process::{children, end, runs};
use super::{PATIENCE, programs, wait};
use std::fs::{self, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use tempfile::TempDir;

/// Directories, configuration and programs; dropping it ends what runs.
pub struct System {
    root: TempDir,
    /// Where it serves SMTP on loopback.
    pub port: u16,
    /// Where it sends all mail to.
    pub sink: u16,
}

impl System {
    /// Installs a system; `extra` is appended to main.cf.
    pub fn new(extra: &str) -> System {
        let root = tempfile::tempdir().unwrap();
        let system = System { root, port: free_port(), sink: free_port() };
        open_up(system.root.path());
        for name in ["conf", "queue", "bin", "log"] {
            fs::create_dir(system.path(name)).unwrap();
            open_up(&system.path(name));
        }
        for (name, from) in programs::all() {
            let to = system.path("bin").join(name);
            // Each program finds the others beside itself, and `daemon` may not see the original.
            fs::hard_link(from, &to).or_else(|_| fs::copy(from, &to).map(drop)).unwrap();
        }
        fs::write(system.path("conf/main.cf"), system.main_cf(extra)).unwrap();
        fs::write(system.path("conf/master.cf"), master_cf(system.port)).unwrap();
        system
    }

    /// Installs and starts one.
    pub fn started(extra: &str) -> System {
        let system = System::new(extra);
        system.start();
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
             data_directory = {root}/data\ndaemon_directory = {root}/bin\n\
             command_directory = {root}/bin\nmaillog_file = {root}/log/maillog\n\
             maillog_file_prefixes = {root}\nmail_owner = {owner}\nsetgid_group = {group}\n\
             myhostname = mx.example.test\nmydestination =\nalias_maps =\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nmynetworks = 127.0.0.0/8\nrelayhost = [127.0.0.1]:{}\n\
             smtpd_peername_lookup = no\nenable_long_queue_ids = yes\nqueue_minfree = 0\n{extra}",
            self.sink
        )
    }

    /// Appends to main.cf.
    pub fn configure(&self, text: &str) {
        let mut file = fs::OpenOptions::new().append(true).open(self.path("conf/main.cf")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// A command with this system's configuration, ready to run.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path("bin").join(program));
        // Only sendmail names the option otherwise.
        command.arg(if program == "sendmail" { "-C" } else { "-c" }).arg(self.path("conf"));
        command.env("TZ", "UTC0").stdin(Stdio::null());
        command
    }

    /// Runs a command with `arguments`.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().unwrap()
    }

    /// Runs a command that must succeed: its standard output.
    #[track_caller]
    pub fn tell(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `postfix start`; it serves then.
    #[track_caller]
    pub fn start(&self) {
        self.tell("postfix", &["start"]);
    }

    /// `postfix reload`, and waits until every core greets with what it was given.
    #[track_caller]
    pub fn reload(&self) {
        /// Connections in a row, which the kernel spreads over the cores.
        const GREETINGS: usize = 12;
        static RELOADS: AtomicU16 = AtomicU16::new(0);
        let banner = format!("reload {}", RELOADS.fetch_add(1, Ordering::Relaxed));
        self.configure(&format!("smtpd_banner = {banner}\n"));
        self.tell("postfix", &["reload"]);
        let banner = format!("220 {banner}");
        let renewed = || Client::connect(self.port).is_ok_and(|it| it.greeting == banner);
        wait("the reload", || (0..GREETINGS).all(|_| renewed()));
    }

    /// The mail log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log/maillog")).unwrap_or_default()
    }

    /// Lines of the log that contain `text`.
    pub fn logged(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// The supervisor.
    pub fn master(&self) -> u32 {
        let file = fs::read_to_string(self.path("queue/pid/master.pid"));
        file.expect("it was started").trim().parse().expect("a process id")
    }

    /// The engine, once there is one.
    pub fn engine(&self) -> u32 {
        let master = self.master();
        wait("an engine", || !children(master).is_empty());
        children(master)[0]
    }

    /// Waits until nothing is in the queue.
    #[track_caller]
    pub fn wait_until_empty(&self) {
        let mut listing = String::new();
        let empty = super::within(PATIENCE, || {
            listing = self.tell("postqueue", &["-p"]);
            listing == "Mail queue is empty\n"
        });
        assert!(empty, "still in the queue: {listing}\n{}", self.log());
    }

    /// The lines of `postqueue -j`.
    #[track_caller]
    pub fn listing(&self) -> Vec<String> {
        self.tell("postqueue", &["-j"]).lines().map(str::to_string).collect()
    }

    /// Waits until that many messages are deferred. The reason of a deferral is seen once it is
    /// written,
    /// a moment after the deferral itself.
    #[track_caller]
    pub fn wait_until_deferred(&self, count: usize) {
        let told = |line: &&String| {
            line.contains("\"queue_name\": \"deferred\"") && line.contains("\"delay_reason\": ")
        };
        wait("deferred messages", || self.listing().iter().filter(told).count() == count);
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", tail(&self.log()));
        }
        let file = fs::read_to_string(self.path("queue/pid/master.pid")).unwrap_or_default();
        let Ok(master) = file.trim().parse() else { return };
        if is_ours(master, self.root.path()) {
            let engines = children(master);
            end(master);
            engines.into_iter().for_each(end);
        }
    }
}

/// Whether the process is a program of this system: the file may be old, the id another's by now.
fn is_ours(pid: u32, root: &Path) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe"));
    runs(pid) && program.is_ok_and(|program| program.starts_with(root))
}

fn tail(log: &str) -> String {
    /// Lines that tell the story of a failed test.
    const LINES: usize = 60;
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// `mail_owner` and `setgid_group`.
fn accounts() -> (String, String) {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    };
    match id(&["-un"]).as_str() {
        "root" => ("daemon".to_string(), id(&["-gn", "nobody"])),
        user => (user.to_string(), id(&["-gn"])),
    }
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn open_up(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// A port nobody listens at, below those the system gives to clients, each only once per run.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + (std::process::id() % 100) as u16 * 100;
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn master_cf(port: u16) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\n\
         cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
         rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nsmtp unix - - n - - smtp\n\
         relay unix - - n - - smtp\nshowq unix n - n - - showq\nerror unix - - n - - error\n\
         retry unix - - n - - error\ndiscard unix - - n - - discard\n"
    )
}

//! A mail server under test in a directory of its own: Postfix or ringpost, with the same main.cf
//! but for the paths.
//!
//! Postfix is the installed one and needs root; ringpost is the one built beside the program that
//! measures. What the server listens on is loopback's.

use crate::{process, wait_for_greeting};
use std::error::Error;
use std::fmt;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked at while it stops.
const LOOK: Duration = Duration::from_millis(5);
/// Where Debian has Postfix's commands.
const POSTFIX_COMMANDS: &str = "/usr/sbin";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The installed Postfix.
    Postfix,
    /// The ringpost built beside this program.
    Ringpost,
}

impl Kind {
    /// What keeps it from running here.
    pub fn obstacle(self) -> Option<&'static str> {
        match self {
            Kind::Ringpost => None,
            Kind::Postfix if !Path::new(POSTFIX_COMMANDS).join("postfix").exists() => {
                Some("it is not installed")
            }
            Kind::Postfix if !rustix::process::geteuid().is_root() => Some("it needs root"),
            Kind::Postfix => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Postfix => "Postfix",
            Kind::Ringpost => "ringpost",
        })
    }
}

/// A server, running or not.
pub struct Server {
    /// Which.
    pub kind: Kind,
    /// Where it takes mail.
    pub address: SocketAddr,
    /// Where it sends everything that its main.cf says nothing else of.
    pub sink: SocketAddr,
    /// Its master process, while it runs.
    pub master: u32,
    /// Everything it has.
    pub directory: PathBuf,
}

impl Server {
    /// Makes its directories and configuration; `more` is what main.cf has besides, for `sink` to
    /// be put in.
    ///
    /// # Errors
    /// What the system said.
    pub fn install(
        tool: &str,
        kind: Kind,
        more: impl Fn(SocketAddr) -> String,
    ) -> Result<Server, Box<dyn Error>> {
        let name = format!("ringpost-{tool}-{}-{kind}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        // Postfix's start looks at every file below its configuration: the queue is beside it.
        for name in ["conf", "queue", "data"] {
            std::fs::create_dir_all(directory.join(name))?;
        }
        let (address, sink) = (free_address()?, free_address()?);
        let main_cf = main_cf(&directory, sink) + &more(sink);
        std::fs::write(directory.join("conf/main.cf"), main_cf)?;
        std::fs::write(directory.join("conf/master.cf"), master_cf(address))?;
        let server = Server { kind, address, sink, master: 0, directory };
        if kind == Kind::Postfix {
            // A start after a crash has something to log before anybody logs for it.
            std::fs::write(server.directory.join("maillog"), "")?;
            server.run("chown", &["postfix", "data", "maillog"])?;
        }
        Ok(server)
    }

    /// Starts it; how long it took to the first 220.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&mut self) -> Result<Duration, Box<dyn Error>> {
        let began = Instant::now();
        match self.kind {
            Kind::Postfix => self.tool("postfix", &["start"])?,
            // What `postfix start` comes down to.
            Kind::Ringpost => self.tool("master", &["-w"])?,
        };
        let pid = std::fs::read_to_string(self.queue().join("pid/master.pid"))?;
        self.master = pid.trim().parse()?;
        wait_for_greeting(self.address, PATIENCE)
            .map_err(|error| format!("{}: {error}", self.kind))?;
        Ok(began.elapsed())
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(&mut self) -> Result<(), Box<dyn Error>> {
        match self.kind {
            Kind::Postfix => drop(self.tool("postfix", &["stop"])?),
            Kind::Ringpost => drop(self.run("kill", &["-TERM", &self.master.to_string()])?),
        }
        self.wait_until_gone(&[self.master])?;
        self.master = 0;
        Ok(())
    }

    /// Waits until some of its processes have ended.
    ///
    /// # Errors
    /// When they do not end.
    pub fn wait_until_gone(&self, pids: &[u32]) -> Result<(), Box<dyn Error>> {
        let began = Instant::now();
        while pids.iter().any(|pid| process::runs(*pid)) {
            if began.elapsed() > PATIENCE {
                return Err(format!("{} does not stop", self.kind).into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Removes what it has on disk.
    ///
    /// # Errors
    /// What the system said.
    pub fn remove(self) -> Result<(), Box<dyn Error>> {
        std::fs::remove_dir_all(&self.directory)?;
        // Who deletes many files taxes who writes next.
        self.run_anywhere("sync")?;
        std::thread::sleep(Duration::from_millis(300));
        Ok(())
    }

    /// The directory whose device is written to.
    pub fn queue(&self) -> PathBuf {
        self.directory.join("queue")
    }

    /// Writes made and messages made durable, as ringpost counts them.
    pub fn commits(&self) -> Option<(u64, u64)> {
        let mut stream = UnixStream::connect(self.queue().join("public/control")).ok()?;
        writeln!(stream, "stats").ok()?;
        let answer = std::io::read_to_string(stream).ok()?;
        let find = |name| answer.lines().find_map(|line| line.strip_prefix(name)?.parse().ok());
        Some((find("commits ")?, find("messages ")?))
    }

    /// Runs one of its commands; what it said.
    ///
    /// # Errors
    /// When it fails.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
        let program = self.program(name)?;
        let conf = self.directory.join("conf").to_string_lossy().into_owned();
        self.run(&program.to_string_lossy(), &[&["-c", &conf], arguments].concat())
    }

    /// Where one of its commands is.
    ///
    /// # Errors
    /// When nobody knows where this program is.
    pub fn program(&self, name: &str) -> std::io::Result<PathBuf> {
        Ok(match self.kind {
            Kind::Postfix => Path::new(POSTFIX_COMMANDS).join(name),
            Kind::Ringpost => std::env::current_exe()?.with_file_name(name),
        })
    }

    /// Runs a program in its directory; what it said.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(&self.directory)
            .output()
            .map_err(|error| format!("{program}: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout) + &text(&output.stderr));
        }
        let (words, said) = (arguments.join(" "), text(&output.stderr));
        Err(format!("{program} {words}: {}\n{said}", output.status).into())
    }

    fn run_anywhere(&self, program: &str) -> Result<(), Box<dyn Error>> {
        Command::new(program).status().map_err(|error| format!("{program}: {error}"))?;
        Ok(())
    }
}

impl Drop for Server {
    /// What a failure leaves running ends here; its directory stays to be looked at.
    fn drop(&mut self) {
        if self.master > 0 && process::runs(self.master) {
            self.run("kill", &["-TERM", &self.master.to_string()]).ok();
        }
    }
}

fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// One main.cf for both; Postfix is tuned with it: no flow control, enough processes and
/// concurrency.
fn main_cf(directory: &Path, sink: SocketAddr) -> String {
    let root = directory.display();
    format!(
        "compatibility_level = 3.6\nqueue_directory = {root}/queue\ndata_directory = {root}/data\n\
         maillog_file = {root}/maillog\nmaillog_file_prefixes = {root}\n\
         mail_owner = postfix\nsetgid_group = postdrop\n\
         myhostname = bench.ringpost.example\nmydestination =\nalias_maps =\nalias_database =\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\n\
         relayhost = [127.0.0.1]:{}\nsmtpd_peername_lookup = no\nenable_long_queue_ids = yes\n\
         default_process_limit = 200\nin_flow_delay = 0\nmessage_size_limit = 100000000\n\
         smtpd_client_connection_count_limit = 0\nsmtpd_client_connection_rate_limit = 0\n\
         default_destination_concurrency_limit = 50\ninitial_destination_concurrency = 20\n\
         smtp_connection_cache_on_demand = yes\n",
        sink.port()
    )
}

fn master_cf(address: SocketAddr) -> String {
    format!(
        "{address} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\ntlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
         verify unix - - n - 1 verify\nflush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\n\
         smtp unix - - n - - smtp\nrelay unix - - n - - smtp\nshowq unix n - n - - showq\n\
         error unix - - n - - error\nretry unix - - n - - error\ndiscard unix - - n - - discard\n\
         anvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n"
    )
}

//! A mail server under test: Postfix or ringpost, with the same main.cf but for the paths.

use ringpost_bench::wait_for_greeting;
use std::error::Error;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The installed Postfix.
    Postfix,
    /// The ringpost built beside this program.
    Ringpost,
}

/// A running server.
pub struct Server {
    /// Which.
    pub kind: Kind,
    /// Where it takes mail.
    pub address: SocketAddr,
    /// Where it sends everything.
    pub sink: SocketAddr,
    /// Its master process.
    pub master: u32,
    directory: PathBuf,
}

impl Server {
    /// Starts a server in a directory of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(kind: Kind) -> Result<Server, Box<dyn Error>> {
        let name = format!("ringpost-versus-{}-{kind:?}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(directory.join("queue"))?;
        std::fs::create_dir_all(directory.join("data"))?;
        let (address, sink) = (free_address()?, free_address()?);
        std::fs::write(directory.join("main.cf"), main_cf(&directory, sink))?;
        std::fs::write(directory.join("master.cf"), master_cf(address))?;
        let mut server = Server { kind, address, sink, master: 0, directory };
        if kind == Kind::Postfix {
            server.run("chown", &["postfix", "data"])?;
        }
        server.command("start")?;
        wait_for_greeting(address, PATIENCE).map_err(|error| format!("{kind:?}: {error}"))?;
        let pid = std::fs::read_to_string(server.directory.join("queue/pid/master.pid"))?;
        server.master = pid.trim().parse()?;
        Ok(server)
    }

    /// Stops it and removes its directory.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(self) -> Result<(), Box<dyn Error>> {
        self.command("stop")?;
        let deadline = Instant::now() + PATIENCE;
        while Path::new("/proc").join(self.master.to_string()).exists() {
            if Instant::now() > deadline {
                return Err(format!("{:?} does not stop", self.kind).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        std::fs::remove_dir_all(&self.directory)?;
        // A run that deletes many files taxes the next one.
        self.sync();
        Ok(())
    }

    /// The directory whose device is written to.
    pub fn queue_directory(&self) -> PathBuf {
        self.directory.join("queue")
    }

    /// Writes made and messages made durable, as ringpost counts them.
    pub fn commits(&self) -> Option<(u64, u64)> {
        let mut stream = UnixStream::connect(self.directory.join("queue/public/control")).ok()?;
        writeln!(stream, "stats").ok()?;
        let answer = std::io::read_to_string(stream).ok()?;
        let find = |name| answer.lines().find_map(|line| line.strip_prefix(name)?.parse().ok());
        Some((find("commits ")?, find("messages ")?))
    }

    fn sync(&self) {
        Command::new("sync").status().ok();
        std::thread::sleep(Duration::from_millis(300));
    }

    fn command(&self, verb: &str) -> Result<(), Box<dyn Error>> {
        let program = match self.kind {
            Kind::Postfix => PathBuf::from("/usr/sbin/postfix"),
            Kind::Ringpost => return self.master_command(verb),
        };
        let program = program.to_string_lossy().into_owned();
        let directory = self.directory.to_string_lossy().into_owned();
        self.run(&program, &["-c", &directory, verb])
    }

    /// What `postfix start` and `postfix stop` come down to.
    fn master_command(&self, verb: &str) -> Result<(), Box<dyn Error>> {
        if verb == "stop" {
            return self.run("kill", &["-TERM", &self.master.to_string()]);
        }
        let program = std::env::current_exe()?.with_file_name("master");
        let (program, directory) = (program.to_string_lossy(), self.directory.to_string_lossy());
        self.run(&program, &["-c", &directory, "-w"])
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(&self.directory)
            .output()
            .map_err(|error| format!("{program}: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("{program} {}: {}\n{text}", arguments.join(" "), output.status).into())
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

//! An installed ringpost in a directory of its own, started, stopped, and killed.

use ringpost_bench::wait_for_greeting;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long it may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked at while it stops.
const LOOK: Duration = Duration::from_millis(5);

/// The server.
pub struct Server {
    address: SocketAddr,
    directory: PathBuf,
    /// Its master process, while it runs.
    master: u32,
}

impl Server {
    /// Makes its directories and configuration.
    ///
    /// # Errors
    /// What the system said.
    pub fn install() -> Result<Server, Box<dyn Error>> {
        let name = format!("ringpost-deep-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(directory.join("queue"))?;
        std::fs::create_dir_all(directory.join("data"))?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        std::fs::write(directory.join("main.cf"), main_cf(&directory))?;
        std::fs::write(directory.join("master.cf"), master_cf(address))?;
        Ok(Server { address, directory, master: 0 })
    }

    /// The queue directory.
    pub fn queue(&self) -> PathBuf {
        self.directory.join("queue")
    }

    /// Gives what was built to the owner of the mail system, where there are owners.
    ///
    /// # Errors
    /// When chown(1) fails.
    pub fn hand_over(&self) -> Result<(), Box<dyn Error>> {
        if rustix::process::getuid().is_root() {
            self.run("chown", &["-R", "postfix", "queue/log", "data"])?;
        }
        Ok(())
    }

    /// Starts it; how long it took to the first 220.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&mut self) -> Result<Duration, Box<dyn Error>> {
        let began = Instant::now();
        let directory = self.directory.to_string_lossy().into_owned();
        self.run(&self.program("master")?, &["-c", &directory, "-w"])?;
        wait_for_greeting(self.address, PATIENCE)?;
        let taken = began.elapsed();
        let pid = std::fs::read_to_string(self.queue().join("pid/master.pid"))?;
        self.master = pid.trim().parse()?;
        Ok(taken)
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(&mut self) -> Result<(), Box<dyn Error>> {
        self.run("kill", &["-TERM", &self.master.to_string()])?;
        self.wait_until_gone()?;
        self.master = 0;
        Ok(())
    }

    /// Kills master and engine.
    ///
    /// # Errors
    /// When they do not go.
    pub fn crash(&mut self) -> Result<(), Box<dyn Error>> {
        let engine = self.engine().ok_or("no engine")?;
        self.run("kill", &["-KILL", &self.master.to_string(), &engine.to_string()])?;
        let gone = || !Path::new("/proc").join(engine.to_string()).exists();
        while !gone() {
            std::thread::sleep(LOOK);
        }
        self.wait_until_gone()
    }

    fn wait_until_gone(&self) -> Result<(), Box<dyn Error>> {
        let began = Instant::now();
        while Path::new("/proc").join(self.master.to_string()).exists() {
            if began.elapsed() > PATIENCE {
                return Err("it does not stop".into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Runs one of the commands; what it said.
    ///
    /// # Errors
    /// When it fails.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
        let directory = self.directory.to_string_lossy().into_owned();
        let arguments = [&["-c", &directory], arguments].concat();
        self.run(&self.program(name)?, &arguments)
    }

    /// The engine's memory in MiB: its share of everything mapped, and its own alone.
    ///
    /// # Errors
    /// When there is no engine, or the kernel does not say.
    pub fn memory_mib(&self) -> Result<(f64, f64), Box<dyn Error>> {
        let engine = self.engine().ok_or("there is no engine")?;
        let text = std::fs::read_to_string(format!("/proc/{engine}/smaps_rollup"))?;
        let mib = |name: &str| -> Result<f64, Box<dyn Error>> {
            let line = text.lines().find(|line| line.starts_with(name));
            let word = line.and_then(|line| line.split_whitespace().nth(1));
            Ok(word.ok_or(format!("no {name} in smaps_rollup"))?.parse::<f64>()? / 1024.0)
        };
        Ok((mib("Pss:")?, mib("Pss_Anon:")?))
    }

    fn engine(&self) -> Option<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.master);
        let text = std::fs::read_to_string(path).ok()?;
        text.split_whitespace().next()?.parse().ok()
    }

    /// Bytes of all files of the log.
    ///
    /// # Errors
    /// What the system said.
    pub fn log_bytes(&self) -> Result<u64, Box<dyn Error>> {
        let mut bytes = 0;
        for core in std::fs::read_dir(self.queue().join("log"))? {
            let Ok(files) = std::fs::read_dir(core?.path()) else { continue };
            for file in files {
                bytes += file?.metadata()?.len();
            }
        }
        Ok(bytes)
    }

    /// Makes the next start read from the disk.
    ///
    /// # Errors
    /// When this process may not.
    pub fn drop_caches(&self) -> Result<(), Box<dyn Error>> {
        self.run("sync", &[])?;
        Ok(std::fs::write("/proc/sys/vm/drop_caches", "3")?)
    }

    /// Removes its directory.
    ///
    /// # Errors
    /// What the system said.
    pub fn remove(&self) -> Result<(), Box<dyn Error>> {
        Ok(std::fs::remove_dir_all(&self.directory)?)
    }

    fn program(&self, name: &str) -> Result<String, Box<dyn Error>> {
        let path = std::env::current_exe()?.with_file_name(name);
        Ok(path.to_string_lossy().into_owned())
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
        let mut command = Command::new(program);
        let output = command
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
}

impl Drop for Server {
    /// What a failure leaves running ends here; its directory stays to be looked at.
    fn drop(&mut self) {
        if self.master > 0 {
            self.run("kill", &["-TERM", &self.master.to_string()]).ok();
        }
    }
}

fn main_cf(directory: &Path) -> String {
    let root = directory.display();
    format!(
        "compatibility_level = 3.6\nqueue_directory = {root}/queue\ndata_directory = {root}/data\n\
         maillog_file = {root}/maillog\nmaillog_file_prefixes = {root}\n\
         myhostname = deep.ringpost.example\nmydestination =\nalias_maps =\nalias_database =\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\n\
         relayhost = [127.0.0.1]:1\nsmtpd_peername_lookup = no\nenable_long_queue_ids = yes\n"
    )
}

fn master_cf(address: SocketAddr) -> String {
    format!(
        "{address} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\n\
         cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
         rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
         smtp unix - - n - - smtp\nshowq unix n - n - - showq\nerror unix - - n - - error\n\
         retry unix - - n - - error\n"
    )
}

//! `ringpost demo`: a complete ringpost in a temporary directory, a sink, a source, and what came
//! of it.
//!
//! Everything runs as the caller on free loopback ports. Some recipients are refused at first and
//! some for good, so that the queue, the retries and the notices are seen at work.

use bench::load::sink::Sink;
use bench::load::source::{Load, Source};
use std::error::Error;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tools::postqueue::entry::Entry;
use tools::postqueue::print::{Printer, Shape};

mod summary;

/// How long the server may take to start, and the last message to be delivered.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the progress line is drawn.
const TICK: Duration = Duration::from_millis(250);

/// What the demo sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many messages.
    pub messages: u64,
    /// Content bytes of each; mixed sizes when not given.
    pub size: Option<usize>,
    /// Sessions at once.
    pub sessions: u64,
}

impl Options {
    /// Reads `--messages N --size BYTES --sessions N`.
    ///
    /// # Errors
    /// The argument that is not understood.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options { messages: 20_000, size: None, sessions: 50 };
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
            let number: u64 =
                value.parse().map_err(|_| format!("{name}: not a number: {value}"))?;
            match name.as_str() {
                "--messages" if number > 0 => options.messages = number,
                "--size" => options.size = Some(number as usize),
                "--sessions" if number > 0 => options.sessions = number,
                _ => return Err(format!("unknown option: {name} {value}")),
            }
        }
        Ok(options)
    }

    fn size_of(&self, number: u64) -> usize {
        /// Most mail is small; now and then there is an attachment.
        const SIZES: [usize; 8] = [1024, 2048, 4096, 4096, 6144, 8192, 16_384, 65_536];
        self.size.unwrap_or(SIZES[(number % 8) as usize])
    }
}

/// Every hundredth recipient is refused at first, every 250th for good.
fn recipient(number: u64) -> String {
    match number {
        n if n % 250 == 7 => format!("never{n}@sink.example"),
        n if n % 100 == 3 => format!("later{n}@sink.example"),
        n => format!("user{n}@sink.example"),
    }
}

/// A running ringpost.
struct Server {
    master: Child,
    directory: PathBuf,
    address: SocketAddr,
}

/// Runs the demo.
///
/// # Errors
/// When something does not start, or mail does not arrive.
pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("ringpost-demo-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("queue"))?;
    std::fs::create_dir_all(directory.join("data"))?;
    let sink = Sink::start((Ipv4Addr::LOCALHOST, 0).into())?;
    let server = Server::start(&directory, sink.address)?;
    println!("ringpost serves at {}, the sink at {}", server.address, sink.address);
    let began = Instant::now();
    let source = Source::start(load(options, server.address))?;
    let counts = source.counts.clone();
    let mut progress = Progress::new(&server, began);
    while !source.is_done() {
        std::thread::sleep(TICK);
        progress.draw(&counts.accepted, &sink);
    }
    source.join()?;
    let accepted_after = began.elapsed();
    let settled = wait_until_settled(&mut progress, &counts.accepted, &sink);
    progress.end();
    let report = summary::Report {
        options,
        accepted: load_count(&counts.accepted),
        refused: load_count(&counts.refused),
        accepted_after,
        settled_after: began.elapsed(),
        sink: &sink.counts,
        totals: server.totals(),
    };
    report.print();
    println!("\n$ postqueue -p");
    print!("{}", server.postqueue()?);
    server.stop()?;
    sink.stop()?;
    std::fs::remove_dir_all(directory.join("queue")).ok();
    println!("\nThe mail log is {}", directory.join("maillog").display());
    if settled { Ok(()) } else { Err("not all mail has arrived; see the log".into()) }
}

fn load(options: &Options, to: SocketAddr) -> Load {
    let sizes = options.clone();
    Load {
        to,
        messages: options.messages,
        sessions: options.sessions,
        size: Arc::new(move |number| sizes.size_of(number)),
        recipient: Arc::new(recipient),
        sender: "sender@source.example".into(),
    }
}

fn load_count(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// Messages that are not in the queue any more.
fn finished(sink: &Sink) -> u64 {
    let counts = &sink.counts;
    let delivered = load_count(&counts.messages) - load_count(&counts.notices);
    delivered + load_count(&counts.refused)
}

fn wait_until_settled(progress: &mut Progress<'_>, accepted: &AtomicU64, sink: &Sink) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let counts = &sink.counts;
        let notices = load_count(&counts.notices) == load_count(&counts.refused);
        if finished(sink) >= load_count(accepted) && notices {
            return true;
        }
        std::thread::sleep(TICK);
        progress.draw(accepted, sink);
    }
    false
}

impl Server {
    fn start(directory: &Path, sink: SocketAddr) -> Result<Server, Box<dyn Error>> {
        let address = free_address()?;
        std::fs::write(directory.join("main.cf"), main_cf(directory, sink)?)?;
        std::fs::write(directory.join("master.cf"), master_cf(address))?;
        let program = std::env::current_exe()?.with_file_name("master");
        let master = Command::new(&program)
            .args(["-d", "-c"])
            .arg(directory)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let mut server = Server { master, directory: directory.to_path_buf(), address };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.master.try_wait()? {
                return Err(format!("ringpost did not start: {status}").into());
            }
            let mut greeting = String::new();
            if let Ok(stream) = TcpStream::connect(self.address) {
                stream.set_read_timeout(Some(PATIENCE))?;
                BufReader::new(stream).read_line(&mut greeting)?;
                if greeting.starts_with("220") {
                    return Ok(());
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("ringpost did not answer in time".into())
    }

    /// Writes made and messages made durable by them.
    fn totals(&self) -> (u64, u64) {
        let answer = self.ask("stats").unwrap_or_default();
        let find = |name: &str| {
            let line = answer.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            line.unwrap_or(0)
        };
        (find("commits "), find("messages "))
    }

    fn ask(&self, request: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.directory.join("queue/public/control"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        writeln!(stream, "{request}")?;
        std::io::read_to_string(stream)
    }

    /// What `postqueue -p` prints.
    fn postqueue(&self) -> std::io::Result<String> {
        let stream = UnixStream::connect(self.directory.join("queue/public/showq"))?;
        let listing = std::io::read_to_string(stream)?;
        let mut printer = Printer::new(Shape::Long, &|_| 0);
        let entries = listing.lines().filter_map(|line| Entry::parse(line).ok());
        let mut text: String = entries.map(|entry| printer.entry(&entry)).collect();
        if text.is_empty() {
            return Ok("Mail queue is empty\n".into());
        }
        text.push_str(&printer.footer());
        Ok(text)
    }

    fn stop(mut self) -> Result<(), Box<dyn Error>> {
        let id = self.master.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let status = self.master.wait()?;
        if status.success() { Ok(()) } else { Err(format!("master ended with {status}").into()) }
    }
}

fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn main_cf(directory: &Path, sink: SocketAddr) -> Result<String, Box<dyn Error>> {
    let owner = text_of("id", &["-un"])?;
    let group = text_of("id", &["-gn"])?;
    let root = directory.display();
    Ok(format!(
        "compatibility_level = 3.6\nqueue_directory = {root}/queue\ndata_directory = {root}/data\n\
         maillog_file = {root}/maillog\nmaillog_file_prefixes = {root}\n\
         mail_owner = {owner}\nsetgid_group = {group}\n\
         myhostname = demo.ringpost.example\nmydestination =\ninet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\nmynetworks = 127.0.0.0/8\nrelayhost = [127.0.0.1]:{}\n\
         smtpd_peername_lookup = no\nenable_long_queue_ids = yes\n\
         minimal_backoff_time = 1s\nmaximal_backoff_time = 4s\nqueue_run_delay = 1s\n",
        sink.port()
    ))
}

fn text_of(program: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new(program).args(arguments).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_string())
}

fn master_cf(address: SocketAddr) -> String {
    format!(
        "{address} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
         smtp unix - - n - - smtp\nrelay unix - - n - - smtp\nshowq unix n - n - - showq\n\
         error unix - - n - - error\nretry unix - - n - - error\ndiscard unix - - n - - discard\n"
    )
}

/// The live line.
struct Progress<'a> {
    server: &'a Server,
    began: Instant,
    last: Instant,
    accepted: u64,
    finished: u64,
    live: bool,
}

impl<'a> Progress<'a> {
    fn new(server: &'a Server, began: Instant) -> Progress<'a> {
        let live = std::io::stdout().is_terminal();
        Progress { server, began, last: began, accepted: 0, finished: 0, live }
    }

    fn draw(&mut self, accepted: &AtomicU64, sink: &Sink) {
        let (accepted, finished) = (load_count(accepted), finished(sink));
        let seconds = self.last.elapsed().as_secs_f64();
        let per_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let (commits, messages) = self.server.totals();
        let line = format!(
            "{:6.1} s  accepted {:7.0}/s  delivered {:7.0}/s  in the queue {:6}  \
             messages per commit {:5.1}",
            self.began.elapsed().as_secs_f64(),
            per_second(accepted, self.accepted),
            per_second(finished, self.finished),
            accepted.saturating_sub(finished),
            messages as f64 / commits.max(1) as f64,
        );
        if self.live {
            print!("\r{line}");
            std::io::stdout().flush().ok();
        } else {
            println!("{line}");
        }
        (self.last, self.accepted, self.finished) = (Instant::now(), accepted, finished);
    }

    fn end(&self) {
        if self.live {
            println!();
        }
    }
}

//! What an operator waits for when the queue is long: one column of the table.

use crate::server::{crash, disk_bytes, drop_caches, memory_mib};
use ringpost_bench::server::Server;
use std::error::Error;
use std::time::{Duration, Instant};

/// How long a server may settle before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(3);

/// A name and a figure for each row.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<(&'static str, String)>);

impl Figures {
    /// One more row.
    pub fn push(&mut self, name: &'static str, figure: String) {
        eprintln!("  {name}: {figure}");
        self.0.push((name, figure));
    }

    /// Starts, lists, kills, starts, stops, starts and empties a server with that many messages.
    ///
    /// # Errors
    /// When it does not do its part.
    pub fn take(
        &mut self,
        server: &mut Server,
        messages: u64,
        cold: bool,
    ) -> Result<(), Box<dyn Error>> {
        self.start(server, cold, "first start, to 220")?;
        self.memory(server, "memory after it")?;
        self.list(server, messages, "postqueue -p | tail -1")?;
        self.list(server, messages, "the same again")?;
        self.memory(server, "memory after that")?;
        crash(server)?;
        self.start(server, cold, "start after a crash, to 220")?;
        self.memory(server, "memory after it")?;
        server.stop()?;
        self.start(server, cold, "start after an orderly stop, to 220")?;
        self.push("queue on disk", format!("{} MiB", disk_bytes(&server.queue())? >> 20));
        let began = Instant::now();
        server.tool("postsuper", &["-d", "ALL"])?;
        self.push("postsuper -d ALL", seconds(began.elapsed()));
        self.memory(server, "memory after it")?;
        self.push("queue on disk", format!("{} MiB", disk_bytes(&server.queue())? >> 20));
        Ok(())
    }

    fn start(
        &mut self,
        server: &mut Server,
        cold: bool,
        name: &'static str,
    ) -> Result<(), Box<dyn Error>> {
        if cold {
            drop_caches(server)?;
        }
        self.push(name, seconds(server.start()?));
        Ok(())
    }

    fn list(
        &mut self,
        server: &Server,
        messages: u64,
        name: &'static str,
    ) -> Result<(), Box<dyn Error>> {
        let began = Instant::now();
        let said = server.tool("postqueue", &["-p"])?;
        let last = said.lines().last().unwrap_or_default();
        self.push(name, seconds(began.elapsed()));
        match last.contains(&format!("in {messages} Requests")) {
            true => Ok(()),
            false => Err(format!("not all messages are listed: {last}").into()),
        }
    }

    fn memory(&mut self, server: &Server, name: &'static str) -> Result<(), Box<dyn Error>> {
        std::thread::sleep(SETTLE);
        let (all, own) = memory_mib(server)?;
        self.push(name, format!("{all:.1} MiB (own {own:.1})"));
        Ok(())
    }
}

/// A time as the table shows it.
pub fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Prints columns side by side; they have the same rows.
pub fn print(columns: &[(String, Figures)]) {
    let line = |name: &str, of: &dyn Fn(&(String, Figures)) -> String| {
        let values: String = columns.iter().map(|column| format!("{:>32}", of(column))).collect();
        println!("  {name:<38}{values}");
    };
    line("", &|column| column.0.clone());
    let Some((_, Figures(first))) = columns.first() else { return };
    for (at, (name, _)) in first.iter().enumerate() {
        line(name, &|(_, figures)| figures.0.get(at).map_or("", |row| &row.1).to_owned());
    }
}

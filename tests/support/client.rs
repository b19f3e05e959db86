//! An SMTP client that says what it is told and shows what comes back.

use super::PATIENCE;
use rustix::net::{self, AddressFamily, SocketType};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};

/// One session.
pub struct Client {
    stream: BufReader<TcpStream>,
    /// The greeting, without its line end.
    pub greeting: String,
}

impl Client {
    /// Connects, and waits for the greeting.
    pub fn connect(port: u16) -> io::Result<Client> {
        let mut client = Client { stream: BufReader::new(dial(port)?), greeting: String::new() };
        client.greeting = client.reply()?;
        Ok(client)
    }

    /// The same from another address of this host.
    pub fn connect_from(source: Ipv4Addr, port: u16) -> io::Result<Client> {
        let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        net::bind(&socket, &SocketAddrV4::new(source, 0))?;
        net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
        let stream = ready(TcpStream::from(socket))?;
        let mut client = Client { stream: BufReader::new(stream), greeting: String::new() };
        client.greeting = client.reply()?;
        Ok(client)
    }

    /// Connects without waiting.
    pub fn silent(port: u16) -> io::Result<Client> {
        Ok(Client { stream: BufReader::new(dial(port)?), greeting: String::new() })
    }

    /// The next reply; its lines are joined by `\n`.
    pub fn reply(&mut self) -> io::Result<String> {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            reply.push_str(line.trim_end());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(reply);
            }
            reply.push('\n');
        }
    }

    /// Sends bytes as they are.
    pub fn say(&mut self, bytes: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_bytes())
    }

    /// A command line and its reply.
    pub fn ask(&mut self, line: &str) -> io::Result<String> {
        self.say(&format!("{line}\r\n"))?;
        self.reply()
    }

    /// A whole message; the first reply that is not a success, or the last one.
    pub fn send(&mut self, from: &str, to: &str, content: &str) -> io::Result<String> {
        for (line, code) in [
            (format!("MAIL FROM:<{from}>"), "250"),
            (format!("RCPT TO:<{to}>"), "250"),
            ("DATA".to_string(), "354"),
        ] {
            let reply = self.ask(&line)?;
            if !reply.starts_with(code) {
                return Ok(reply);
            }
        }
        self.ask(&format!("{content}\r\n."))
    }
}

fn dial(port: u16) -> io::Result<TcpStream> {
    ready(TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), PATIENCE)?)
}

fn ready(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends one message in a session of its own.
///
/// # Panics
/// When it is not taken.
#[track_caller]
pub fn submit(port: u16, from: &str, to: &str, subject: &str) {
    let reply = try_submit(port, from, to, subject).expect("the system serves");
    assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
}

/// The same while engines come and go: as any client does, it comes again when it is cut off. What
/// was taken just before that comes twice.
///
/// # Panics
/// When it is refused.
#[track_caller]
pub fn submit_again(port: u16, from: &str, to: &str, subject: &str) {
    super::wait("the message to be taken", || {
        let reply = try_submit(port, from, to, subject);
        reply.is_ok_and(|reply| reply.starts_with("250 2.0.0 Ok: queued as "))
    });
}

/// The reply to the content, or to what came before it.
fn try_submit(port: u16, from: &str, to: &str, subject: &str) -> io::Result<String> {
    let mut client = Client::connect(port)?;
    assert!(client.ask("EHLO client.example")?.starts_with("250"));
    let content = format!("From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\r\nText");
    let reply = client.send(from, to, &content)?;
    assert!(client.ask("QUIT")?.starts_with("221"));
    Ok(reply)
}

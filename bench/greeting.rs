//! Whether a mail server serves yet.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How often it is asked: the precision of a start that is timed.
const LOOK: Duration = Duration::from_millis(5);

/// Returns when `address` greets with 220.
///
/// # Errors
/// When it has not within `patience`, or breaks a connection off that it took.
pub fn wait_for_greeting(address: SocketAddr, patience: Duration) -> io::Result<()> {
    let began = Instant::now();
    while began.elapsed() < patience {
        if let Ok(mut stream) = TcpStream::connect(address) {
            let mut greeting = String::new();
            stream.write_all(b"QUIT\r\n")?;
            BufReader::new(stream).read_line(&mut greeting)?;
            if greeting.starts_with("220") {
                return Ok(());
            }
        }
        std::thread::sleep(LOOK);
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")))
}

//! For tests: configuration files, warnings that were heard, and servers that follow a script.

use std::sync::{Arc, Mutex};

use tables::catalog::Name;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::Client;
use crate::cf::Setting;

/// A file that is gone when this is.
pub(crate) struct CfFile {
    pub path: String,
    _file: NamedTempFile,
}

pub(crate) fn cf_file(text: &str) -> CfFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    CfFile { path: file.path().to_str().unwrap().to_owned(), _file: file }
}

pub(crate) fn name(kind: &str, path: &str) -> Name {
    Name { kind: kind.to_owned(), path: path.to_owned() }
}

/// Warnings.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub fn setting(&self) -> Setting<'static> {
        let heard = self.0.clone();
        let warn = move |text: &str| heard.lock().unwrap().push(text.to_owned());
        Setting { main_cf: &|_| None, warn: Arc::new(warn) }
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Opens a table of `kind` with a file of `text`.
pub(crate) fn open(kind: &str, text: &str) -> (Client, CfFile, Heard) {
    let (file, heard) = (cf_file(text), Heard::default());
    let client = Client::open_in(&name(kind, &file.path), &heard.setting()).unwrap();
    (client, file, heard)
}

/// Why such a table cannot be opened, without the file's name.
pub(crate) fn refused(kind: &str, text: &str) -> String {
    let file = cf_file(text);
    let bad = Client::open(&name(kind, &file.path)).expect_err("a mistake").0;
    bad.replace(&file.path, "FILE")
}

/// What a server does with what it has read.
#[derive(Clone)]
pub(crate) enum Act {
    /// Says this.
    Say(Vec<u8>),
    /// Says this and hangs up.
    Last(Vec<u8>),
    /// Never answers.
    Wait,
}

pub(crate) fn say(text: impl AsRef<[u8]>) -> Act {
    Act::Say(text.as_ref().to_vec())
}

/// A server on loopback that does one act per request, in their order, over all connections.
pub(crate) struct Server {
    pub port: u16,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    pub async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = requests.clone();
        tokio::spawn(async move {
            let mut acts = acts.into_iter();
            'next: while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    heard.lock().unwrap().push(buffer[..length].to_vec());
                    match acts.next() {
                        Some(Act::Say(text)) => stream.write_all(&text).await.unwrap(),
                        Some(Act::Last(text)) => {
                            stream.write_all(&text).await.unwrap();
                            continue 'next;
                        }
                        Some(Act::Wait) => std::future::pending().await,
                        None => continue 'next,
                    }
                }
            }
        });
        Self { port, requests }
    }

    /// What was asked, in its order.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

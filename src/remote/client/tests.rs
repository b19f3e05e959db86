//! What holds for tables of all types.

use super::*;
use crate::pool::CONNECTIONS_MAX;
use crate::testing::{Heard, cf_file, name};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

fn is_shared<T: Send + Sync>(_: &T) {}
fn is_sent<T: Send>(_: &T) {}

#[test]
fn a_client_is_shared_and_its_lookups_are_sent() {
    let client = Client::open(&name("tcp", "127.0.0.1:1")).unwrap();
    is_shared(&client);
    is_sent(&client.lookup(b"k"));
    assert_eq!(format!("{client:?}"), "Client tcp:127.0.0.1:1");
    assert_eq!(client.keep(), Duration::ZERO);
}

#[test]
fn types_of_others_are_refused() {
    let bad = Client::open(&name("nosuch", "x")).unwrap_err();
    assert_eq!(bad.0, "unsupported dictionary type: nosuch");
}

/// A table of `kind` whose server is at `port`; nothing where the type is left out.
fn client(kind: &str, port: u16) -> Option<Client> {
    let file = cf_file(&cf_text(kind, port).unwrap_or_default());
    let name = match kind {
        "socketmap" => name(kind, &format!("inet:127.0.0.1:{port}:map")),
        "tcp" => name(kind, &format!("127.0.0.1:{port}")),
        _ => name(kind, &file.path),
    };
    match Client::open_in(&name, &Heard::default().setting()) {
        Err(bad) if bad.0.starts_with("unsupported dictionary type") => None,
        opened => Some(opened.unwrap()),
    }
}

/// A server that says `greeting` to whoever connects, and hangs up.
async fn rude(greeting: Vec<u8>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let visitors = Arc::new(AtomicUsize::new(0));
    let seen = visitors.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            seen.fetch_add(1, Relaxed);
            // The visitor may be gone already, which is no matter.
            let _gone = stream.write_all(&greeting).await;
        }
    });
    (port, visitors)
}

/// A .cf file of `kind` for a server at `port`; nothing if the type has none.
fn cf_text(kind: &str, port: u16) -> Option<String> {
    let sql = format!("hosts = 127.0.0.1:{port}\nuser = u\ndbname = d\nquery = select '%s'\n");
    match kind {
        "memcache" => Some(format!("memcache = inet:127.0.0.1:{port}\nmax_try = 1\n")),
        "mysql" | "pgsql" => Some(sql),
        "ldap" => Some(format!("server_host = 127.0.0.1:{port}\nsearch_base = dc=x\n")),
        "redis" => Some(format!("hosts = inet:127.0.0.1:{port}\n")),
        _ => None,
    }
}

#[tokio::test]
async fn a_server_that_is_none_is_a_temporary_failure() {
    let greetings: [&[u8]; 4] = [b"", b"\0\0\0\0\0\0\0\0", b"220 hello\r\n", &[0xff; 300]];
    for kind in ["memcache", "mysql", "pgsql", "ldap", "redis", "socketmap"] {
        for greeting in greetings {
            let (port, visitors) = rude(greeting.to_vec()).await;
            let Some(client) = client(kind, port) else { continue };
            for _ in 0..2 {
                let answer = client.lookup(b"a@b.c").await;
                assert!(matches!(answer, Answer::Retry(_)), "{kind} {greeting:?}: {answer:?}");
            }
            assert!(visitors.load(Relaxed) > 0, "{kind}");
        }
    }
}

/// The clock runs ahead whenever all wait: limits of minutes are over at once.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // The system accepts for it; nobody ever reads.
    for kind in ["memcache", "mysql", "pgsql", "ldap", "redis", "socketmap", "tcp"] {
        let Some(client) = client(kind, port) else { continue };
        let began = tokio::time::Instant::now();
        let answer = client.lookup(b"a@b.c").await;
        assert!(matches!(answer, Answer::Retry(_)), "{kind}: {answer:?}");
        assert!(began.elapsed() <= LOOKUP_LIMIT, "{kind}: {:?}", began.elapsed());
    }
    drop(listener);
}

/// A socketmap server on threads, which lives as long as the test; how many connections it had.
fn polite() -> (u16, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = connections.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            seen.fetch_add(1, Relaxed);
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                while stream.read(&mut buffer).is_ok_and(|length| length > 0) {
                    stream.write_all(b"4:OK v,").unwrap();
                }
            });
        }
    });
    (port, connections)
}

#[test]
fn many_ask_at_once_through_few_connections_and_then_on_another_loop() {
    let (port, connections) = polite();
    let client = Arc::new(client("socketmap", port).unwrap());
    for loops in 1..=2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let lookup = |number: u8| {
            let client = client.clone();
            runtime.spawn(async move { client.lookup(&[number]).await })
        };
        let asked: Vec<_> = (1..=100).map(lookup).collect();
        for question in asked {
            assert_eq!(runtime.block_on(question).unwrap(), Answer::Found(b"v".into()));
        }
        let had = connections.load(Relaxed);
        assert!((1..=CONNECTIONS_MAX * loops).contains(&had), "{had} connections");
    }
}

/// What is set of a table in main.cf is told from a mistake by a list that `config` has.
#[test]
fn every_parameter_that_a_table_reads_is_known() {
    let values = |name: &str| {
        let name = name.trim_start_matches("ours_");
        let filled = ["dbname", "dbpath", "query", "key", "search_base", "option_file"];
        filled.contains(&name).then(|| "/x".to_owned())
    };
    let answers: [tables::catalog::Parameters<'_>; 5] =
        [&|_| None, &|_| Some("5".to_owned()), &|_| Some("yes".to_owned()), &values, &|name| {
            values(name).or_else(|| name.ends_with("start_tls").then(|| "yes".to_owned()))
        }];
    for kind in
        tables::catalog::REMOTE.into_iter().filter(|kind| !["socketmap", "tcp"].contains(kind))
    {
        let known: Vec<String> =
            config::check::database::prefixed_parameters(kind, "ours").collect();
        let name = Name { kind: kind.to_owned(), path: "ours".to_owned() };
        for answer in answers {
            let read = |parameter: &str| {
                assert!(known.iter().any(|known| known == parameter), "{kind}: {parameter}");
                answer(parameter)
            };
            let setting = Setting { main_cf: &read, ..crate::cf::silent() };
            // Some of it is a mistake, which is not the point.
            let _table = Client::open_in(&name, &setting);
        }
    }
}

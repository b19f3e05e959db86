//! Replies as Postfix 3.7 takes them, from servers that follow a script.

use super::*;
use crate::testing::{Act, Heard, Server, open, refused, say};
use proptest::prelude::*;

async fn ask(acts: Vec<Act>, cf: &str, key: &str) -> (Answer, Server, Heard) {
    let server = Server::start(acts).await;
    let text = format!("memcache = inet:127.0.0.1:{}\nmax_try = 1\n{cf}", server.port);
    let (client, file, heard) = open("memcache", &text);
    let answer = match client.lookup(key.as_bytes()).await {
        Answer::Retry(why) => Answer::Retry(why.replace(&file.path, "FILE")),
        answer => answer,
    };
    (answer, server, heard)
}

fn found(value: &str) -> Answer {
    Answer::Found(value.into())
}

#[tokio::test]
async fn a_value_is_found_under_its_formatted_key() {
    let value = "VALUE pre:k 0 3\r\nabc\r\nEND\r\n";
    let (answer, server, _) = ask(vec![say(value)], "key_format = pre:%s\n", "k").await;
    assert_eq!(answer, found("abc"));
    assert_eq!(server.requests(), ["get pre:k\r\n"]);
    assert_eq!(ask(vec![say("END\r\n")], "", "k").await.0, Answer::NotFound);
    assert_eq!(ask(vec![say("VALUE k 0 0\r\n\r\nEND\r\n")], "", "k").await.0, found(""));
}

#[tokio::test]
async fn keys_that_memcache_cannot_have_are_not_asked_for() {
    for key in ["a b", "\u{7f}", "a\n", &"x".repeat(251), ""] {
        let (answer, server, _) = ask(vec![say("END\r\n")], "", key).await;
        assert_eq!((answer, server.requests().len()), (Answer::NotFound, 0));
    }
}

#[tokio::test]
async fn other_replies_are_temporary_failures() {
    let unexpected = "FILE: unexpected memcache server reply: ";
    for (reply, why) in [
        ("ERROR\r\n", format!("{unexpected}ERROR")),
        ("SERVER_ERROR out\r\n", format!("{unexpected}SERVER_ERROR out")),
        ("VALUE k 0 x\r\nabc\r\nEND\r\n", format!("{unexpected}VALUE k 0 x")),
        ("VALUE k 0 5\r\nabcde\r\nEND\r\n", format!("{unexpected}VALUE k 0 5")),
        ("VALUE k 0 3\r\nabcd\r\nEND\r\n", "FILE: EOF receiving memcache server reply".into()),
    ] {
        let (answer, ..) = ask(vec![say(reply)], "data_size_limit = 4\n", "k").await;
        assert_eq!(answer, Answer::Retry(why), "{reply}");
    }
    let long = format!("VALUE {} 0 1\r\n", "k".repeat(2000));
    let (answer, ..) = ask(vec![say(long)], "", "k").await;
    assert_eq!(answer, Answer::Retry("database memcache:FILE: I/O error: line too long".into()));
    let odd = "VALUE k 0 3\r\nabc\r\nFOO\r\n";
    assert_eq!(ask(vec![say(odd)], "", "k").await.0, found("abc"));
}

/// A table whose waits are over at once.
fn hasty(port: u16, time: Duration) -> Memcache {
    let file = crate::testing::cf_file(&format!("memcache = inet:127.0.0.1:{port}\n"));
    let name = crate::testing::name("memcache", &file.path);
    let mut table = Memcache::open(&name, &Heard::default().setting()).unwrap();
    (table.limits.pause, table.limits.time) = (Duration::ZERO, time);
    table
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = Server::start(vec![Act::Wait]).await;
    let mut table = hasty(server.port, Duration::from_millis(100));
    table.limits.tries = 1;
    let Answer::Retry(why) = table.lookup(b"k").await else { panic!("an answer") };
    assert!(why.starts_with("database memcache:") && why.ends_with(": timeout"), "{why}");
}

#[tokio::test]
async fn a_command_is_tried_again_on_a_new_connection() {
    let value = "VALUE k 0 1\r\nv\r\nEND\r\n";
    let server = Server::start(vec![Act::Last(Vec::new()), say(value)]).await;
    let table = hasty(server.port, Duration::from_secs(60));
    assert_eq!(table.lookup(b"k").await, found("v"));
}

#[tokio::test]
async fn what_the_backup_has_goes_into_the_cache() {
    let text = "backup = static:foo\nttl = 7\nkey_format = p:%s\n";
    let (answer, server, heard) = ask(vec![say("END\r\n"), say("STORED\r\n")], text, "k").await;
    assert_eq!(answer, found("foo"));
    assert_eq!(server.requests(), ["get p:k\r\n", "set p:k 0 7 3\r\nfoo\r\n"]);
    assert!(heard.all().is_empty());
    let (client, ..) = open("memcache", "memcache = inet:127.0.0.1:1\nbackup = static:foo\n");
    assert_eq!(client.lookup(b"k").await, found("foo"));
    let (answer, ..) = ask(vec![say("END\r\n")], "backup = fail:x\n", "k").await;
    assert_eq!(answer, Answer::Retry("Application error".into()));
}

#[test]
fn mistakes_are_told_as_postfix_tells_them() {
    let need = "need service transport:endpoint instead of \"foo\"";
    assert_eq!(refused("memcache", "memcache = foo\n"), need);
    let least = "FILE: invalid max_try parameter value 0 < 1";
    assert_eq!(refused("memcache", "max_try = 0\n"), least);
    let number = "FILE: bad numerical configuration: timeout = x";
    assert_eq!(refused("memcache", "timeout = x\n"), number);
    assert_eq!(refused("memcache", "backup = nosuch:x\n"), "unsupported dictionary type: nosuch");
}

proptest! {
    #[test]
    fn any_line_is_read(line in "(VALUE )?[ -~]{0,30}", number in any::<u64>()) {
        fuzz(line.as_bytes());
        let line = format!("VALUE k 0 {number}");
        prop_assert_eq!(value_bytes(line.as_bytes()), Some(number as usize));
    }
}

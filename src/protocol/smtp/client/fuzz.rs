//! The fuzz target of the client's dialogue: any server, any pieces.

use super::{EhloUse, Ending, Handshake, Hello, Manner, Quoting, Resumed, Session, Verdict, Want};
use crate::smtp::ehlo::Keywords;
use alloc::string::String;
use alloc::sync::Arc;
use mail::envelope::{Encoding, Ret, notify};
use mail::{Address, Envelope, Recipient};

/// Transactions of one connection.
const TRANSACTIONS_MAX: usize = 3;
/// The most that is sent at a time: a transaction's commands for [`RECIPIENTS`] recipients.
const SEND_MAX: usize = 2048;
const RECIPIENTS: usize = 3;

/// Lines of a server that means it, for scripts.
const LINES: [&[u8]; 16] = [
    b"220 mx.b.example ESMTP\r\n",
    b"250 2.0.0 Ok\r\n",
    b"250-mx.b.example\r\n",
    b"250-PIPELINING\r\n",
    b"250-SIZE 100\r\n",
    b"250-8BITMIME\r\n",
    b"250-DSN\r\n",
    b"250 SMTPUTF8\r\n",
    b"354 go on\r\n",
    b"421 4.3.2 closing\r\n",
    b"450 4.2.0 later\r\n",
    b"550 5.1.1 no\r\n",
    b"550-5.1.1 no,\n",
    b"220 client.example\r\n",
    b"x\r\n",
    b"25",
];

/// Runs a dialogue with a server that says `data`: the first byte chooses the manner, the second
/// the size of the pieces and the message. Panics when an invariant of the dialogue does not hold.
pub fn fuzz_smtp_client(data: &[u8]) {
    let [choice, size, said @ ..] = data else { return };
    let lines = || said.iter().flat_map(|byte| LINES[usize::from(byte & 15)]).copied();
    let said = if choice & 16 == 0 { said.to_vec() } else { lines().collect() };
    resume(*choice, *size, &said);
    let mut session = Session::new(Arc::new(hello(*choice)));
    let envelope = envelope(*size);
    let ending = if choice & 1 == 0 { Ending::Quit } else { Ending::Keep };
    let mut pieces = said.chunks(usize::from(*size).max(1));
    let mut begun = 0;
    loop {
        match session.poll() {
            Want::Send(bytes) => check_sent(&bytes),
            Want::Content(_) => {
                let accepted = session.progress().recipients.contains(&Verdict::Accepted);
                assert!(accepted, "content goes out only when somebody wants it");
                session.content_sent();
            }
            Want::Reply(_) => {
                let Some(piece) = pieces.next() else { return };
                if session.handle_bytes(piece).is_err() {
                    return;
                }
            }
            Want::Nothing if *session.handshake() == Handshake::Ready => {
                if begun == TRANSACTIONS_MAX || !session.is_reusable() {
                    return;
                }
                begun += 1;
                let manner = Manner { quoting: Quoting::Rfc5321, ending };
                session.begin(&envelope, envelope.recipients.iter(), manner);
            }
            Want::Nothing => return,
        }
    }
}

/// The same server to a dialogue that another process has begun.
fn resume(choice: u8, size: u8, said: &[u8]) {
    let keywords = if choice & 64 == 0 { Keywords::PIPELINING } else { Keywords::DSN };
    let quit_sent = choice & 128 != 0;
    let from = Resumed { recipients: RECIPIENTS, keywords, quit_sent, answer: None };
    let mut session = Session::resume(Arc::new(hello(choice)), from);
    let (mut pieces, mut quits) = (said.chunks(usize::from(size).max(1)), u8::from(quit_sent));
    loop {
        match session.poll() {
            Want::Send(bytes) => {
                assert_eq!(bytes, b"QUIT\r\n", "there is nothing else to say");
                quits += 1;
            }
            Want::Content(_) => unreachable!("it was sent"),
            Want::Reply(_) => {
                let taken = pieces.next().map(|piece| session.handle_bytes(piece));
                if !matches!(taken, Some(Ok(()))) {
                    break;
                }
            }
            Want::Nothing => break,
        }
    }
    let end = session.progress().end.as_ref();
    assert!(end.is_none_or(|said| said.code != 221), "the answer to something else");
    assert!(quits <= 1 && !session.is_reusable());
}

fn hello(choice: u8) -> Hello {
    Hello {
        name: String::from("client.example"),
        myhostname: String::from("mx.example"),
        ehlo: if choice & 2 == 0 { EhloUse::Always } else { EhloUse::WhenGreeted },
        discard: if choice & 32 == 0 { Keywords::default() } else { Keywords::PIPELINING },
        detect_loops: choice & 4 != 0,
        wait_for_quit: choice & 8 != 0,
    }
}

fn envelope(choice: u8) -> Envelope {
    let mut recipient = Recipient::new(Address::from_internal(b"a b@b.example"));
    recipient.notify = if choice & 1 == 0 { notify::NEVER } else { notify::ALL & !notify::NEVER };
    Envelope {
        sender: Address::from_internal(b"sender@client.example"),
        recipients: alloc::vec![recipient; RECIPIENTS],
        envid: (choice & 2 != 0).then(|| b"id+2B".to_vec()),
        ret: (choice & 4 != 0).then_some(Ret::Headers),
        encoding: (choice & 8 != 0).then_some(Encoding::EightBit),
        smtputf8: choice & 16 != 0,
        ..Envelope::default()
    }
}

fn check_sent(bytes: &[u8]) {
    assert!(bytes.len() <= SEND_MAX, "a transaction's commands are short");
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\r\n").expect("commands are whole lines");
        assert!(!text.iter().any(u8::is_ascii_control), "one line");
    }
}

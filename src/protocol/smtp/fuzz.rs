//! Bodies of the fuzz targets `smtp_session` and `reply`: any bytes, in any pieces.
//!
//! The oracle is the same input in one piece: how the network cuts a dialogue must never change
//! what is said or stored. Called by the fuzz workspace and by the replay of its inputs.
//!
//! Diagnostics: a panic is our bug. Limits: [`INPUT_MAX`], [`OUTPUT_PER_STEP_MAX`].

use super::client::replies::{REPLY_BYTES_MAX, Said, first};
use super::data::{BareNewline, Findings};
use super::ehlo::Keywords;
use super::reply::Reply;
use super::server::{Event, Limits, Session, Settings};
use alloc::string::String;
use alloc::vec::Vec;

/// Input beyond this is not looked at: enough for lines that are too long to wait for.
const INPUT_MAX: usize = 128 << 10;
/// A command line is cut here.
const COMMAND_LINE: usize = 2048;
/// The most one step may have to say: an echoed command line, or the answer to EHLO.
const OUTPUT_PER_STEP_MAX: usize = 2 * COMMAND_LINE + 1024;

/// What happened in one dialogue.
#[derive(Debug, Default, PartialEq, Eq)]
struct Dialogue {
    /// All events but those that only say how far the input went.
    events: Vec<Event>,
    /// Content of finished messages.
    messages: Vec<(Vec<u8>, Findings)>,
    output: Vec<u8>,
}

/// Holds a dialogue with a client that says `data`, in one piece and in many: the first byte
/// chooses the server's settings, the second its answers, the third the pieces.
///
/// # Panics
/// When the pieces change the dialogue, when output is out of proportion, or when stored content
/// could be mistaken for an end of data.
pub fn fuzz_smtp_session(data: &[u8]) {
    let [choice, answers, seed, said @ ..] = data else { return };
    let said = &said[..said.len().min(INPUT_MAX)];
    let server = Server { settings: settings(*choice), choice: *choice, answers: *answers };
    let whole = server.hold(core::iter::once(said));
    let cut = server.hold(pieces(said, *seed));
    assert_eq!(whole, cut, "pieces do not change a dialogue");
    let stored: usize = whole.messages.iter().map(|(content, _)| content.len()).sum();
    assert!(stored <= 2 * said.len() + 2 * whole.messages.len(), "content grows by line ends only");
    whole.messages.iter().for_each(|(content, _)| check_wire_form(content));
}

/// Content has no bare CR or LF, ends with a line end, and no line is a dot or is not stuffed.
///
/// # Panics
/// When that does not hold.
pub fn check_wire_form(content: &[u8]) {
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\r\n").expect("every line ends with CRLF");
        assert!(!text.contains(&b'\r'), "no bare CR");
        assert!(text.first() != Some(&b'.') || text.get(1) == Some(&b'.'), "dots are stuffed");
    }
}

struct Server {
    settings: Settings,
    choice: u8,
    answers: u8,
}

fn settings(choice: u8) -> Settings {
    let offered = ["PIPELINING", "SIZE", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING"];
    let offered = offered.iter().filter_map(|name| Keywords::named(name));
    Settings {
        hostname: "mx.example".into(),
        keywords: offered.fold(Keywords::default(), Keywords::with),
        limits: Limits {
            hard_errors: 20,
            junk_commands: 10,
            recipients: 3,
            recipient_overshoot: 1,
            command_line: COMMAND_LINE,
            message_size: 4096,
        },
        helo_required: choice & 4 != 0,
        vrfy_disabled: choice & 8 != 0,
        forbidden: alloc::vec![String::from("GET")],
        noop: alloc::vec![String::from("PING")],
        soft_bounce: choice & 16 != 0,
        forbid_pipelining: false,
        paths: super::path::Rules {
            is_strict: choice & 32 != 0,
            is_strict_utf8: choice & 64 != 0,
            allows_hyphen: false,
            takes_numeric_domain: false,
            takes_null_domain: false,
        },
    }
}

impl Server {
    fn hold<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>) -> Dialogue {
        let policy = match self.choice & 3 {
            0 => BareNewline::Accept,
            1 => BareNewline::Reject,
            _ => BareNewline::Normalize,
        };
        let mut session = Session::new(policy);
        let mut dialogue = Dialogue::default();
        let (mut input, mut content) = (Vec::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            let mut used = 0;
            loop {
                let (step, event) = session.step(&self.settings, &input[used..], &mut content);
                used += step;
                assert!(used <= input.len(), "a step uses what there is");
                match event {
                    Event::NeedInput => break,
                    Event::Again | Event::Content => {}
                    event if self.answer(&mut session, &event, &mut content, &mut dialogue) => {
                        dialogue.events.push(event);
                    }
                    event => {
                        dialogue.events.push(event);
                        return dialogue;
                    }
                }
                take_output(&mut session, &mut dialogue);
            }
            take_output(&mut session, &mut dialogue);
            input.drain(..used);
        }
        dialogue
    }

    /// Whether the dialogue goes on.
    fn answer(
        &self,
        session: &mut Session,
        event: &Event,
        content: &mut Vec<u8>,
        dialogue: &mut Dialogue,
    ) -> bool {
        let refused = self.answers >> (dialogue.events.len() % 8) & 1 != 0;
        match event {
            Event::Close(_) => {
                take_output(session, dialogue);
                return false;
            }
            Event::Reset => {}
            Event::EndOfData => {
                let findings = session.findings();
                dialogue.messages.push((core::mem::take(content), findings));
                let text = if refused { "451 4.3.0 Error" } else { "250 2.0.0 Ok: queued" };
                session.finish(&self.settings, Reply::fixed(text));
            }
            _ if refused => {
                let closing = session.refuse(&self.settings, Reply::fixed("550 5.7.1 Refused"));
                assert!(closing.is_none(), "a 550 does not close");
            }
            Event::Helo => session.answer_helo(&self.settings, Keywords::default()),
            Event::Vrfy(_) | Event::Etrn(_) => session.accept_text(Reply::fixed("252 2.0.0 Ok")),
            _ => session.accept(),
        }
        if matches!(event, Event::Reset | Event::Mail(_)) {
            content.clear();
        }
        take_output(session, dialogue);
        true
    }
}

fn take_output(session: &mut Session, dialogue: &mut Dialogue) {
    let output = session.take_output();
    assert!(output.len() <= OUTPUT_PER_STEP_MAX, "a step says little");
    assert!(output.is_empty() || output.ends_with(b"\r\n"), "replies are whole lines");
    dialogue.output.extend_from_slice(&output);
}

/// `said` in pieces of 1 to 16 bytes, or 1 to 4096, as `seed` has it.
fn pieces(said: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let size_max = if seed & 1 == 0 { 16 } else { 4096 };
    let mut state = u32::from(seed) | 1;
    let mut rest = said;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        // Any generator will do; this one is Knuth's.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = (state >> 16) as usize % size_max + 1;
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        Some(piece)
    })
}

/// Reads `data` as replies of a remote server, in one piece and in many; the first byte chooses the
/// pieces.
///
/// # Panics
/// When the pieces change the replies, or a reply is larger than its limits.
pub fn fuzz_reply(data: &[u8]) {
    let Some((seed, said)) = data.split_first() else { return };
    let said = &said[..said.len().min(INPUT_MAX)];
    let whole = read_replies(core::iter::once(said));
    assert_eq!(whole, read_replies(pieces(said, *seed)), "pieces do not change replies");
    for reply in &whole.0 {
        assert!(reply.code < 1000, "three digits");
        // An invalid byte becomes one character of up to three bytes.
        assert!(reply.text.len() <= 3 * REPLY_BYTES_MAX, "bounded");
        assert!(!reply.text.chars().any(char::is_control), "a log line stays one line");
    }
}

/// The replies, and whether one was too long.
fn read_replies<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Said>, bool) {
    let (mut input, mut replies) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match first(&input) {
                Err(_) => return (replies, true),
                Ok(None) => break,
                Ok(Some((answer, used))) => {
                    assert!(used <= input.len(), "a read uses what there is");
                    replies.push(answer.said());
                    input.drain(..used);
                }
            }
        }
    }
    (replies, false)
}

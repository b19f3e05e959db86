//! The command line of sendmail(1), mailq(1) and newaliases(1).
//!
//! **Diagnostics**: [`Exit`] in Postfix's words with its exit code, 75 for nearly everything;
//! options that Sendmail has and Postfix ignores are ignored.
//! **Standards**: sendmail(1) of Postfix 3.7.

use mail::envelope::notify;

use crate::getopt::{self, Opt};
use crate::program::{EX_TEMPFAIL, Exit, Program};
use master::log::Level;

const SPEC: &str = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx";

/// What the command is to do.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Submit a message.
    #[default]
    Enqueue,
    /// `-bs`: SMTP on standard input.
    Smtp,
    /// `-bp`: list the queue.
    List,
    /// `-bi`: rebuild alias databases.
    Aliases,
    /// `-bd`, `-bl`: start the mail system.
    Daemon,
    /// `-q`: try everything now.
    Flush,
    /// `-qIid`: try one message now.
    FlushMessage(String),
    /// `-qRsite`: try one site now.
    FlushSite(String),
    /// `-bh`, `-bH`: nothing.
    Nothing,
}

/// A parsed command line.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// What to do.
    pub mode: Mode,
    /// `-C`.
    pub directory: Option<String>,
    /// `-f`, `-r`.
    pub sender: Option<String>,
    /// `-F`.
    pub full_name: Option<String>,
    /// `-t`.
    pub extract: bool,
    /// `-i`: a lone dot is text.
    pub dots_are_text: bool,
    /// `-bv`.
    pub probe: bool,
    /// How many `-v`.
    pub verbose: usize,
    /// `-V`.
    pub envid: Option<String>,
    /// `-R`: 1 full, 2 headers.
    pub ret: Option<u8>,
    /// `-N`, as [`notify`] bits.
    pub notify: u8,
    /// `-B`, as the attribute's value.
    pub encoding: Option<&'static str>,
    /// `-XV`: delimiters, empty for the default.
    pub verp: Option<String>,
    /// `-G`: a gateway's mail, not rewritten as local.
    pub gateway: bool,
    /// Recipients.
    pub recipients: Vec<String>,
}

fn fatal(text: impl Into<String>) -> Exit {
    Exit::new(EX_TEMPFAIL, text)
}

/// The value of `-C`, before anything else is known.
pub fn directory(args: &[String]) -> Option<String> {
    let (options, _) = getopt::parse(&lone_flush(args, &mut Mode::default()), SPEC)
        .ok()
        .map(|(options, rest)| (options, rest.len()))?;
    options.into_iter().rev().find(|option| option.letter == 'C').and_then(|option| option.value)
}

/// Reads the command line of the command called `program.name()`.
pub fn parse(program: &Program, args: &[String]) -> Result<Options, Exit> {
    let mut out = Options::default();
    match program.name() {
        "mailq" => out.mode = Mode::List,
        "newaliases" => out.mode = Mode::Aliases,
        _ => {}
    }
    let args: Vec<String> = lone_flush(args, &mut out.mode);
    let (options, rest) = getopt::parse(&args, SPEC).map_err(|error| {
        program.complain(error);
        fatal(format!("usage: {} [options]", program.name()))
    })?;
    for Opt { letter, value } in options {
        out.take(program, letter, value.unwrap_or_default())?;
    }
    out.recipients = rest.to_vec();
    out.check()?;
    Ok(out)
}

/// Takes `-q` without a value out: for getopt(3) its value would be the next word.
fn lone_flush(args: &[String], mode: &mut Mode) -> Vec<String> {
    let options = args.iter().take_while(|arg| arg.as_str() != "--").count();
    let mut out = args.to_vec();
    if let Some(at) = args[..options].iter().position(|arg| arg == "-q") {
        *mode = Mode::Flush;
        out.remove(at);
    }
    out
}

impl Options {
    fn take(&mut self, program: &Program, letter: char, value: String) -> Result<(), Exit> {
        match letter {
            'B' => self.encoding = Some(encoding(&value)?),
            'C' => self.directory = Some(value),
            'F' => self.full_name = Some(value),
            'G' => self.gateway = true,
            'I' => self.mode = Mode::Aliases,
            'N' => self.notify = notify_mask(program, &value),
            'R' => self.ret = ret(program, &value),
            'V' => self.envid = envid(program, value),
            'X' => match value.strip_prefix('V') {
                Some(delimiters) => self.verp = Some(verp(delimiters)?),
                None => return Err(fatal(format!("unsupported: -X{}", first(&value)))),
            },
            'b' => self.take_mode(&value)?,
            'f' | 'r' => self.sender = Some(value),
            'i' => self.dots_are_text = true,
            'o' => self.take_suboption(&value)?,
            'q' => self.take_queue(&value)?,
            't' => self.extract = true,
            'v' => self.verbose += 1,
            _ => {}
        }
        Ok(())
    }

    fn take_mode(&mut self, value: &str) -> Result<(), Exit> {
        self.mode = match first(value) {
            "d" | "l" => Mode::Daemon,
            "h" | "H" => Mode::Nothing,
            "i" => Mode::Aliases,
            "m" => Mode::Enqueue,
            "p" => Mode::List,
            "s" => Mode::Smtp,
            "v" => {
                self.probe = true;
                Mode::Enqueue
            }
            other => return Err(fatal(format!("unsupported: -b{other}"))),
        };
        Ok(())
    }

    /// `-oi`, `-oIthing` and friends: Sendmail's long options.
    fn take_suboption(&mut self, value: &str) -> Result<(), Exit> {
        match first(value) {
            "A" if value.len() == 1 => return Err(fatal("-oA requires pathname")),
            "i" => self.dots_are_text = true,
            _ => {}
        }
        Ok(())
    }

    fn take_queue(&mut self, value: &str) -> Result<(), Exit> {
        let word = || value.get(1..).unwrap_or_default().to_owned();
        match first(value) {
            digit if digit.starts_with(|c: char| c.is_ascii_digit()) => {
                if self.mode == Mode::Enqueue {
                    self.mode = Mode::Daemon;
                }
            }
            "R" => self.mode = Mode::FlushSite(word()),
            "I" => self.mode = Mode::FlushMessage(word()),
            other => return Err(fatal(format!("-q{other} is not implemented"))),
        }
        Ok(())
    }

    /// Refuses what does not go together.
    fn check(&self) -> Result<(), Exit> {
        if self.mode != Mode::Enqueue && self.extract {
            return Err(fatal("-t can be used only in delivery mode"));
        }
        let flush = matches!(self.mode, Mode::Flush | Mode::FlushMessage(_) | Mode::FlushSite(_));
        let what = match self.mode {
            Mode::List => "display queue",
            Mode::Aliases => "alias initialization",
            Mode::Daemon => "daemon",
            Mode::Smtp => "stand-alone SMTP server",
            _ if flush => "flush queue",
            _ => "",
        };
        if !what.is_empty() && !self.recipients.is_empty() {
            return Err(fatal(format!("{what} mode requires no recipient")));
        }
        let refused = [
            (self.extract, 't'),
            (self.notify != 0, 'N'),
            (self.ret.is_some(), 'R'),
            (self.verbose == 1, 'v'),
        ];
        match refused.iter().find(|(given, _)| *given && self.probe) {
            Some((_, letter)) => Err(fatal(format!("-{letter} option cannot be used with -bv"))),
            None => Ok(()),
        }
    }
}

/// The first character, or nothing.
fn first(text: &str) -> &str {
    text.chars().next().map_or("", |c| &text[..c.len_utf8()])
}

fn encoding(value: &str) -> Result<&'static str, Exit> {
    if value.eq_ignore_ascii_case("8BITMIME") {
        return Ok("8bit");
    }
    if value.eq_ignore_ascii_case("7BIT") {
        return Ok("7bit");
    }
    Err(fatal("-B option needs 8BITMIME or 7BIT"))
}

fn notify_mask(program: &Program, value: &str) -> u8 {
    let mut mask = 0;
    for word in value.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        mask |= match word.to_ascii_lowercase().as_str() {
            "never" => notify::NEVER,
            "success" => notify::SUCCESS,
            "failure" => notify::FAILURE,
            "delay" => notify::DELAY,
            _ => {
                let text = "unknown DSN NOTIFY command value";
                program.say(Level::Warning, format!("{text} \"{word}\" in \"{value}\""));
                mask = 0;
                break;
            }
        };
    }
    let alone = mask & notify::NEVER == 0 || mask == notify::NEVER;
    if mask == 0 || !alone {
        program.say(Level::Warning, "bad -N option value -- ignored");
        return 0;
    }
    mask
}

fn ret(program: &Program, value: &str) -> Option<u8> {
    match value.to_ascii_lowercase().as_str() {
        "full" => Some(1),
        "hdrs" => Some(2),
        _ => {
            program.say(Level::Warning, "bad -R option value -- ignored");
            None
        }
    }
}

fn envid(program: &Program, value: String) -> Option<String> {
    let printable = !value.is_empty() && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !printable {
        program.say(Level::Warning, "bad syntax in -V option value -- ignored");
    }
    printable.then_some(value)
}

fn verp(delimiters: &str) -> Result<String, Exit> {
    let allowed = |c: char| "-=+".contains(c);
    let good = delimiters.is_empty() || delimiters.len() == 2 && delimiters.chars().all(allowed);
    good.then(|| delimiters.to_owned()).ok_or_else(|| fatal("-V requires two characters from -=+"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Voice;

    fn read(name: &str, words: &[&str]) -> Result<Options, String> {
        let args: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let program = Program::new(name, Voice::Terminal);
        parse(&program, &args).map_err(|exit| exit.text.unwrap_or_default())
    }

    #[test]
    fn modes_come_from_the_name_and_the_options() {
        assert_eq!(read("mailq", &[]).unwrap().mode, Mode::List);
        assert_eq!(read("newaliases", &[]).unwrap().mode, Mode::Aliases);
        assert_eq!(read("sendmail", &["-bs"]).unwrap().mode, Mode::Smtp);
        assert_eq!(read("sendmail", &["-q"]).unwrap().mode, Mode::Flush);
        let site = Mode::FlushSite("a.example".to_owned());
        assert_eq!(read("sendmail", &["-qRa.example"]).unwrap().mode, site);
        assert_eq!(read("sendmail", &["-bd", "-q5m"]).unwrap().mode, Mode::Daemon);
        assert_eq!(read("sendmail", &["-bm", "a"]).unwrap().recipients, ["a"]);
    }

    #[test]
    fn refusals_are_worded_as_postfix_words_them() {
        let text = |words: &[&str]| read("sendmail", words).unwrap_err();
        assert_eq!(text(&["-bt"]), "unsupported: -bt");
        assert_eq!(text(&["-X", "/dev/null"]), "unsupported: -X/");
        assert_eq!(text(&["-bs", "-t"]), "-t can be used only in delivery mode");
        assert_eq!(text(&["-q", "a"]), "flush queue mode requires no recipient");
        assert_eq!(text(&["-qSx"]), "-qS is not implemented");
        assert_eq!(text(&["-bv", "-N", "never", "a"]), "-N option cannot be used with -bv");
        assert_eq!(text(&["-Y"]), "usage: sendmail [options]");
    }

    #[test]
    fn values_are_read_or_ignored() {
        let words = ["-N", "success,delay", "-R", "hdrs", "-B8BITMIME", "-V", "a b", "-XV", "-oi"];
        let options = read("sendmail", &words).unwrap();
        assert_eq!((options.notify, options.ret, options.encoding), (10, Some(2), Some("8bit")));
        assert_eq!((options.envid.as_deref(), options.verp.as_deref()), (Some("a b"), Some("")));
        assert!(options.dots_are_text);
        let bad = read("sendmail", &["-N", "never,delay", "-R", "x", "-V", ""]).unwrap();
        assert_eq!((bad.notify, bad.ret, bad.envid), (0, None, None));
    }
}

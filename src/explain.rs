//! `ringpost explain`: what rewriting and resolving do to an address, see [`engine::explain`].

use engine::snapshot::Snapshot;
use mail::Address;
use master::settings::{self, Settings};
use master::system;
use std::error::Error;
use tables::catalog::System;

/// What to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The configuration directory, when it is not the usual one.
    pub directory: Option<String>,
    /// The envelope sender.
    pub sender: Address,
    /// The recipient.
    pub recipient: Address,
}

impl Options {
    /// Reads `ADDRESS [--sender S] [-c DIRECTORY]`. Without a sender it is the null sender.
    ///
    /// # Errors
    /// The argument that is not understood.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let (mut directory, mut sender, mut recipient) = (None, Address::null(), None);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "-c" | "--config" => directory = Some(value()?),
                "--sender" => sender = address(&value()?)?,
                option if option.starts_with('-') => {
                    return Err(format!("unknown option: {option}"));
                }
                _ if recipient.is_some() => return Err("one address only".into()),
                text => recipient = Some(address(text)?),
            }
        }
        let recipient = recipient.ok_or("an address is missing")?;
        Ok(Options { directory, sender, recipient })
    }
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse_path(text.as_bytes(), false).map_err(|_| format!("not an address: {text}"))
}

/// Prints the explanation.
///
/// # Errors
/// The configuration cannot be read.
pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let directory = settings::directory(options.directory.as_deref());
    let settings = Settings::load(&directory, "ringpost")?;
    let master = settings.master()?;
    let system = System {
        read: system::read,
        stamp: system::stamp,
        variable: system::variable,
        random: system::random,
        remote: remote::blocking,
    };
    let snapshot =
        Snapshot::new(settings.params, &master, system).map_err(|bad| bad.to_string())?;
    for line in engine::explain::explain(&snapshot, system, &options.sender, &options.recipient) {
        println!("{line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let parse = |text: &str| Options::parse(text.split(' ').map(String::from));
        let options = parse("a@b --sender <s@t> -c /etc/x").unwrap();
        assert_eq!(options.directory.as_deref(), Some("/etc/x"));
        assert_eq!(options.sender, Address::from_internal(b"s@t"));
        assert_eq!(options.recipient, Address::from_internal(b"a@b"));
        for bad in ["--sender", "a b", "-x", "<a@b", "a@b --what"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

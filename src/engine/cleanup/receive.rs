//! `receive_override_options`: what one way into the mail system leaves out.
//!
//! | option | is not done |
//! | --- | --- |
//! | `no_address_mappings` | canonical, masquerade and virtual alias mapping, blind copies |
//! | `no_unknown_recipient_checks` | refusing recipients that nobody has |
//! | `no_header_body_checks` | checks of headers and body |
//! | `no_milters` | what this engine does not do yet |
//!
//! Addresses are put in canonical form whatever is left out.
//!
//! **Standards**: postconf(5) `receive_override_options`.

use config::Params;
use config::params::BadValue;

const NAME: &str = "receive_override_options";

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receive {
    /// Addresses are mapped, and blind copies made.
    pub maps_addresses: bool,
    /// Recipients that nobody has are refused.
    pub checks_recipients: bool,
    /// Headers and body are checked.
    pub checks_content: bool,
}

impl Default for Receive {
    /// Everything.
    fn default() -> Receive {
        Receive { maps_addresses: true, checks_recipients: true, checks_content: true }
    }
}

impl Receive {
    /// Reads the parameter.
    ///
    /// # Errors
    /// It has a word that is none of the options.
    pub fn new(params: &Params) -> Result<Receive, BadValue> {
        let mut receive = Receive::default();
        for word in params.list(NAME)? {
            match word.to_ascii_lowercase().as_str() {
                "no_address_mappings" => receive.maps_addresses = false,
                "no_unknown_recipient_checks" => receive.checks_recipients = false,
                "no_header_body_checks" => receive.checks_content = false,
                "no_milters" => {}
                _ => return Err(params.unknown_word(NAME, NAME, &word)),
            }
        }
        Ok(receive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Host, MainCf};

    fn read(value: &str) -> Result<Receive, String> {
        let text = format!("{NAME} = {value}\n");
        let main = MainCf::parse("main.cf", text.as_bytes()).unwrap();
        Receive::new(&Params::new(main, Host::default())).map_err(|bad| bad.to_string())
    }

    #[test]
    fn each_option_leaves_out_its_own() {
        assert_eq!(read(""), Ok(Receive::default()));
        let receive = read("no_milters, No_Address_Mappings no_header_body_checks").unwrap();
        assert_eq!((receive.maps_addresses, receive.checks_recipients), (false, true));
        assert!(!receive.checks_content);
        let receive = read("no_unknown_recipient_checks").unwrap();
        assert_eq!((receive.maps_addresses, receive.checks_recipients), (true, false));
    }

    #[test]
    fn another_word_is_an_error() {
        let why = "fatal: unknown receive_override_options value \"no_mail\" in \"no_mail\"";
        assert_eq!(read("no_mail"), Err(why.into()));
    }
}

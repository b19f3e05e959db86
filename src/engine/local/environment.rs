//! What a delivery by alias, user's file or command says to the helper: where it stands, and what a
//! command, or a name in a parameter, may know of the message.
//!
//! Called by [`super`] for files, commands, include files, users' files and mailbox commands.
//!
//! **Limits**: values are cut at [`VALUE_MAX`].
//! **Standards**: local(8), external command delivery.

use super::expand::Branch;
use super::recipient::User;
use mail::{Address, Envelope};
use privsep::alias::{ENVIRONMENT, Request, Source, Target, VALUE_MAX};

/// A request about the user that a recipient is, with nothing between.
pub fn of_user(
    service: &str,
    user: &User,
    target: Target,
    from_line: Vec<u8>,
    environment: [Vec<u8>; ENVIRONMENT.len()],
) -> Option<Request> {
    let (service, name) = (service.as_bytes().to_vec(), user.name.clone());
    let (source, includes) = (Source::User, Vec::new());
    let request = Request { service, source, name, includes, target, from_line, environment };
    request.is_valid().then_some(request)
}

/// The request for `target`; `from_line` is empty for an include file.
pub fn request(
    service: &str,
    branch: &Branch,
    target: Target,
    from_line: Vec<u8>,
    environment: [Vec<u8>; ENVIRONMENT.len()],
) -> Option<Request> {
    let proof = branch.proof.as_ref()?;
    let source = match proof.table {
        Some(table) => Source::Alias(u16::try_from(table).ok()?),
        None => Source::User,
    };
    let request = Request {
        service: service.as_bytes().to_vec(),
        source,
        name: proof.name.clone(),
        includes: proof.includes.clone(),
        target,
        from_line,
        environment,
    };
    request.is_valid().then_some(request)
}

/// The values of [`ENVIRONMENT`].
pub fn values(
    envelope: &Envelope,
    sender: &Address,
    branch: &Branch,
    user: &User,
) -> [Vec<u8>; ENVIRONMENT.len()] {
    let recipient = &branch.recipient;
    let attribute = |name: &str| envelope.attribute(name).unwrap_or_default().to_vec();
    ENVIRONMENT.map(|name| {
        let mut value = match name {
            "CLIENT_ADDRESS" => attribute("log_client_address"),
            "CLIENT_HELO" => attribute("log_helo_name"),
            "CLIENT_HOSTNAME" => attribute("log_client_name"),
            "CLIENT_PROTOCOL" => attribute("log_protocol_name"),
            "SASL_USERNAME" => attribute("sasl_username"),
            "DOMAIN" => recipient.address.domain().unwrap_or_default().to_vec(),
            "EXTENSION" => user.extension.clone(),
            "LOCAL" => user.local.clone(),
            "LOGNAME" | "USER" => user.name.clone(),
            // Without the quotes that SMTP would want.
            "ORIGINAL_RECIPIENT" => recipient.original.as_bytes().to_vec(),
            "RECIPIENT" => recipient.address.as_bytes().to_vec(),
            "SENDER" => sender.as_bytes().to_vec(),
            _ => Vec::new(),
        };
        value.truncate(VALUE_MAX);
        value.iter_mut().filter(|byte| byte.is_ascii_control()).for_each(|byte| *byte = b'?');
        value
    })
}

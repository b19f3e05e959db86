//! The content of simulated mail: made from its number, so that a site can tell whether it got
//! every byte; and what a site reads out of what it gets.

use super::chance::Chance;

/// Where the number of a message stands in its header.
const FIELD: &str = "X-Simulated: ";

/// The content of message `id` as the sender wrote it: CRLF, dots not stuffed.
pub fn write(id: u32, bytes: usize) -> String {
    let mut text = format!("Subject: number {id}\r\n{FIELD}{id} {bytes}\r\n\r\n");
    text.push_str(&body(id, bytes));
    text
}

/// As it goes over the wire, without the final dot.
pub fn stuffed(text: &str) -> String {
    let stuffed = text.replace("\r\n.", "\r\n..");
    if stuffed.starts_with('.') { format!(".{stuffed}") } else { stuffed }
}

fn body(id: u32, bytes: usize) -> String {
    let mut chance = Chance::new(0x6c65_7474_6572, u64::from(id));
    let mut text = String::with_capacity(bytes + 100);
    while text.len() < bytes {
        let dots = if chance.one_in(8) { chance.below(3) as usize } else { 0 };
        let length = chance.between(0, 77) as usize;
        text.extend(std::iter::repeat_n('.', dots));
        text.extend((0..length).map(|at| char::from(b'a' + ((id as usize + at) % 26) as u8)));
        text.push_str("\r\n");
    }
    text
}

/// What arrived at a site, dots stuffed.
pub struct Arrived<'a>(pub &'a str);

impl Arrived<'_> {
    /// The queue id by which the engine names this message.
    pub fn queue_id(&self) -> Option<&str> {
        let at = self.0.find(" id ").or_else(|| self.0.find("\tid "))? + 4;
        self.0[at..].split([';', '\r', ' ']).next()
    }

    /// How many hosts say that they had it.
    pub fn hops(&self) -> usize {
        let header = self.0.split("\r\n\r\n").next().unwrap_or_default();
        header.lines().filter(|line| line.starts_with("Received:")).count()
    }

    /// Whether this is all of message `id` and nothing else.
    pub fn is_whole(&self, id: u32) -> bool {
        let plain = self.0.replace("\r\n..", "\r\n.");
        let Some((header, rest)) = plain.split_once("\r\n\r\n") else { return false };
        let field = header.lines().find_map(|line| line.strip_prefix(FIELD));
        let Some((number, bytes)) = field.and_then(|field| field.split_once(' ')) else {
            return false;
        };
        let known = number.parse() == Ok(id);
        known && bytes.parse().is_ok_and(|bytes: usize| rest == body(id, bytes))
    }

    /// Recipients that a notice reports, and what became of them.
    pub fn reported(&self) -> Vec<(&str, &str)> {
        let mut reported = Vec::new();
        let mut recipient = None;
        for line in self.0.lines() {
            if let Some(to) = line.strip_prefix("Final-Recipient: rfc822; ") {
                recipient = Some(to);
            } else if let Some(action) = line.strip_prefix("Action: ") {
                reported.extend(recipient.take().map(|to| (to, action)));
            }
        }
        reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        let text = stuffed(&write(7, 3000));
        let arrived = format!("Received: by x\r\n\tid ABC; now\r\n{text}");
        assert!(Arrived(&arrived).is_whole(7) && !Arrived(&arrived).is_whole(8));
        assert!(!Arrived(&arrived[..arrived.len() - 2]).is_whole(7));
        assert_eq!(Arrived(&arrived).queue_id(), Some("ABC"));
        assert_eq!(Arrived(&arrived).hops(), 1);
    }
}

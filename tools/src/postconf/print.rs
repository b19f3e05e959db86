//! How postconf(1) writes a value: words separated by one blank, folded on request.

use super::mode::Request;

/// Columns of a folded line of main.cf; one of master.cf stays below.
pub(super) const LINE_LIMIT: usize = 80;
/// What a continuation line starts with.
pub(super) const INDENT: &str = "    ";

/// `name = value`, or the half of it that -h or -H leaves.
pub(super) fn assignment(request: &Request, name: &str, value: &str) -> String {
    if request.hide_value {
        return name.to_owned();
    }
    let line = match (request.hide_name, value.trim_ascii().is_empty()) {
        (true, _) => value.to_owned(),
        (false, true) => format!("{name} ="),
        (false, false) => format!("{name} = {value}"),
    };
    words(&line, request.fold)
}

/// The words of `text` separated by one blank.
pub(super) fn words(text: &str, fold: bool) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_ascii_whitespace() {
        if column == 0 {
            column = word.len();
        } else if fold && column + 1 + word.len() > LINE_LIMIT {
            out.push('\n');
            out.push_str(INDENT);
            column = INDENT.len() + word.len();
        } else {
            out.push(' ');
            column += 1 + word.len();
        }
        out.push_str(word);
    }
    out
}

//! Templates of notices (-t) and what they become (-b).
//!
//! Of the file on the command line, else of `bounce_template_file`, over the built-in ones.
//!
//! **Diagnostics**: under the name of the bounce daemon, which Postfix asks for them.

use std::fs::File;
use std::io::Read;

use config::Params;
use config::template::{self, BadTemplate, Template};

use super::{Fatal, Output, fatal};
use crate::system::reason;

/// Whether one file is named at most.
pub(super) fn check(names: &[String]) -> Result<(), Fatal> {
    match names {
        [] | [_] => Ok(()),
        _ => Err(Fatal("options -b and -t require at most one template file".to_owned())),
    }
}

/// Shows all templates, expanded or as they are.
pub(super) fn show(
    params: &Params,
    names: &[String],
    expanded: bool,
    out: &mut Output,
) -> Result<(), Fatal> {
    let syslog_name = params.text("syslog_name").map_err(fatal)?;
    out.daemon = Some((out.warnings.len(), format!("{syslog_name}/bounce")));
    let file = match names.first() {
        Some(file) => file.clone(),
        None => params.text("bounce_template_file").map_err(fatal)?,
    };
    let mut templates = template::defaults();
    if !file.is_empty() {
        let failed = |what: &str, error| Fatal(format!("{what} {file}: {}", reason(&error)));
        let mut data = Vec::new();
        let mut opened = File::open(&file).map_err(|error| failed("open", error))?;
        opened.read_to_end(&mut data).map_err(|error| failed("read", error))?;
        let text = String::from_utf8_lossy(&data);
        let parsed = template::parse(&file, &text, &mut |warning| out.warn(&warning));
        templates = parsed.map_err(Fatal)?;
    }
    let mut parts = Vec::new();
    for template in &templates {
        parts.push(if expanded { text(template, params, out)? } else { whole(template) });
    }
    out.text.push_str(&parts.join("\n"));
    Ok(())
}

fn text(template: &Template, params: &Params, out: &mut Output) -> Result<String, Fatal> {
    let lines = template.expanded(params).map_err(|bad| {
        if let BadTemplate::Syntax(.., why) = &bad {
            out.warn(&why.to_string());
        }
        fatal(bad)
    })?;
    let name = format!("expanded_{}_text", template.class);
    Ok(format!("{name} = <<EOF\n{}\nEOF\n", lines.join("\n")))
}

fn whole(template: &Template) -> String {
    let Template { charset, from, subject, .. } = template;
    let mut out = format!("{}_template = <<EOF\n", template.class);
    out.push_str(&format!("Charset: {charset}\nFrom: {from}\nSubject: {subject}\n"));
    if let Some(copy) = &template.postmaster_subject {
        out.push_str(&format!("Postmaster-Subject: {copy}\n"));
    }
    out + &format!("\n{}\nEOF\n", template.text.join("\n"))
}

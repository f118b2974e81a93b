//! An inferred schema as TOML to paste.

use std::fmt::Write;

/// Renders fields from [`infer_schema`](super::infer_schema) as the end of the section `[sources.NAME]`: the event time, if a
/// field suggests itself, then the table `[sources.NAME.schema]` with a field a line.
pub fn to_toml(name: &str, fields: &[(String, String)]) -> String {
    let mut out = String::new();
    match event_time(fields) {
        Some(field) => {
            let _ = writeln!(out, "event_time = {}", quoted(field));
        }
        None => out.push_str("# event_time = \"…\"   # no field looks like a time; windows need one\n"),
    }
    let _ = writeln!(out, "\n[sources.{}.schema]", key(name));
    for (field, sql) in fields {
        let declared = if sql.starts_with('{') { sql.clone() } else { quoted(sql) };
        let _ = writeln!(out, "{} = {declared}", key(field));
    }
    out
}

/// The field that looks most like the event's time: a timestamp under a usual name, or else the first timestamp.
pub fn event_time(fields: &[(String, String)]) -> Option<&str> {
    const USUAL: [&str; 6] = ["event_time", "ts", "timestamp", "@timestamp", "time", "datetime"];
    let times = || {
        fields
            .iter()
            .filter(|(_, sql)| sql == "timestamp" || sql.starts_with("{ type = \"timestamp\""))
            .map(|(name, _)| name.as_str())
    };
    USUAL.iter().find_map(|usual| times().find(|name| name.eq_ignore_ascii_case(usual))).or_else(|| times().next())
}

fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare { name.to_owned() } else { quoted(name) }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

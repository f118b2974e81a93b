//! What is known of a field after some values.

use std::collections::HashMap;
use std::ops::Range;

use crate::schema::{parse_type, write_name};

use super::super::arena::Source;
use super::super::json::{Walk, unescape};
use super::super::number::{Rest, scaled, to_f64};
use super::super::time;

/// The seconds of this century: 2000-01-01 to 2100-01-01.
const CENTURY: Range<i128> = 946_684_800..4_102_444_800;

/// The narrowest kind that holds every value seen.
#[derive(Debug, Default)]
pub(super) enum Kind {
    /// Nulls only, if anything.
    #[default]
    Unseen,
    Boolean,
    Number(Numbers),
    Text(Text),
    List(Box<Kind>),
    Object(Fields),
    /// Values that have no kind in common.
    Mixed,
}

/// What numbers have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    size: Size,
    epoch: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Size {
    Bigint,
    /// Integers of up to 38 digits.
    Decimal,
    Double,
}

/// What texts have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Date,
    /// Times, or dates among times.
    Timestamp,
    Any,
}

impl Kind {
    pub(super) fn is_unseen(&self) -> bool {
        matches!(self, Self::Unseen)
    }

    /// Takes note of the JSON value at `range`.
    fn observe_json(&mut self, source: Source<'_>, range: Range<usize>) {
        let value = source.get(range.clone());
        match value.as_bytes().first() {
            Some(b'n') => {}
            Some(b't' | b'f') => self.observe(Self::Boolean),
            Some(b'"') => {
                let text = unescape(&value[1..value.len() - 1]);
                self.observe(Self::Text(text.map_or(Text::Any, |text| Text::of(&text))));
            }
            Some(b'[') => {
                self.observe(Self::List(Box::default()));
                if let Self::List(item) = self {
                    let mut walk = Walk::new(&source.text.as_bytes()[..range.end], range.start, 0);
                    while let Ok(Some(value)) = walk.item() {
                        item.observe_json(source, value);
                    }
                }
            }
            Some(b'{') => {
                self.observe(Self::Object(Fields::default()));
                if let Self::Object(fields) = self {
                    fields.observe_object(source, range);
                }
            }
            _ => self.observe(Self::Number(Numbers::of(value))),
        }
    }

    /// Takes note of a bare text. Numbers with leading zeros are codes, not numbers.
    pub(super) fn observe_text(&mut self, text: &str) {
        let digits = text.trim_start_matches('-');
        let code = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
        let kind = if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            Self::Boolean
        } else if !code && !text.starts_with('+') && to_f64(text).is_some() {
            Self::Number(Numbers::of(text))
        } else {
            Self::Text(Text::of(text))
        };
        self.observe(kind);
        if matches!(self, Self::Mixed) {
            *self = Self::Text(Text::Any);
        }
    }

    fn observe(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Unseen, other) => *self = other,
            (Self::Number(mine), Self::Number(other)) => {
                mine.size = mine.size.max(other.size);
                mine.epoch = mine.epoch.filter(|epoch| other.epoch == Some(epoch));
            }
            (Self::Text(mine), Self::Text(other)) => *mine = mine.and(other),
            (Self::Boolean, Self::Boolean) | (Self::List(_), Self::List(_)) | (Self::Object(_), Self::Object(_)) => {}
            _ => *self = Self::Mixed,
        }
    }

    /// The SQL type that holds all values.
    pub(super) fn sql(&self) -> String {
        match self {
            Self::Unseen | Self::Text(Text::Any) => "string".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Number(Numbers { size: Size::Bigint, .. }) => "bigint".to_owned(),
            Self::Number(Numbers { size: Size::Decimal, .. }) => "decimal(38,0)".to_owned(),
            Self::Number(Numbers { size: Size::Double, .. }) => "double".to_owned(),
            Self::Text(Text::Date) => "date".to_owned(),
            Self::Text(Text::Timestamp) => "timestamp".to_owned(),
            // An empty list or object says nothing about what it may hold one day.
            Self::List(item) if item.is_unseen() => "list<json>".to_owned(),
            Self::Object(fields) if fields.fields.is_empty() => "json".to_owned(),
            Self::List(item) => format!("list<{}>", item.sql()),
            Self::Object(fields) => fields.sql(),
            Self::Mixed => "json".to_owned(),
        }
    }
}

impl Numbers {
    fn of(text: &str) -> Self {
        let size = match scaled(text, 0, Rest::Refuse) {
            Some(value) if i64::try_from(value).is_ok() => Size::Bigint,
            Some(value) if value.unsigned_abs() < 10u128.pow(38) => Size::Decimal,
            _ => Size::Double,
        };
        // 3.0 is a double to whoever wrote it.
        let size = if text.contains(['.', 'e', 'E']) { Size::Double } else { size };
        let epochs = [("epoch_s", 0), ("epoch_ms", -3), ("epoch_us", -6), ("epoch_ns", -9)];
        let in_century = |shift| scaled(text, shift, Rest::Floor).is_some_and(|s| CENTURY.contains(&s));
        let epoch = epochs.into_iter().find(|(_, shift)| in_century(*shift)).map(|(name, _)| name);
        Self { size, epoch }
    }
}

impl Text {
    fn of(text: &str) -> Self {
        match time::rfc3339(text.as_bytes()) {
            Some(_) if text.len() == 10 => Self::Date,
            Some(_) => Self::Timestamp,
            None => Self::Any,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => Self::Any,
            (Self::Date, Self::Date) => Self::Date,
            _ => Self::Timestamp,
        }
    }
}

/// Fields in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Fields {
    fields: Vec<(String, Kind)>,
    places: HashMap<String, usize>,
}

impl Fields {
    /// Adds a field; of two with one name the first stays.
    pub(super) fn insert(&mut self, name: String, kind: Kind) {
        if !self.places.contains_key(&name) {
            self.places.insert(name.clone(), self.fields.len());
            self.fields.push((name, kind));
        }
    }

    /// Takes note of the object at `range`.
    pub(super) fn observe_object(&mut self, source: Source<'_>, range: Range<usize>) {
        let mut walk = Walk::new(&source.text.as_bytes()[..range.end], range.start, 0);
        while let Ok(Some(member)) = walk.member() {
            let Some(name) = unescape(source.get(member.key)) else {
                continue;
            };
            if !self.places.contains_key(name.as_ref()) {
                self.insert(name.clone().into_owned(), Kind::Unseen);
            }
            let place = self.places[name.as_ref()];
            self.fields[place].1.observe_json(source, member.value);
        }
    }

    fn sql(&self) -> String {
        let mut out = "struct<".to_owned();
        for (i, (name, kind)) in self.fields.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            write_name(&mut out, name);
            out.push_str(": ");
            out.push_str(&kind.sql());
        }
        out.push('>');
        out
    }

    /// Each field's name with its declaration.
    pub(super) fn declare(&self) -> Vec<(String, String)> {
        self.fields.iter().map(|(name, kind)| (name.clone(), declaration(name, kind))).collect()
    }
}

fn declaration(name: &str, kind: &Kind) -> String {
    if let Kind::Number(Numbers { epoch: Some(epoch), .. }) = kind
        && speaks_of_time(name)
    {
        return format!("{{ type = \"timestamp\", format = \"{epoch}\" }}");
    }
    let sql = kind.sql();
    // Too deep, too wide or too long to be declared.
    if parse_type(&sql).is_err() { "json".to_owned() } else { sql }
}

/// True for names such as `ts`, `event_time`, `createdAt`, `date`.
fn speaks_of_time(name: &str) -> bool {
    let mut words = vec![String::new()];
    let mut lower_before = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && lower_before) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        lower_before = c.is_lowercase();
    }
    words.last().is_some_and(|word| word == "at")
        || words.iter().any(|word| matches!(word.as_str(), "ts" | "time" | "timestamp" | "datetime" | "date" | "epoch"))
}

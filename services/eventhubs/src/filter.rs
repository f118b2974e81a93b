//! Where a receiver starts: the selector that it sends as the filter of its source.

use fe2o3_amqp_types::messaging::Source;
use serde_amqp::Value;

/// A selector, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) place: Place,
    /// True if the event at the place is wanted too.
    pub(crate) inclusive: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Latest,
    Sequence(i64),
    Offset(i64),
    /// Milliseconds since the Unix epoch.
    Enqueued(i64),
}

impl Start {
    /// What `source` asks for; without a filter everything.
    ///
    /// # Errors
    /// The selector, if it is none of the service's.
    pub(crate) fn of(source: Option<&Source>) -> Result<Self, String> {
        let filters = source.and_then(|source| source.filter.as_ref());
        match filters.and_then(|filters| filters.values().find_map(text)) {
            None => Ok(Self { place: Place::Offset(-1), inclusive: false }),
            Some(selector) => Self::parse(&selector).ok_or(selector),
        }
    }

    fn parse(selector: &str) -> Option<Self> {
        let (field, rest) = selector.split_once('>')?;
        let inclusive = rest.starts_with('=');
        let value = rest.trim_start_matches('=').trim().trim_matches('\'');
        let number = || value.parse::<i64>().ok();
        let place = match (field.trim().strip_prefix("amqp.annotation.x-opt-")?, value) {
            ("offset", "@latest") => Place::Latest,
            ("offset", _) => Place::Offset(number()?),
            ("sequence-number", _) => Place::Sequence(number()?),
            ("enqueued-time", _) => Place::Enqueued(number()?),
            _ => return None,
        };
        Some(Self { place, inclusive })
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Described(described) => text(&described.value),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_the_clients_are_understood() {
        let table = [
            ("amqp.annotation.x-opt-offset > '-1'", Place::Offset(-1), false),
            ("amqp.annotation.x-opt-offset > '@latest'", Place::Latest, false),
            ("amqp.annotation.x-opt-offset >'64'", Place::Offset(64), false),
            ("amqp.annotation.x-opt-sequence-number >='7'", Place::Sequence(7), true),
            ("amqp.annotation.x-opt-enqueued-time > '1700000000000'", Place::Enqueued(1_700_000_000_000), false),
        ];
        for (selector, place, inclusive) in table {
            assert_eq!(Start::parse(selector), Some(Start { place, inclusive }), "{selector}");
        }
        assert_eq!(Start::parse("color > '1'"), None);
    }
}

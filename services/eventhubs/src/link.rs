//! What a link is for, told from the address it attaches to.

use fe2o3_amqp_types::definitions::{AmqpError, Error, ErrorCondition};
use serde_amqp::primitives::Symbol;

use crate::hub::{GROUPS, HUB};

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tokens,
    Management,
    /// A partition, read by a consumer group.
    Read {
        group: String,
        partition: String,
    },
    /// The hub, or one of its partitions, to write to.
    Write {
        partition: Option<String>,
    },
    /// No hub of this name.
    Absent(String),
}

impl Address {
    /// Reads `amqps://host/hub/ConsumerGroups/group/Partitions/0`, and its kin. The host does not matter.
    pub(crate) fn parse(address: &str) -> Self {
        let path =
            address.split_once("://").map_or(address, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match parts.as_slice() {
            [.., "$cbs"] => Self::Tokens,
            [.., "$management"] => Self::Management,
            [hub, ..] if !hub.eq_ignore_ascii_case(HUB) => Self::Absent((*hub).to_string()),
            [_, groups, group, partitions, partition]
                if groups.eq_ignore_ascii_case("ConsumerGroups") && partitions.eq_ignore_ascii_case("Partitions") =>
            {
                Self::Read { group: (*group).to_string(), partition: (*partition).to_string() }
            }
            [_, partitions, partition] if partitions.eq_ignore_ascii_case("Partitions") => {
                Self::Write { partition: Some((*partition).to_string()) }
            }
            [_] => Self::Write { partition: None },
            _ => Self::Absent(path.to_string()),
        }
    }
}

/// True if the hub has this consumer group.
pub(crate) fn is_group(name: &str) -> bool {
    GROUPS.iter().any(|group| group.eq_ignore_ascii_case(name))
}

/// The service's words for what is not there.
pub(crate) fn not_found(entity: &str) -> Error {
    error(AmqpError::NotFound, format!("The messaging entity 'sb://double/{entity}' could not be found."))
}

/// The service's words for a missing claim.
pub(crate) fn unauthorized(claim: &str) -> Error {
    let text = format!("Unauthorized access. '{claim}' claim(s) are required to perform this operation.");
    error(AmqpError::UnauthorizedAccess, text)
}

/// The service's words for a pause that it asks for.
pub(crate) fn busy() -> Error {
    let text = "The request was terminated because the entity is being throttled. Error code : 50002.";
    error(custom("com.microsoft:server-busy"), text)
}

pub(crate) fn custom(condition: &str) -> ErrorCondition {
    ErrorCondition::Custom(Symbol::from(condition))
}

pub(crate) fn error(condition: impl Into<ErrorCondition>, description: impl Into<String>) -> Error {
    Error::new(condition, Some(description.into()), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_clients_are_understood() {
        let read = Address::Read { group: "$Default".to_string(), partition: "3".to_string() };
        assert_eq!(Address::parse("amqps://ns.servicebus.windows.net/hub/ConsumerGroups/$Default/Partitions/3"), read);
        assert_eq!(Address::parse("hub/ConsumerGroups/$Default/Partitions/3"), read);
        assert_eq!(Address::parse("$cbs"), Address::Tokens);
        assert_eq!(Address::parse("amqps://ns/hub/$management"), Address::Management);
        assert_eq!(Address::parse("amqps://ns/hub"), Address::Write { partition: None });
        assert_eq!(Address::parse("amqps://ns/hub/Partitions/1"), Address::Write { partition: Some("1".to_string()) });
        assert_eq!(Address::parse("amqps://ns/other/Partitions/1"), Address::Absent("other".to_string()));
    }
}

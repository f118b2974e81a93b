//! How a table's keys are declared: name, type, default and doc stand together, once.
//!
//! The struct that serde fills, the defaults, the suggestions for a misspelt key and the config reference are all made
//! from one `keys!` block.

use serde::de::DeserializeOwned;

/// What a key stands at when it is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Default {
    /// A TOML value.
    Value(&'static str),
    /// In words: nothing at all, or something worked out from other keys.
    Words(&'static str),
    /// It cannot be left out.
    Required,
}

/// One key of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) default: Default,
    /// What it means, one line after another.
    pub(super) doc: &'static [&'static str],
}

/// A table whose keys are declared by `keys!`.
pub(super) trait KeySet: DeserializeOwned {
    const KEYS: &'static [Key];
}

/// The name of a field without the `r#` that lets a keyword be one.
pub(super) const fn bare(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// Declares the keys of a table: `name: Type = default,` in the order of the reference. A default is `value "toml"`,
/// `words "…"` or `required`; only keys with `words` are an `Option`.
macro_rules! keys {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $set:ident {
            $( $(#[doc = $doc:literal])+ $key:ident : $type:ty = $kind:ident $($default:literal)? , )+
        }
    ) => {
        $(#[$meta])*
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        $visibility struct $set {
            $( $(#[doc = $doc])+ pub(super) $key: $type, )+
        }

        impl $crate::config::keys::KeySet for $set {
            const KEYS: &'static [$crate::config::keys::Key] = &[
                $( $crate::config::keys::Key {
                    name: $crate::config::keys::bare(stringify!($key)),
                    default: $crate::config::keys::keys!(@default $kind $($default)?),
                    doc: &[$($doc),+],
                }, )+
            ];
        }
    };
    (@default value $toml:literal) => { $crate::config::keys::Default::Value($toml) };
    (@default words $words:literal) => { $crate::config::keys::Default::Words($words) };
    (@default required) => { $crate::config::keys::Default::Required };
}

pub(super) use keys;

//! Protobuf's wire format: numbered fields, each with a value of one of five shapes (Protocol Buffers, "Encoding").

use watershed_connectors::varint;

/// How deep groups may lie in each other.
const MAX_GROUPS: usize = 64;

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not valid protobuf at byte {at}: {what}")]
pub(super) struct Broken {
    pub(super) at: usize,
    pub(super) what: &'static str,
}

/// The value of a field as it stands there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    /// Text, bytes, a message, or numbers packed.
    Bytes(&'a [u8]),
    /// The fields of a group.
    Group(&'a [u8]),
}

/// Reads the fields of a message one after another.
#[derive(Debug, Clone)]
pub(super) struct Wire<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Wire<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(super) fn broken(&self, what: &'static str) -> Broken {
        Broken { at: self.at, what }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let taken = self.rest().get(..len).ok_or(self.broken("it ends too early"))?;
        self.at += len;
        Ok(taken)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Broken> {
        let (value, len) = varint(self.rest()).map_err(|what| self.broken(what))?;
        self.at += len;
        Ok(value)
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, Broken> {
        let taken = self.rest().first_chunk().ok_or(self.broken("it ends too early"))?;
        self.at += 8;
        Ok(u64::from_le_bytes(*taken))
    }

    pub(super) fn fixed32(&mut self) -> Result<u32, Broken> {
        let taken = self.rest().first_chunk().ok_or(self.broken("it ends too early"))?;
        self.at += 4;
        Ok(u32::from_le_bytes(*taken))
    }

    /// A field's number and the shape of its value.
    fn tag(&mut self) -> Result<(u32, u64), Broken> {
        let start = self.at;
        let tag = self.varint()?;
        match u32::try_from(tag >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => Ok((number, tag & 7)),
            _ => Err(Broken { at: start, what: "a field has no such number" }),
        }
    }

    /// The next field; none at the end.
    #[inline]
    pub(super) fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, Broken> {
        if self.is_at_end() {
            return Ok(None);
        }
        let (number, shape) = self.tag()?;
        let value = match shape {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => {
                let len = self.varint()?;
                let len = usize::try_from(len).map_err(|_| self.broken("it ends too early"))?;
                Value::Bytes(self.take(len)?)
            }
            3 => Value::Group(self.group(number)?),
            5 => Value::Fixed32(self.fixed32()?),
            _ => return Err(self.broken("a field has no such shape")),
        };
        Ok(Some((number, value)))
    }

    /// Passes by the fields of a group up to its end.
    fn group(&mut self, number: u32) -> Result<&'a [u8], Broken> {
        let start = self.at;
        let mut open = vec![number];
        loop {
            let before = self.at;
            let (number, shape) = self.tag()?;
            match shape {
                0 => drop(self.varint()?),
                1 => drop(self.take(8)?),
                2 => {
                    let len = self.varint()?;
                    self.take(usize::try_from(len).unwrap_or(usize::MAX))?;
                }
                3 if open.len() < MAX_GROUPS => open.push(number),
                3 => return Err(self.broken("groups are nested too deep")),
                4 if open.pop() == Some(number) => {
                    if open.is_empty() {
                        return Ok(&self.bytes[start..before]);
                    }
                }
                5 => drop(self.take(4)?),
                _ => return Err(self.broken("a group does not end as it began")),
            }
        }
    }
}

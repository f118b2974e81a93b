//! Whole numbers of variable length, as Avro and protobuf have them: seven bits a byte, lowest first.

/// The number at the start of `bytes`, and how many of them it takes.
///
/// # Errors
/// Says what is wrong there, in words.
#[inline]
pub fn varint(bytes: &[u8]) -> Result<(u64, usize), &'static str> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        if i == 9 && *byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((value, i + 1));
        }
    }
    Err(if bytes.len() < 10 { "it ends too early" } else { "a number has more than 64 bits" })
}

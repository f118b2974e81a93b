//! Base64 (RFC 4648, section 4) to bytes.

/// Appends the bytes that `text` stands for to `out`. Padding may be left out; anything else that is not canonical —
/// a foreign character, loose padding, bits left over — is refused, and `out` stays as it was.
pub(super) fn decode(text: &str, out: &mut Vec<u8>) -> bool {
    let before = out.len();
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    let well_padded = padding == 0 || (padding <= 2 && text.len().is_multiple_of(4));
    if !well_padded || digits.len() % 4 == 1 {
        return false;
    }
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for &digit in group {
            let Some(value) = value_of(digit) else {
                out.truncate(before);
                return false;
            };
            bits = bits << 6 | value;
        }
        // A short group holds 12 or 18 bits for one or two bytes; what is left over must be zero.
        let spare = 24 - 6 * group.len() as u32;
        bits <<= spare;
        let bytes = group.len() * 6 / 8;
        let [_, all @ ..] = bits.to_be_bytes();
        if all[bytes..].iter().any(|&b| b != 0) {
            out.truncate(before);
            return false;
        }
        out.extend_from_slice(&all[..bytes]);
    }
    true
}

fn value_of(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

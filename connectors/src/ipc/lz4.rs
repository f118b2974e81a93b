//! How much an LZ4 frame may unpack to, from its block headers alone (LZ4 Frame Format, version 1.6).

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();

/// The least that a writer could have meant by so many blocks: all are full but the last. What is unpacked is at most one
/// block more.
pub(super) fn least_size(mut frame: &[u8]) -> Result<u64, &'static str> {
    let mut total = 0u64;
    while !frame.is_empty() {
        let (size, rest) = one(frame).ok_or("an LZ4 frame is cut off")?;
        total = total.saturating_add(size);
        frame = rest;
    }
    Ok(total)
}

/// The same of the first frame, and what follows it.
fn one(frame: &[u8]) -> Option<(u64, &[u8])> {
    let (magic, rest) = frame.split_first_chunk()?;
    let (&[flags, descriptor], rest) = rest.split_first_chunk()?;
    if *magic != MAGIC {
        return None;
    }
    let has = |bit: u8| flags & (1 << bit) != 0;
    let skipped = if has(3) { 8 } else { 0 } + if has(0) { 4 } else { 0 } + 1;
    let mut rest = rest.get(skipped..)?;
    // 4: 64 KiB, then four times more each.
    let block = 1u64 << (8 + 2 * u32::from((descriptor >> 4) & 7));
    let mut blocks = 0u64;
    loop {
        let (len, behind) = rest.split_first_chunk()?;
        let len = (u32::from_le_bytes(*len) & 0x7fff_ffff) as usize;
        if len == 0 {
            let behind = behind.get(if has(2) { 4 } else { 0 }..)?;
            return Some((blocks.saturating_sub(1).saturating_mul(block), behind));
        }
        blocks += 1;
        rest = behind.get(len.checked_add(if has(4) { 4 } else { 0 })?..)?;
    }
}

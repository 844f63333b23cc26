//! The bytes that bulk streams carry: known at every offset, so that a receiver can check any
//! piece of a stream without having kept what was sent.

/// A prime, so that no power-of-two buffer can swap two blocks unnoticed.
const PERIOD: usize = 65_521;

/// A byte stream without end that repeats after a prime number of bytes.
#[derive(Debug)]
pub(crate) struct Pattern {
    bytes: Vec<u8>,
}

impl Pattern {
    /// Prepares a pattern from which pieces of up to `piece` bytes can be taken.
    pub(crate) fn new(piece: usize) -> Self {
        // Xorshift: any sequence without short repetitions would do.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let period: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .take(PERIOD)
        .collect();
        let bytes = period.iter().copied().cycle().take(PERIOD + piece).collect();
        Self { bytes }
    }

    /// The `length` bytes at `offset` of the stream.
    ///
    /// # Panics
    /// When `length` is greater than the piece this was made for.
    pub(crate) fn at(&self, offset: u64, length: usize) -> &[u8] {
        // The remainder is below PERIOD, so the cast loses nothing.
        let start = (offset % PERIOD as u64) as usize;
        &self.bytes[start..start + length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_into_one_stream() {
        let pattern = Pattern::new(100_000);
        let whole = pattern.at(0, 100_000).to_vec();
        let mut joined = Vec::new();
        for length in [1, 4096, 65_520, 65_521 - 4097 + 8] {
            joined.extend_from_slice(pattern.at(joined.len() as u64, length));
        }
        joined.truncate(whole.len());
        assert_eq!(joined, whole[..joined.len()]);
    }

    #[test]
    fn a_swapped_or_shifted_block_does_not_match() {
        let pattern = Pattern::new(4096);
        assert_ne!(pattern.at(0, 4096), pattern.at(1, 4096));
        assert_ne!(pattern.at(0, 4096), pattern.at(65_536, 4096));
        assert_eq!(pattern.at(0, 4096), pattern.at(65_521, 4096));
    }
}

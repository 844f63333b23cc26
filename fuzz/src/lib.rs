//! What every decoder promises, as a check that a fuzz target can run on any input.
//!
//! The targets are the files of `tests/`, each with its corpus under `tests/__fuzz__/<target>/`.
//! `cargo test -p rustsocks-fuzz` replays the corpora and tries some thousand random inputs
//! each, in a few seconds. `BOLERO_RANDOM_ITERATIONS=1000000` in front of it looks longer. An
//! input that breaks a target is printed; once understood, it belongs into the corpus.
//!
//! ```
//! use rustsocks_proto::{MAX_CREDENTIALS, decode_credentials};
//!
//! let input = b"\x01\x05alice\x06secret and more";
//! rustsocks_fuzz::decodes_soundly(input, MAX_CREDENTIALS, decode_credentials);
//! ```

use std::fmt::Debug;

use rustsocks_proto::DecodeError;

/// How many random inputs a target tries where nobody asks for more.
pub const ITERATIONS: usize = 20_000;

/// How long random inputs get, in bytes: longer than any message.
pub const LENGTH_MAX: usize = 600;

/// Decodes `input` and checks what the decoder promises; `longest` is the longest message it
/// knows, in bytes.
///
/// # Panics
/// Where a promise is broken: more taken than given, a message that is not decided by its own
/// bytes alone, an error that more input would change, or "incomplete" without end.
pub fn decodes_soundly<'a, T, E>(
    input: &'a [u8],
    longest: usize,
    decode: impl Fn(&'a [u8]) -> Result<(T, usize), E>,
) where
    T: Debug + PartialEq,
    E: Debug + PartialEq + From<DecodeError>,
{
    let incomplete = || Err(DecodeError::Incomplete.into());
    let outcome = decode(input);
    // The shortest part of the input that is decided as the whole: everything before it must be
    // incomplete, everything from it on must be decided alike.
    let decided_at = match &outcome {
        Ok((_, taken)) => {
            assert!(*taken <= input.len(), "took {taken} of {} bytes", input.len());
            assert!(*taken <= longest, "a message of {taken} bytes");
            *taken
        }
        Err(error) if *error == DecodeError::Incomplete.into() => {
            assert!(input.len() < longest, "{} bytes and still incomplete", input.len());
            return (0..input.len())
                .for_each(|cut| assert_eq!(decode(&input[..cut]), incomplete()));
        }
        Err(_) => {
            let undecided = |&cut: &usize| decode(&input[..cut]) == incomplete();
            let decided_at = (0..=input.len()).take_while(undecided).count();
            assert!(decided_at <= longest, "refused only after {decided_at} bytes");
            decided_at
        }
    };
    for cut in 0..decided_at {
        assert_eq!(decode(&input[..cut]), incomplete(), "cut at {cut}");
    }
    for cut in decided_at..input.len() {
        assert_eq!(decode(&input[..cut]), outcome, "cut at {cut}");
    }
}

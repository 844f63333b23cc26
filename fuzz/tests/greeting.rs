//! Fuzz target: the SOCKS5 greeting.

use bolero::check;
use rustsocks_fuzz::{ITERATIONS, LENGTH_MAX, decodes_soundly};
use rustsocks_proto::{MAX_GREETING, decode_greeting};

#[test]
fn any_greeting_is_decoded_soundly() {
    check!(name = "greeting").with_iterations(ITERATIONS).with_max_len(LENGTH_MAX).for_each(
        |input| {
            decodes_soundly(input, MAX_GREETING, decode_greeting);
            // Random bytes seldom begin as a message does.
            decodes_soundly(&[&[0x05][..], input].concat(), MAX_GREETING, decode_greeting);
        },
    );
}

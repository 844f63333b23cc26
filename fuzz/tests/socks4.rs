//! Fuzz target: the SOCKS4 and 4a request.

use bolero::check;
use rustsocks_fuzz::{ITERATIONS, LENGTH_MAX, decodes_soundly};
use rustsocks_proto::{MAX_SOCKS4_REQUEST, decode_socks4};

#[test]
fn any_socks4_request_is_decoded_soundly() {
    check!(name = "socks4").with_iterations(ITERATIONS).with_max_len(LENGTH_MAX).for_each(
        |input| {
            decodes_soundly(input, MAX_SOCKS4_REQUEST, decode_socks4);
            // Random bytes seldom begin as a message does.
            decodes_soundly(
                &[&[0x04, 0x01, 0x00, 0x50, 0, 0, 0, 1][..], input].concat(),
                MAX_SOCKS4_REQUEST,
                decode_socks4,
            );
        },
    );
}

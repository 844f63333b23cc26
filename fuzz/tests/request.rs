//! Fuzz target: the SOCKS5 request.

use bolero::check;
use rustsocks_fuzz::{ITERATIONS, LENGTH_MAX, decodes_soundly};
use rustsocks_proto::{MAX_REQUEST, decode_request};

#[test]
fn any_request_is_decoded_soundly() {
    check!(name = "request").with_iterations(ITERATIONS).with_max_len(LENGTH_MAX).for_each(
        |input| {
            decodes_soundly(input, MAX_REQUEST, decode_request);
            // Random bytes seldom begin as a message does.
            decodes_soundly(
                &[&[0x05, 0x01, 0x00, 0x03][..], input].concat(),
                MAX_REQUEST,
                decode_request,
            );
        },
    );
}

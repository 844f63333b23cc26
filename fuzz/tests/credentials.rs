//! Fuzz target: user name and password.

use bolero::check;
use rustsocks_fuzz::{ITERATIONS, LENGTH_MAX, decodes_soundly};
use rustsocks_proto::{MAX_CREDENTIALS, decode_credentials};

#[test]
fn any_credentials_are_decoded_soundly() {
    check!(name = "credentials").with_iterations(ITERATIONS).with_max_len(LENGTH_MAX).for_each(
        |input| {
            decodes_soundly(input, MAX_CREDENTIALS, decode_credentials);
            // Random bytes seldom begin as a message does.
            decodes_soundly(&[&[0x01][..], input].concat(), MAX_CREDENTIALS, decode_credentials);
        },
    );
}

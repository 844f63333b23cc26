//! Fuzz target: the header of a datagram.

use bolero::check;
use rustsocks_fuzz::{ITERATIONS, LENGTH_MAX, decodes_soundly};
use rustsocks_proto::udp::{MAX_UDP_HEADER, decode_udp};

#[test]
fn any_datagram_is_decoded_soundly() {
    check!(name = "udp").with_iterations(ITERATIONS).with_max_len(LENGTH_MAX).for_each(|input| {
        decodes_soundly(input, MAX_UDP_HEADER, decode_udp);
        // Random bytes seldom begin as a message does.
        decodes_soundly(
            &[&[0x00, 0x00, 0x00, 0x03][..], input].concat(),
            MAX_UDP_HEADER,
            decode_udp,
        );
    });
}

//! RFC 1928, clause by clause: each test is named for what the RFC asks of the bytes.
//!
//! Clauses about connections and sockets (who closes when, §6; which datagrams are dropped, §7)
//! are held by the crates that own these, `server` and `relay`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rustsocks_proto::client::{
    decode_method, decode_reply, encode_greeting, encode_request, encode_udp,
};
use rustsocks_proto::udp::{MAX_UDP_HEADER, decode_udp, encode_udp_header};
use rustsocks_proto::{
    Command, DecodeError, Host, HostName, MAX_GREETING, MAX_REQUEST, Method, Reply, Request,
    RequestError, Target, Version, decode_greeting, decode_request, encode_method, encode_reply,
    version,
};

fn name(text: &str, port: u16) -> Target {
    Target { host: Host::Name(HostName::new(text).expect("a name")), port }
}

fn address(text: &str) -> Target {
    text.parse::<SocketAddr>().expect("an address").into()
}

/// A request to connect to a name, given as bytes, at port 80.
fn request_for(name: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("at most 255 bytes");
    [&[0x05, 0x01, 0x00, 0x03, length], name, &[0x00, 0x50]].concat()
}

fn target_of(name: &[u8]) -> Result<Target, DecodeError> {
    decode_request(&request_for(name)).map(|(request, _)| request.target).map_err(|e| e.error)
}

// §3: VER is X'05'; NMETHODS counts the octets of METHODS, 1 to 255.

#[test]
fn s3_greeting_has_version_5_and_the_counted_methods() {
    let (greeting, taken) = decode_greeting(&[0x05, 0x03, 0x00, 0x01, 0x02]).unwrap();
    assert_eq!(taken, 5);
    assert!(greeting.offers(Method::None));
    assert!(greeting.offers(Method::UserPass));
    assert!(!greeting.offers(Method::Unacceptable));
}

#[test]
fn s3_bytes_behind_the_counted_methods_are_no_methods() {
    let (greeting, taken) = decode_greeting(&[0x05, 0x01, 0x00, 0x02]).unwrap();
    assert_eq!(taken, 3);
    assert!(!greeting.offers(Method::UserPass));
}

#[test]
fn s3_greeting_of_another_version_is_refused_at_its_first_byte() {
    for other in (0..=u8::MAX).filter(|&byte| byte != 0x05) {
        assert_eq!(decode_greeting(&[other]), Err(DecodeError::Version(other)));
    }
}

#[test]
fn s3_first_byte_tells_the_two_protocols_from_everything_else() {
    assert_eq!(version(0x05), Ok(Version::V5));
    assert_eq!(version(0x04), Ok(Version::V4));
    for strange in [0x00, 0x03, 0x06, 0x16, b'G', 0xFF] {
        assert_eq!(version(strange), Err(DecodeError::Version(strange)));
    }
}

#[test]
fn s3_greeting_without_methods_is_refused() {
    assert_eq!(decode_greeting(&[0x05, 0x00]), Err(DecodeError::NoMethods));
    assert_eq!(decode_greeting(&[0x05, 0x00, 0x00]), Err(DecodeError::NoMethods));
}

#[test]
fn s3_greeting_with_255_methods_is_read() {
    let mut longest = vec![0x05, 0xFF];
    longest.extend([0x80; 254]);
    longest.push(0x02);
    assert_eq!(longest.len(), MAX_GREETING);
    let (greeting, taken) = decode_greeting(&longest).unwrap();
    assert_eq!(taken, MAX_GREETING);
    assert!(greeting.offers(Method::UserPass));
    assert!(!greeting.offers(Method::None));
}

#[test]
fn s3_methods_have_their_assigned_numbers() {
    assert_eq!(encode_method(Method::None), [0x05, 0x00]);
    assert_eq!(encode_method(Method::UserPass), [0x05, 0x02]);
    assert_eq!(encode_method(Method::Unacceptable), [0x05, 0xFF]);
}

#[test]
fn s3_client_writes_its_methods_and_reads_the_choice() {
    let mut greeting = Vec::new();
    encode_greeting(&[Method::None, Method::UserPass], &mut greeting);
    assert_eq!(greeting, [0x05, 0x02, 0x00, 0x02]);
    assert_eq!(decode_method(&[0x05, 0xFF]), Ok((Method::Unacceptable, 2)));
    assert_eq!(decode_method(&[0x05, 0x01]), Err(DecodeError::Method(0x01)));
    assert_eq!(decode_method(&[0x04, 0x00]), Err(DecodeError::Version(0x04)));
    assert_eq!(decode_method(&[0x05]), Err(DecodeError::Incomplete));
}

// §4: VER X'05', CMD, RSV, ATYP, DST.ADDR, DST.PORT in network octet order.

#[test]
fn s4_request_names_its_command() {
    for (code, command) in
        [(0x01, Command::Connect), (0x02, Command::Bind), (0x03, Command::UdpAssociate)]
    {
        let request = [0x05, code, 0x00, 0x01, 192, 0, 2, 1, 0x1F, 0x90];
        let expected = Request { command, target: address("192.0.2.1:8080") };
        assert_eq!(decode_request(&request), Ok((expected, 10)));
    }
}

#[test]
fn s4_request_of_another_version_is_refused() {
    let error = decode_request(&[0x04, 0x01]).unwrap_err();
    assert_eq!(error, RequestError { error: DecodeError::Version(0x04), target: None });
}

#[test]
fn s4_port_is_in_network_octet_order() {
    let request = [0x05, 0x01, 0x00, 0x01, 192, 0, 2, 1, 0x01, 0x02];
    assert_eq!(decode_request(&request).unwrap().0.target.port, 0x0102);
}

#[test]
fn s4_unknown_command_is_reported_with_its_target() {
    for code in (0..=u8::MAX).filter(|code| !(1..=3).contains(code)) {
        let request = [0x05, code, 0x00, 0x01, 192, 0, 2, 1, 0x00, 0x50];
        let error = decode_request(&request).unwrap_err();
        assert_eq!(error.error, DecodeError::Command(code));
        assert_eq!(error.target, Some(address("192.0.2.1:80")));
        assert_eq!(error.error.reply(), Some(Reply::CommandNotSupported));
        // Until the target is there, it is only incomplete.
        let error = decode_request(&request[..9]).unwrap_err();
        assert_eq!(error, DecodeError::Incomplete.into());
    }
}

#[test]
fn s4_unknown_command_outweighs_a_malformed_target() {
    let error = decode_request(&[0x05, 0x09, 0x00, 0x02]).unwrap_err();
    assert_eq!(error, RequestError { error: DecodeError::Command(0x09), target: None });
}

#[test]
fn s4_client_writes_requests() {
    let mut request = Vec::new();
    encode_request(Command::UdpAssociate, &address("0.0.0.0:0"), &mut request);
    assert_eq!(request, [0x05, 0x03, 0x00, 0x01, 0, 0, 0, 0, 0, 0]);
}

// §5: X'01' is four octets, X'03' one octet of length and a name without NUL, X'04' 16 octets.

#[test]
fn s5_ipv4_address_has_four_octets() {
    let request = [0x05, 0x01, 0x00, 0x01, 203, 0, 113, 9, 0x00, 0x50];
    assert_eq!(decode_request(&request).unwrap().0.target, address("203.0.113.9:80"));
}

#[test]
fn s5_ipv6_address_has_sixteen_octets() {
    let octets = "2001:db8::5".parse::<Ipv6Addr>().unwrap().octets();
    let request = [&[0x05, 0x01, 0x00, 0x04][..], &octets, &[0x00, 0x50]].concat();
    let (request, taken) = decode_request(&request).unwrap();
    assert_eq!(taken, 22);
    assert_eq!(request.target, address("[2001:db8::5]:80"));
}

#[test]
fn s5_name_is_as_long_as_its_first_octet_says() {
    assert_eq!(target_of(b"example.com"), Ok(name("example.com", 80)));
    let longest = "n".repeat(255);
    let request = request_for(longest.as_bytes());
    assert_eq!(request.len(), MAX_REQUEST);
    let (request, taken) = decode_request(&request).unwrap();
    assert_eq!((request.target, taken), (name(&longest, 80), MAX_REQUEST));
}

#[test]
fn s5_name_keeps_its_case_and_its_final_dot() {
    assert_eq!(target_of(b"Example.COM."), Ok(name("Example.COM.", 80)));
}

#[test]
fn s5_empty_name_is_refused() {
    assert_eq!(target_of(b""), Err(DecodeError::EmptyName));
    assert_eq!(DecodeError::EmptyName.reply(), Some(Reply::GeneralFailure));
}

#[test]
fn s5_name_with_nul_blank_control_or_non_ascii_bytes_is_refused() {
    for bad in [&b"example.com\0"[..], b"a b", b"a\nb", b"a\x7f", "bücher.example".as_bytes()] {
        assert_eq!(target_of(bad), Err(DecodeError::BadName), "{bad:?}");
    }
    assert_eq!(target_of(&[0xFF, 0xFE]), Err(DecodeError::BadName));
    assert_eq!(DecodeError::BadName.reply(), Some(Reply::GeneralFailure));
}

#[test]
fn s5_name_that_spells_an_address_is_that_address() {
    for (spelling, meant) in [
        ("127.0.0.1", "127.0.0.1:80"),
        ("127.0.0.1.", "127.0.0.1:80"),
        ("::1", "[::1]:80"),
        ("[::1]", "[::1]:80"),
        ("[2001:DB8::5]", "[2001:db8::5]:80"),
        ("::ffff:10.0.0.1", "[::ffff:10.0.0.1]:80"),
    ] {
        assert_eq!(target_of(spelling.as_bytes()), Ok(address(meant)), "{spelling}");
    }
}

#[test]
fn s5_name_that_only_looks_like_an_address_stays_a_name() {
    for spelling in ["127.1", "0x7f.0.0.1", "256.0.0.1", "1.2.3.4.5", "[1.2.3.4]", "fe80::1%lo"] {
        assert_eq!(target_of(spelling.as_bytes()), Ok(name(spelling, 80)), "{spelling}");
    }
}

#[test]
fn s5_unknown_address_type_is_refused_at_once() {
    for kind in [0x00, 0x02, 0x05, 0xFF] {
        let error = decode_request(&[0x05, 0x01, 0x00, kind]).unwrap_err();
        assert_eq!(error, DecodeError::AddressType(kind).into());
        assert_eq!(error.error.reply(), Some(Reply::AddressTypeNotSupported));
    }
}

// §6: replies; fields marked RSV must be X'00'.

#[test]
fn s6_replies_have_their_assigned_numbers() {
    let bound = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 0x1234));
    for (code, reply) in (0x00..).zip(Reply::ALL) {
        let expected = [0x05, code, 0x00, 0x01, 192, 0, 2, 7, 0x12, 0x34];
        assert_eq!(*encode_reply(reply, bound), expected);
    }
    assert_eq!(Reply::ALL.len(), 9);
    assert_eq!(Reply::Succeeded as u8, 0x00);
    assert_eq!(Reply::GeneralFailure as u8, 0x01);
    assert_eq!(Reply::NotAllowed as u8, 0x02);
    assert_eq!(Reply::NetworkUnreachable as u8, 0x03);
    assert_eq!(Reply::HostUnreachable as u8, 0x04);
    assert_eq!(Reply::ConnectionRefused as u8, 0x05);
    assert_eq!(Reply::TtlExpired as u8, 0x06);
    assert_eq!(Reply::CommandNotSupported as u8, 0x07);
    assert_eq!(Reply::AddressTypeNotSupported as u8, 0x08);
}

#[test]
fn s6_reply_tells_an_ipv6_address_in_sixteen_octets() {
    let bound = "[2001:db8::7]:1080".parse().unwrap();
    let reply = encode_reply(Reply::Succeeded, bound);
    assert_eq!(reply[..5], [0x05, 0x00, 0x00, 0x04, 0x20]);
    assert_eq!(reply.len(), 22);
    assert_eq!(decode_reply(&reply), Ok((Reply::Succeeded, bound.into(), 22)));
}

#[test]
fn s6_reply_tells_a_mapped_address_as_ipv4() {
    let bound = "[::ffff:192.0.2.7]:1080".parse().unwrap();
    let reply = encode_reply(Reply::Succeeded, bound);
    assert_eq!(*reply, [0x05, 0x00, 0x00, 0x01, 192, 0, 2, 7, 0x04, 0x38]);
}

#[test]
fn s6_reserved_fields_are_written_as_zero_and_not_looked_at() {
    let mut request = Vec::new();
    encode_request(Command::Connect, &name("example.com", 80), &mut request);
    assert_eq!(request[2], 0x00);
    assert_eq!(encode_reply(Reply::Succeeded, "192.0.2.7:1".parse().unwrap())[2], 0x00);
    let expected = decode_request(&request);
    request[2] = 0xFF;
    assert_eq!(decode_request(&request), expected);
}

#[test]
fn s6_unassigned_reply_is_an_error_to_the_client() {
    let reply = [0x05, 0x09, 0x00, 0x01, 0, 0, 0, 0, 0, 0];
    assert_eq!(decode_reply(&reply), Err(DecodeError::Reply(0x09)));
}

#[test]
fn s6_no_reply_is_given_to_what_is_no_socks5() {
    for error in [
        DecodeError::Incomplete,
        DecodeError::Version(b'G'),
        DecodeError::AuthVersion(5),
        DecodeError::NoMethods,
        DecodeError::Reply(9),
        DecodeError::Method(1),
    ] {
        assert_eq!(error.reply(), None, "{error}");
    }
}

// §7: RSV X'0000', FRAG, ATYP, DST.ADDR, DST.PORT, DATA.

#[test]
fn s7_datagram_has_a_header_and_then_its_payload() {
    let datagram = b"\x00\x00\x00\x03\x0bexample.com\x00\x35query";
    let (header, payload) = decode_udp(datagram).unwrap();
    assert_eq!((header.fragment, header.target), (0, name("example.com", 53)));
    assert_eq!(&datagram[payload..], b"query");
}

#[test]
fn s7_datagram_may_have_no_payload() {
    let datagram = [0, 0, 0, 0x01, 192, 0, 2, 1, 0, 53];
    assert_eq!(decode_udp(&datagram).unwrap().1, datagram.len());
}

#[test]
fn s7_fragments_are_told_from_standalone_datagrams() {
    for fragment in [0x01, 0x7F, 0x80, 0xFF] {
        let datagram = [0, 0, fragment, 0x01, 192, 0, 2, 1, 0, 53, b'x'];
        assert_eq!(decode_udp(&datagram).unwrap().0.fragment, fragment);
    }
}

#[test]
fn s7_datagram_cut_within_its_header_is_refused() {
    let mut datagram = Vec::new();
    encode_udp(&name("example.com", 53), b"", &mut datagram);
    for length in 0..datagram.len() {
        assert_eq!(decode_udp(&datagram[..length]), Err(DecodeError::Incomplete));
    }
}

#[test]
fn s7_datagram_with_a_bad_target_is_refused() {
    assert_eq!(decode_udp(&[0, 0, 0, 0x02]), Err(DecodeError::AddressType(0x02)));
    assert_eq!(decode_udp(&[0, 0, 0, 0x03, 0, 0, 53]), Err(DecodeError::EmptyName));
}

#[test]
fn s7_reply_datagrams_are_encapsulated_with_their_source() {
    let header = encode_udp_header("192.0.2.1:53".parse().unwrap());
    assert_eq!(*header, [0, 0, 0, 0x01, 192, 0, 2, 1, 0, 53]);
    let header = encode_udp_header("[::ffff:192.0.2.1]:53".parse().unwrap());
    assert_eq!(*header, [0, 0, 0, 0x01, 192, 0, 2, 1, 0, 53]);
    let header = encode_udp_header("[2001:db8::1]:53".parse().unwrap());
    assert_eq!((header.len(), header[3]), (22, 0x04));
}

#[test]
fn s7_headers_need_no_more_room_than_the_rfc_reserves() {
    let room = |target: &Target| {
        let mut datagram = Vec::new();
        encode_udp(target, b"", &mut datagram);
        datagram.len()
    };
    assert_eq!(room(&address("192.0.2.1:53")), 10);
    assert_eq!(room(&name(&"n".repeat(255), 53)), 262);
    assert_eq!(MAX_UDP_HEADER, 262);
    // The RFC says 20 for IPv6, which its own layout contradicts: 4 + 16 + 2.
    assert_eq!(room(&address("[2001:db8::1]:53")), 22);
}

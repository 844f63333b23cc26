//! SOCKS4 and 4a, field by field.

use std::net::SocketAddr;

use rustsocks_proto::client::{Socks4Error, decode_socks4_reply, encode_socks4_request};
use rustsocks_proto::{
    Command, DecodeError, Host, HostName, MAX_MESSAGE, Reply, RequestError, Socks4Reply,
    Socks4Request, Target, decode_socks4, encode_socks4_reply,
};

fn name(text: &str, port: u16) -> Target {
    Target { host: Host::Name(HostName::new(text).expect("a name")), port }
}

fn address(text: &str) -> Target {
    text.parse::<SocketAddr>().expect("an address").into()
}

#[test]
fn request_names_command_port_address_and_user() {
    for (code, command) in [(0x01, Command::Connect), (0x02, Command::Bind)] {
        let request = [0x04, code, 0x00, 0x50, 192, 0, 2, 1, b'm', b'e', 0, b'x'];
        let expected = Socks4Request { command, target: address("192.0.2.1:80") };
        assert_eq!(decode_socks4(&request), Ok((expected, 11)));
    }
}

#[test]
fn user_may_be_empty() {
    let request = [0x04, 0x01, 0x00, 0x50, 192, 0, 2, 1, 0];
    assert_eq!(decode_socks4(&request).unwrap().1, request.len());
}

#[test]
fn impossible_address_says_that_a_name_follows() {
    let request = b"\x04\x01\x01\xbb\x00\x00\x00\x01me\0example.com\0hello";
    let (decoded, taken) = decode_socks4(request).unwrap();
    assert_eq!(decoded.target, name("example.com", 443));
    assert_eq!(&request[taken..], b"hello");
}

#[test]
fn all_zeros_are_an_address_and_no_sign_of_a_name() {
    let request = [0x04, 0x02, 0x00, 0x50, 0, 0, 0, 0, 0];
    assert_eq!(decode_socks4(&request).unwrap().0.target, address("0.0.0.0:80"));
}

#[test]
fn name_that_spells_an_address_is_that_address() {
    let request = b"\x04\x01\x00\x50\x00\x00\x00\x01\x00127.0.0.1\0";
    assert_eq!(decode_socks4(request).unwrap().0.target, address("127.0.0.1:80"));
}

#[test]
fn empty_or_unprintable_names_are_refused() {
    let error = decode_socks4(b"\x04\x01\x00\x50\x00\x00\x00\x01\0\0").unwrap_err();
    assert_eq!(error, DecodeError::EmptyName.into());
    let error = decode_socks4(b"\x04\x01\x00\x50\x00\x00\x00\x01\0a b\0").unwrap_err();
    assert_eq!(error, DecodeError::BadName.into());
}

#[test]
fn longest_user_and_name_fill_the_longest_message() {
    let longest = name(&"n".repeat(255), 80);
    let mut request = Vec::new();
    encode_socks4_request(Command::Connect, &longest, &[b'u'; 255], &mut request).unwrap();
    assert_eq!(request.len(), MAX_MESSAGE);
    let (decoded, taken) = decode_socks4(&request).unwrap();
    assert_eq!((decoded.target, taken), (longest, MAX_MESSAGE));
}

#[test]
fn user_without_an_end_is_refused_at_its_256th_byte() {
    let mut request = vec![0x04, 0x01, 0x00, 0x50, 192, 0, 2, 1];
    request.extend([b'u'; 255]);
    assert_eq!(decode_socks4(&request), Err(DecodeError::Incomplete.into()));
    request.push(b'u');
    assert_eq!(decode_socks4(&request), Err(DecodeError::TooLong.into()));
    assert_eq!(DecodeError::TooLong.reply(), Some(Reply::GeneralFailure));
}

#[test]
fn name_without_an_end_is_refused_at_its_256th_byte() {
    let mut request = vec![0x04, 0x01, 0x00, 0x50, 0, 0, 0, 9, b'm', b'e', 0];
    request.extend([b'n'; 255]);
    assert_eq!(decode_socks4(&request), Err(DecodeError::Incomplete.into()));
    request.push(b'n');
    assert_eq!(decode_socks4(&request), Err(DecodeError::TooLong.into()));
}

#[test]
fn unknown_command_is_reported_with_its_target() {
    for code in (0..=u8::MAX).filter(|code| !(1..=2).contains(code)) {
        let request = [0x04, code, 0x00, 0x50, 192, 0, 2, 1, 0];
        let error = DecodeError::Command(code);
        let target = Some(address("192.0.2.1:80"));
        assert_eq!(decode_socks4(&request), Err(RequestError { error, target }));
        assert_eq!(decode_socks4(&request[..8]), Err(DecodeError::Incomplete.into()));
    }
}

#[test]
fn request_of_another_version_is_refused() {
    assert_eq!(decode_socks4(&[0x05]), Err(DecodeError::Version(0x05).into()));
}

#[test]
fn reply_has_version_zero_code_port_and_address() {
    let bound = "192.0.2.7:80".parse().unwrap();
    let granted = encode_socks4_reply(Socks4Reply::Granted, bound);
    assert_eq!(granted, [0x00, 0x5A, 0x00, 0x50, 192, 0, 2, 7]);
    let rejected = encode_socks4_reply(Socks4Reply::Rejected, bound);
    assert_eq!(rejected, [0x00, 0x5B, 0x00, 0x50, 192, 0, 2, 7]);
    assert_eq!(decode_socks4_reply(&granted), Ok((Socks4Reply::Granted, 8)));
    assert_eq!(decode_socks4_reply(&rejected), Ok((Socks4Reply::Rejected, 8)));
    assert_eq!(decode_socks4_reply(&granted[..7]), Err(DecodeError::Incomplete));
}

#[test]
fn reply_tells_mapped_addresses_and_leaves_out_ipv6() {
    let mapped =
        encode_socks4_reply(Socks4Reply::Granted, "[::ffff:192.0.2.7]:80".parse().unwrap());
    assert_eq!(mapped[4..], [192, 0, 2, 7]);
    let ipv6 = encode_socks4_reply(Socks4Reply::Granted, "[2001:db8::7]:80".parse().unwrap());
    assert_eq!(ipv6, [0x00, 0x5A, 0x00, 0x50, 0, 0, 0, 0]);
}

#[test]
fn what_socks4_cannot_express_is_refused_by_the_encoder() {
    let mut out = Vec::new();
    let mut encode = |command, target: &Target, user: &[u8]| {
        encode_socks4_request(command, target, user, &mut out)
    };
    let v4 = address("192.0.2.1:80");
    assert_eq!(encode(Command::UdpAssociate, &v4, b""), Err(Socks4Error::Command));
    assert_eq!(encode(Command::Connect, &address("[::1]:80"), b""), Err(Socks4Error::Address));
    assert_eq!(encode(Command::Connect, &address("0.0.0.7:80"), b""), Err(Socks4Error::Address));
    assert_eq!(encode(Command::Connect, &v4, b"a\0b"), Err(Socks4Error::UserId));
    assert_eq!(encode(Command::Connect, &v4, &[b'u'; 256]), Err(Socks4Error::UserId));
    assert!(out.is_empty());
}

//! RFC 1929, clause by clause: user name and password.
//!
//! That the server closes the connection after a failure (§2) is held by `server`.

use rustsocks_proto::client::{decode_auth_status, encode_credentials};
use rustsocks_proto::{
    AuthStatus, Credentials, DecodeError, MAX_CREDENTIALS, decode_credentials, encode_auth_status,
};

#[test]
fn s2_message_has_version_1_and_two_counted_fields() {
    let message = b"\x01\x05alice\x06secretrest";
    let (credentials, taken) = decode_credentials(message).unwrap();
    assert_eq!(credentials, Credentials { username: b"alice", password: b"secret" });
    assert_eq!(&message[taken..], b"rest");
}

#[test]
fn s2_version_is_that_of_the_subnegotiation_and_no_other() {
    for other in (0..=u8::MAX).filter(|&byte| byte != 0x01) {
        assert_eq!(decode_credentials(&[other]), Err(DecodeError::AuthVersion(other)));
    }
}

#[test]
fn s2_fields_have_up_to_255_bytes() {
    let credentials = Credentials { username: &[b'u'; 255], password: &[b'p'; 255] };
    let mut message = Vec::new();
    encode_credentials(credentials, &mut message);
    assert_eq!(message.len(), MAX_CREDENTIALS);
    assert_eq!(decode_credentials(&message), Ok((credentials, MAX_CREDENTIALS)));
}

#[test]
fn s2_fields_are_bytes_whatever_they_spell() {
    let message = [0x01, 2, 0xFF, 0x00, 1, 0x80];
    let (credentials, _) = decode_credentials(&message).unwrap();
    assert_eq!(credentials, Credentials { username: &[0xFF, 0x00], password: &[0x80] });
}

#[test]
fn s2_empty_fields_are_left_to_the_check_of_credentials() {
    for (message, username, password) in [
        (&b"\x01\x00\x00"[..], &b""[..], &b""[..]),
        (b"\x01\x01u\x00", b"u", b""),
        (b"\x01\x00\x01p", b"", b"p"),
    ] {
        let expected = (Credentials { username, password }, message.len());
        assert_eq!(decode_credentials(message), Ok(expected));
    }
}

#[test]
fn s2_status_zero_is_success_and_any_other_is_failure() {
    assert_eq!(encode_auth_status(AuthStatus::Success), [0x01, 0x00]);
    assert_eq!(encode_auth_status(AuthStatus::Failure), [0x01, 0x01]);
    assert_eq!(decode_auth_status(&[0x01, 0x00]), Ok((AuthStatus::Success, 2)));
    for status in 1..=u8::MAX {
        assert_eq!(decode_auth_status(&[0x01, status]), Ok((AuthStatus::Failure, 2)));
    }
    assert_eq!(decode_auth_status(&[0x05, 0x00]), Err(DecodeError::AuthVersion(0x05)));
    assert_eq!(decode_auth_status(&[0x01]), Err(DecodeError::Incomplete));
}

// §3: the password travels in clear text; it goes no further than it must.

#[test]
fn s3_password_is_never_shown() {
    let (credentials, _) = decode_credentials(b"\x01\x05alice\x06secret").unwrap();
    let shown = format!("{credentials:?} {credentials:#?}");
    assert!(shown.contains("alice"));
    assert!(!shown.contains("secret"));
    assert!(!shown.contains("115"), "nor as a list of bytes");
}

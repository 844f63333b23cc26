//! What holds for every message: it decodes to what was encoded, wherever it is cut it is
//! incomplete, and what follows it has no influence. And what holds for every input: no panic,
//! nothing taken that is not there, no endless "incomplete".

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use rustsocks_proto::client::{
    decode_auth_status, decode_method, decode_reply, decode_socks4_reply, encode_credentials,
    encode_greeting, encode_request, encode_socks4_request, encode_udp,
};
use rustsocks_proto::udp::{MAX_UDP_HEADER, decode_udp, encode_udp_header};
use rustsocks_proto::{
    AuthStatus, Command, Credentials, DecodeError, Host, HostName, MAX_CREDENTIALS, MAX_GREETING,
    MAX_REQUEST, MAX_SOCKS4_REQUEST, Method, Reply, Socks4Reply, Target, decode_credentials,
    decode_greeting, decode_request, decode_socks4, encode_auth_status, encode_method,
    encode_reply, encode_socks4_reply,
};

/// Decodes `message` and checks that cutting it anywhere makes it incomplete and that bytes
/// behind it change nothing.
fn decoded<'a, T: Debug + PartialEq, E: Debug + PartialEq + From<DecodeError>>(
    message: &'a [u8],
    followed: &'a [u8],
    decode: impl Fn(&'a [u8]) -> Result<(T, usize), E>,
) -> T {
    assert!(followed.starts_with(message));
    for cut in 0..message.len() {
        assert_eq!(decode(&message[..cut]), Err(DecodeError::Incomplete.into()), "cut at {cut}");
    }
    let (value, taken) = decode(message).expect("the message is whole");
    assert_eq!(taken, message.len());
    assert_eq!(decode(followed).expect("the message is whole"), (value, taken));
    decode(message).expect("the message is whole").0
}

/// The message with something behind it.
fn followed(message: &[u8], rest: &[u8]) -> Vec<u8> {
    [message, rest].concat()
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
        // Mapped addresses would hardly ever come by chance.
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped().into()),
    ]
}

fn socket_address() -> impl Strategy<Value = SocketAddr> {
    (ip(), any::<u16>()).prop_map(SocketAddr::from)
}

fn host_name() -> impl Strategy<Value = String> {
    let bytes = (b'!'..=b'~').prop_filter("no name holds one", |byte| *byte != b'\\');
    vec(bytes, 1..=255).prop_map(|bytes| String::from_utf8(bytes).expect("ASCII"))
}

/// A host as a client writes it, and as it is meant.
fn host() -> impl Strategy<Value = (Host, Host)> {
    let name = |text: &str| Host::Name(HostName::new(text).expect("a name"));
    let spelled = |ip: IpAddr, form: usize| match (ip, form) {
        (IpAddr::V6(ip), 0) => format!("[{ip}]"),
        (ip, 1) => format!("{ip}."),
        (ip, _) => ip.to_string(),
    };
    prop_oneof![
        ip().prop_map(|ip| (Host::Ip(ip), Host::Ip(ip))),
        (ip(), 0_usize..3).prop_map(move |(ip, form)| (name(&spelled(ip, form)), Host::Ip(ip))),
        host_name()
            .prop_filter("no address", |text| !text.ends_with(['.', ']']))
            .prop_filter("no address", |text| text.parse::<IpAddr>().is_err())
            .prop_map(move |text| (name(&text), name(&text))),
    ]
}

/// A target as a client writes it, and as it is meant.
fn target() -> impl Strategy<Value = (Target, Target)> {
    (host(), any::<u16>()).prop_map(|((written, meant), port)| {
        (Target { host: written, port }, Target { host: meant, port })
    })
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![Just(Command::Connect), Just(Command::Bind), Just(Command::UdpAssociate)]
}

fn methods() -> impl Strategy<Value = Vec<Method>> {
    let one = prop_oneof![Just(Method::None), Just(Method::UserPass), Just(Method::Unacceptable)];
    vec(one, 1..=255)
}

fn rest() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..600)
}

proptest! {
    #[test]
    fn greetings_survive_the_wire(methods in methods(), rest in rest()) {
        let mut message = Vec::new();
        encode_greeting(&methods, &mut message);
        let whole = followed(&message, &rest);
        let greeting = decoded(&message, &whole, decode_greeting);
        for method in [Method::None, Method::UserPass, Method::Unacceptable] {
            prop_assert_eq!(greeting.offers(method), methods.contains(&method));
        }
    }

    #[test]
    fn credentials_survive_the_wire(
        username in vec(any::<u8>(), 0..=255),
        password in vec(any::<u8>(), 0..=255),
        rest in rest(),
    ) {
        let sent = Credentials { username: &username, password: &password };
        let mut message = Vec::new();
        encode_credentials(sent, &mut message);
        let whole = followed(&message, &rest);
        prop_assert_eq!(decoded(&message, &whole, decode_credentials), sent);
    }

    #[test]
    fn requests_survive_the_wire(
        command in command(),
        (written, meant) in target(),
        rest in rest(),
    ) {
        let mut message = Vec::new();
        encode_request(command, &written, &mut message);
        let whole = followed(&message, &rest);
        let request = decoded(&message, &whole, decode_request);
        prop_assert_eq!((request.command, request.target), (command, meant));
    }

    #[test]
    fn socks4_requests_survive_the_wire(
        command in command(),
        (written, meant) in target(),
        user_id in vec(1_u8..=255, 0..=255),
        rest in rest(),
    ) {
        let mut message = Vec::new();
        if encode_socks4_request(command, &written, &user_id, &mut message).is_ok() {
            let whole = followed(&message, &rest);
            let request = decoded(&message, &whole, decode_socks4);
            prop_assert_eq!((request.command, request.target), (command, meant));
        } else {
            let ipv6 = matches!(written.host, Host::Ip(IpAddr::V6(_)));
            let sign = matches!(written.host, Host::Ip(IpAddr::V4(ip)) if ip.octets()[..3] == [0; 3]);
            prop_assert!(command == Command::UdpAssociate || ipv6 || sign);
        }
    }

    #[test]
    fn datagrams_survive_the_wire((written, meant) in target(), payload in rest()) {
        let mut datagram = Vec::new();
        encode_udp(&written, &payload, &mut datagram);
        let header = &datagram[..datagram.len() - payload.len()];
        let decoded = decoded(header, &datagram, decode_udp);
        prop_assert_eq!((decoded.fragment, decoded.target), (0, meant));
    }

    #[test]
    fn answers_survive_the_wire(
        reply in (0..Reply::ALL.len()).prop_map(|index| Reply::ALL[index]),
        address in socket_address(),
        rest in rest(),
    ) {
        let meant = SocketAddr::new(address.ip().to_canonical(), address.port());
        let message = encode_reply(reply, address);
        let whole = followed(&message, &rest);
        let decode = |input| decode_reply(input).map(|(reply, bound, taken)| ((reply, bound), taken));
        prop_assert_eq!(decoded(&message, &whole, decode), (reply, meant.into()));

        let message = encode_udp_header(address);
        let whole = followed(&message, &rest);
        prop_assert_eq!(decoded(&message, &whole, decode_udp).target, meant.into());

        for answer in [Socks4Reply::Granted, Socks4Reply::Rejected] {
            let message = encode_socks4_reply(answer, address);
            let whole = followed(&message, &rest);
            prop_assert_eq!(decoded(&message, &whole, decode_socks4_reply), answer);
        }
        for method in [Method::None, Method::UserPass, Method::Unacceptable] {
            let message = encode_method(method);
            let whole = followed(&message, &rest);
            prop_assert_eq!(decoded(&message, &whole, decode_method), method);
        }
        for status in [AuthStatus::Success, AuthStatus::Failure] {
            let message = encode_auth_status(status);
            let whole = followed(&message, &rest);
            prop_assert_eq!(decoded(&message, &whole, decode_auth_status), status);
        }
    }

    #[test]
    fn any_bytes_are_taken_in_part_refused_or_wanted_longer(
        input in vec(any::<u8>(), 0..600),
        head in vec(0_u8..6, 0..8),
    ) {
        // Random bytes alone would seldom get past the version.
        for input in [&input[..], &followed(&head, &input)] {
            let length = input.len();
            total(length, MAX_GREETING, decode_greeting(input).map(|(_, taken)| taken));
            total(length, MAX_CREDENTIALS, decode_credentials(input).map(|(_, taken)| taken));
            let request = decode_request(input).map(|(_, taken)| taken);
            total(length, MAX_REQUEST, request.map_err(|error| error.error));
            let request = decode_socks4(input).map(|(_, taken)| taken);
            total(length, MAX_SOCKS4_REQUEST, request.map_err(|error| error.error));
            total(length, MAX_UDP_HEADER, decode_udp(input).map(|(_, offset)| offset));
            total(length, MAX_REQUEST, decode_reply(input).map(|(_, _, taken)| taken));
            total(length, 2, decode_method(input).map(|(_, taken)| taken));
            total(length, 2, decode_auth_status(input).map(|(_, taken)| taken));
            total(length, 8, decode_socks4_reply(input).map(|(_, taken)| taken));
        }
    }
}

/// Checks what a decoder said of `length` bytes, where `longest` is the longest message it knows.
fn total(length: usize, longest: usize, decoded: Result<usize, DecodeError>) {
    match decoded {
        Ok(taken) => assert!(taken <= length && taken <= longest),
        Err(DecodeError::Incomplete) => assert!(length < longest),
        Err(_) => {}
    }
}

//! The TCP relay between two real socket pairs: nothing lost, nothing doubled, whatever the
//! sizes, the pipes and the pace.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::task::{Context, Poll};

use proptest::prelude::*;
use rustsocks_proto::{Command, Target};
use rustsocks_relay::pace::Direction;
use rustsocks_relay::tcp::{Ends, relay};
use rustsocks_relay::{Pace, PipePool, Unlimited};
use rustsocks_sessions::{
    AclOutcome, Clock, CloseReason, Ending, Identity, OpenSession, Opening, Rules, Table,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

fn session() -> OpenSession {
    let table = Table::new(Clock::system(), "node".into(), Rules::default());
    let target: std::net::SocketAddr = "192.0.2.1:80".parse().unwrap();
    table.open(Opening {
        identity: Identity::Anonymous("anonymous".into()),
        source: "127.0.0.1:4000".parse().unwrap(),
        target: Some(Target::from(target)),
        command: Some(Command::Connect),
        acl: AclOutcome::Off,
    })
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// Sends both ways in pieces, half-closes, and checks every byte and every count.
async fn transfer(
    up: Vec<u8>,
    down: Vec<u8>,
    piece: usize,
    pipes: &PipePool,
    pace: &mut impl Pace,
) -> Ending {
    let session = session();
    let ((mut client, near_client), (near_target, mut target)) = (pair().await, pair().await);
    let early = up.get(..up.len().min(10)).unwrap_or_default().to_vec();
    let rest = up[early.len()..].to_vec();
    let ends = Ends { client: near_client, target: near_target };
    let relaying = relay(&session, ends, early, pace, pipes);
    let clients = async {
        let (mut read, mut write) = client.split();
        let sending = async {
            for chunk in rest.chunks(piece) {
                write.write_all(chunk).await.unwrap();
            }
            write.shutdown().await.unwrap();
        };
        let mut heard = Vec::new();
        let (_, read) = tokio::join!(sending, read.read_to_end(&mut heard));
        read.unwrap();
        heard
    };
    let targets = async {
        let (mut read, mut write) = target.split();
        let sending = async {
            for chunk in down.chunks(piece) {
                write.write_all(chunk).await.unwrap();
            }
            write.shutdown().await.unwrap();
        };
        let mut heard = Vec::new();
        let (_, read) = tokio::join!(sending, read.read_to_end(&mut heard));
        read.unwrap();
        heard
    };
    let (ending, at_client, at_target) = tokio::join!(relaying, clients, targets);
    assert!(at_target == up, "{} of {} bytes up", at_target.len(), up.len());
    assert!(at_client == down, "{} of {} bytes down", at_client.len(), down.len());
    assert_eq!(session.traffic().sent.bytes(), up.len() as u64);
    assert_eq!(session.traffic().received.bytes(), down.len() as u64);
    ending
}

#[tokio::test]
async fn bulk_goes_through_pipes_to_the_last_byte() {
    // Far more than a pipe holds, and a tail that is still in it at end of stream.
    let (up, down) = (pattern(9_000_001), pattern(5_000_003));
    let ending = transfer(up, down, 1 << 20, &PipePool::new(8), &mut Unlimited).await;
    assert!(matches!(ending.reason, CloseReason::ClientClosed | CloseReason::DestinationClosed));
}

#[tokio::test]
async fn without_a_pipe_to_be_had_bulk_is_copied() {
    for most in [0, 1] {
        let (up, down) = (pattern(3_000_000), pattern(3_000_000));
        transfer(up, down, 65_536, &PipePool::new(most), &mut Unlimited).await;
    }
}

/// Grants a few bytes at a time, and holds back every other time.
struct Stingy {
    most: usize,
    turn: usize,
    spent: [usize; 2],
}

impl Pace for Stingy {
    fn poll_grant(&mut self, _direction: Direction, cx: &mut Context<'_>) -> Poll<usize> {
        self.turn += 1;
        if self.turn.is_multiple_of(2) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.most)
    }

    fn spent(&mut self, direction: Direction, bytes: usize) {
        assert!(bytes <= self.most.max(10), "{bytes} bytes were never granted");
        self.spent[usize::from(direction == Direction::Received)] += bytes;
    }
}

#[tokio::test]
async fn a_pace_is_asked_before_each_read_and_told_of_each_delivery() {
    let mut pace = Stingy { most: 1000, turn: 0, spent: [0, 0] };
    transfer(pattern(400_000), pattern(300_000), 50_000, &PipePool::new(4), &mut pace).await;
    assert_eq!(pace.spent, [400_000, 300_000]);
}

#[tokio::test]
async fn a_stopped_session_ends_by_a_reset_after_what_was_delivered() {
    let session = session();
    let ((mut client, near_client), (near_target, mut target)) = (pair().await, pair().await);
    let ends = Ends { client: near_client, target: near_target };
    let pipes = PipePool::new(1);
    let mut pace = Unlimited;
    let relaying = relay(&session, ends, Vec::new(), &mut pace, &pipes);
    let story = async {
        target.write_all(b"delivered").await.unwrap();
        client.read_exact(&mut [0; 9]).await.unwrap();
        assert!(session.stop(CloseReason::AdminTerminated, None));
        client.read(&mut [0; 1]).await.unwrap_err()
    };
    let (ending, error) = tokio::join!(relaying, story);
    assert_eq!(ending.reason, CloseReason::AdminTerminated);
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(session.traffic().received.bytes(), 9);
}

#[tokio::test]
async fn bytes_that_a_cut_end_never_acknowledged_are_taken_off_the_count() {
    let session = session();
    let ((client, near_client), (near_target, mut target)) = (pair().await, pair().await);
    for end in [&client, &near_client, &near_target, &target] {
        // Fixed, so that no kernel grows them until everything fits.
        socket2::SockRef::from(end).set_recv_buffer_size(100_000).unwrap();
        socket2::SockRef::from(end).set_send_buffer_size(100_000).unwrap();
    }
    let ends = Ends { client: near_client, target: near_target };
    let pipes = PipePool::new(1);
    let mut pace = Unlimited;
    let relaying = relay(&session, ends, Vec::new(), &mut pace, &pipes);
    let story = async {
        // The client reads nothing: its window closes and the rest stays with the proxy.
        let sending = target.write_all(&[5; 30_000_000]);
        let stuck = tokio::time::timeout(std::time::Duration::from_millis(700), sending).await;
        assert!(stuck.is_err(), "everything fitted into buffers");
        session.stop(CloseReason::AdminTerminated, None);
    };
    let (_, ()) = tokio::join!(relaying, story);
    assert_eq!(session.traffic().received.bytes(), heard(client).await);
}

/// Two connections whose far ends have little room, and whose near ends have room for an answer.
async fn slow_ends() -> (TcpStream, Ends, TcpStream) {
    let ((client, near_client), (near_target, target)) = (pair().await, pair().await);
    for far in [&client, &target] {
        socket2::SockRef::from(far).set_recv_buffer_size(20_000).unwrap();
        socket2::SockRef::from(far).set_send_buffer_size(100_000).unwrap();
    }
    for near in [&near_client, &near_target] {
        socket2::SockRef::from(near).set_recv_buffer_size(100_000).unwrap();
        socket2::SockRef::from(near).set_send_buffer_size(1 << 20).unwrap();
    }
    (client, Ends { client: near_client, target: near_target }, target)
}

/// Far more than all buffers between two ends hold together.
const ENDLESS: usize = 5_000_000;

#[tokio::test]
async fn a_client_that_reads_late_gets_all_that_a_destination_said_before_it_reset_the_upload() {
    const ANSWER: u64 = 200_000;
    let session = session();
    let (mut client, ends, mut target) = slow_ends().await;
    let pipes = PipePool::new(1);
    let mut pace = Unlimited;
    let relaying = relay(&session, ends, Vec::new(), &mut pace, &pipes);
    let story = async {
        target.write_all(&[7; ANSWER as usize]).await.unwrap();
        target.shutdown().await.unwrap();
        while session.traffic().received.bytes() < ANSWER {
            tokio::task::yield_now().await;
        }
        target.set_zero_linger().unwrap();
        drop(target);
        // First everything is written, as some clients do, and only then the answer is read.
        let _refused = client.write_all(&[5; ENDLESS]).await;
        heard(client).await
    };
    let (ending, heard) = tokio::join!(relaying, story);
    assert_eq!(ending.reason, CloseReason::DestinationReset);
    assert_eq!((heard, session.traffic().received.bytes()), (ANSWER, ANSWER));
}

/// Has a destination answer and reset the upload, of which a client then has written all, and
/// lets the rest of the story happen; the answer is counted and not read by then.
async fn broken_upload(
    session: &OpenSession,
    answer: u64,
    and_then: impl AsyncFnOnce(TcpStream) -> u64,
) -> (Ending, u64) {
    let (mut client, ends, mut target) = slow_ends().await;
    let pipes = PipePool::new(1);
    let mut pace = Unlimited;
    let relaying = relay(session, ends, Vec::new(), &mut pace, &pipes);
    let story = async {
        target.write_all(&vec![7; answer as usize]).await.unwrap();
        while session.traffic().received.bytes() < answer {
            tokio::task::yield_now().await;
        }
        target.set_zero_linger().unwrap();
        drop(target);
        client.write_all(&[5; ENDLESS]).await.unwrap();
        and_then(client).await
    };
    tokio::join!(relaying, story)
}

#[tokio::test]
async fn a_stop_leaves_the_end_that_is_left_its_second_to_acknowledge() {
    const ANSWER: u64 = 200_000;
    let session = session();
    let (ending, heard) = broken_upload(&session, ANSWER, async |client| {
        assert!(session.stop(CloseReason::ServerShutdown, None));
        // Long enough for the relay to see it.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        heard(client).await
    })
    .await;
    assert_eq!(ending.reason, CloseReason::DestinationReset);
    assert_eq!((heard, session.traffic().received.bytes()), (ANSWER, ANSWER));
}

#[tokio::test]
async fn of_an_end_that_breaks_as_well_nothing_is_taken_off_the_count() {
    const ANSWER: u64 = 200_000;
    let session = session();
    let (ending, _) = broken_upload(&session, ANSWER, async |client| {
        client.set_zero_linger().unwrap();
        0
    })
    .await;
    assert_eq!(ending.reason, CloseReason::DestinationReset);
    assert_eq!(session.traffic().received.bytes(), ANSWER);
}

#[tokio::test]
async fn a_client_that_reads_late_gets_also_what_its_connection_had_no_room_for() {
    let session = session();
    let (mut client, ends, mut target) = slow_ends().await;
    let pipes = PipePool::new(1);
    let mut pace = Unlimited;
    let relaying = relay(&session, ends, Vec::new(), &mut pace, &pipes);
    let patience = std::time::Duration::from_secs(10);
    let story = async {
        let sending = target.write_all(&[7; 30_000_000]);
        let stuck = tokio::time::timeout(std::time::Duration::from_millis(300), sending).await;
        assert!(stuck.is_err(), "everything fitted into buffers");
        let before = session.traffic().received.bytes();
        target.set_zero_linger().unwrap();
        drop(target);
        let uploading = client.write_all(&[5; ENDLESS]);
        let _refused = tokio::time::timeout(patience, uploading).await.expect("nobody reads it");
        (before, heard(client).await)
    };
    let (ending, (before, heard)) = tokio::join!(relaying, story);
    assert_eq!(ending.reason, CloseReason::DestinationReset);
    assert_eq!(heard, session.traffic().received.bytes());
    assert!(heard > before, "{heard} bytes, not only the {before} that had been handed over");
}

#[tokio::test]
async fn a_destination_that_reads_late_gets_all_that_a_client_sent_before_its_reset() {
    const UPLOAD: u64 = 200_000;
    let session = session();
    let (mut client, ends, mut target) = slow_ends().await;
    let pipes = PipePool::new(1);
    let mut pace = Unlimited;
    let relaying = relay(&session, ends, Vec::new(), &mut pace, &pipes);
    let story = async {
        client.write_all(&[7; UPLOAD as usize]).await.unwrap();
        while session.traffic().sent.bytes() < UPLOAD {
            tokio::task::yield_now().await;
        }
        client.set_zero_linger().unwrap();
        drop(client);
        let _refused = target.write_all(&[5; ENDLESS]).await;
        heard(target).await
    };
    let (ending, heard) = tokio::join!(relaying, story);
    assert_eq!(ending.reason, CloseReason::ClientReset);
    assert_eq!((heard, session.traffic().sent.bytes()), (UPLOAD, UPLOAD));
}

#[tokio::test]
async fn bytes_that_an_end_never_acknowledged_after_the_other_broke_are_taken_off_the_count() {
    const ANSWER: u64 = 200_000;
    let session = session();
    let (client, ends, mut target) = slow_ends().await;
    let pipes = PipePool::new(1);
    let mut pace = Unlimited;
    let relaying = relay(&session, ends, Vec::new(), &mut pace, &pipes);
    let story = async {
        target.write_all(&[7; ANSWER as usize]).await.unwrap();
        while session.traffic().received.bytes() < ANSWER {
            tokio::task::yield_now().await;
        }
        target.set_zero_linger().unwrap();
        drop(target);
    };
    // The client reads nothing while the session lasts.
    let (ending, ()) = tokio::join!(relaying, story);
    assert_eq!(ending.reason, CloseReason::DestinationReset);
    let counted = session.traffic().received.bytes();
    assert!(counted < ANSWER, "everything fitted into buffers");
    assert_eq!(counted, heard(client).await);
}

/// How many bytes come until the end, whatever it is.
async fn heard(mut end: TcpStream) -> u64 {
    let mut buffer = vec![0; 1 << 20];
    let mut heard = 0;
    while let Ok(count @ 1..) = end.read(&mut buffer).await {
        heard += count as u64;
    }
    heard
}

#[tokio::test]
async fn an_end_of_stream_that_was_never_acknowledged_is_no_byte() {
    const SENT: u64 = 200_000;
    let session = session();
    let ((mut client, near_client), (near_target, target)) = (pair().await, pair().await);
    // Little room there, much here: the end of stream is queued behind bytes that have not left.
    socket2::SockRef::from(&target).set_recv_buffer_size(20_000).unwrap();
    socket2::SockRef::from(&near_target).set_send_buffer_size(1 << 20).unwrap();
    let ends = Ends { client: near_client, target: near_target };
    let pipes = PipePool::new(1);
    let mut pace = Unlimited;
    let relaying = relay(&session, ends, Vec::new(), &mut pace, &pipes);
    let story = async {
        client.write_all(&[5; SENT as usize]).await.unwrap();
        client.shutdown().await.unwrap();
        while session.traffic().sent.bytes() < SENT {
            tokio::task::yield_now().await;
        }
        // The end of stream comes right behind; nothing that can be seen here tells that it did.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        session.stop(CloseReason::AdminTerminated, None);
    };
    let (_, ()) = tokio::join!(relaying, story);
    let counted = session.traffic().sent.bytes();
    assert!(counted < SENT, "everything fitted into buffers");
    assert_eq!(counted, heard(target).await);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_sizes_and_pieces_arrive_whole(
        up in 0..400_000_usize,
        down in 0..400_000_usize,
        piece in 1_000..200_000_usize,
        pipes in 0..3_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let pool = PipePool::new(pipes);
        runtime.block_on(transfer(pattern(up), pattern(down), piece, &pool, &mut Unlimited));
    }
}

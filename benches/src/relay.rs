//! The yardstick: the plainest relay that tokio offers, with no SOCKS and nothing counted.
//! Every connection goes to a fixed target through `copy_bidirectional` with 64 KiB buffers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const BUFFER_BYTES: usize = 64 * 1024;

/// Listens and relays until the process ends; several targets take turns.
///
/// # Errors
/// When the runtime cannot start or the address cannot be listened on.
pub(crate) fn run(listen: SocketAddr, targets: Vec<SocketAddr>) -> io::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        serve(listener, targets).await
    })
}

async fn serve(listener: TcpListener, targets: Vec<SocketAddr>) -> io::Result<()> {
    let mut clients = JoinSet::new();
    for target in targets.iter().copied().cycle() {
        match listener.accept().await {
            Ok((client, _)) => {
                clients.spawn(relay(client, target));
            }
            // Out of descriptors, most likely: give some time to come free.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        while clients.try_join_next().is_some() {}
    }
    Ok(())
}

async fn relay(mut client: TcpStream, target: SocketAddr) -> io::Result<()> {
    let mut target = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    target.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut target, BUFFER_BYTES, BUFFER_BYTES).await?;
    Ok(())
}

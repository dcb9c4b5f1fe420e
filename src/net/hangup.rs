//! Detection of a peer that is gone, without reading from it: bytes that it has sent stay in the
//! socket.

use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Interval of checks for an end behind unread bytes, which the kernel reports only once, together
/// with the bytes.
const LOOK: Duration = Duration::from_secs(1);

/// Kind of hangup to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The connection broke.
    Broken,
    /// It broke, or the peer has ended its side: for peers that cannot go on after that.
    Ended,
}

/// Waits until the peer is gone.
pub async fn hangup(tcp: &TcpStream, gone: Gone) {
    if gone == Gone::Broken {
        let _ = tcp.ready(Interest::ERROR).await;
        return;
    }
    loop {
        match tcp.ready(Interest::READABLE | Interest::ERROR).await {
            Ok(ready) if !ready.is_error() && !ready.is_read_closed() => {}
            _ => return,
        }
        tokio::select! {
            _ = tcp.ready(Interest::ERROR) => return,
            () = sleep(LOOK) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::SockRef;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(listener.accept(), TcpStream::connect(addr));
        (near.unwrap().0, far.unwrap())
    }

    async fn is_noticed(near: &TcpStream, gone: Gone) -> bool {
        timeout(3 * LOOK, hangup(near, gone)).await.is_ok()
    }

    #[tokio::test]
    async fn an_end_and_a_reset_are_distinguished_also_behind_bytes() {
        for bytes in [&b""[..], b"unread"] {
            let (near, mut far) = pair().await;
            far.write_all(bytes).await.unwrap();
            let (ended, broken) = tokio::join!(
                timeout(LOOK / 2, hangup(&near, Gone::Ended)),
                timeout(LOOK / 2, hangup(&near, Gone::Broken))
            );
            assert!(ended.is_err() && broken.is_err(), "it is there");
            far.shutdown().await.unwrap();
            assert!(is_noticed(&near, Gone::Ended).await, "{bytes:?}");
            let broken = timeout(LOOK / 2, hangup(&near, Gone::Broken)).await;
            assert!(broken.is_err(), "{bytes:?}: half of it is there");
            SockRef::from(&far)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            drop(far);
            assert!(is_noticed(&near, Gone::Broken).await, "{bytes:?}");
        }
    }
}

//! Listening on TCP or on a Unix socket file, and the connections that come in.

use std::fmt;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::{Mode, umask};
use nix::unistd::Uid;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// How long accepting pauses when the process has run out of file descriptors.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// The reading half of a connection, buffered.
pub type Reader = BufReader<Box<dyn AsyncRead + Send + Unpin>>;
/// The writing half of a connection.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Where a socket is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An interface's IP address (or a name that resolves to one) and a port.
    Tcp(String, u16),
    /// A socket file.
    Ipc(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "tcp://{host}:{port}"),
            Self::Ipc(path) => write!(f, "ipc://{}", path.display()),
        }
    }
}

/// A bound socket. A socket file is removed when this is dropped.
pub struct Listener {
    kind: Kind,
}

enum Kind {
    Tcp(TcpListener),
    Ipc(UnixListener, PathBuf),
}

impl Listener {
    /// Binds to exactly the given address.
    ///
    /// # Errors
    /// If the address is taken, not ours, or does not resolve.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        let kind = match address {
            Address::Tcp(host, port) => Kind::Tcp(TcpListener::bind((host.as_str(), *port)).await?),
            Address::Ipc(path) => Kind::Ipc(bind_file(path).await?, path.clone()),
        };
        Ok(Self { kind })
    }

    /// The next connection. Failures to accept are waited out: they concern one connection, or
    /// pass when file descriptors are free again.
    pub async fn accept(&self) -> (Reader, Writer) {
        loop {
            match self.try_accept().await {
                Ok(connection) => return connection,
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }

    async fn try_accept(&self) -> io::Result<(Reader, Writer)> {
        let (reader, writer): (Box<dyn AsyncRead + Send + Unpin>, Writer) = match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Small messages that wait for an answer: Nagle's algorithm would cost 40 ms.
                stream.set_nodelay(true)?;
                let (reader, writer) = stream.into_split();
                (Box::new(reader), Box::new(writer))
            }
            Kind::Ipc(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred()?.uid();
                if !may_connect(peer, Uid::effective().as_raw()) {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("user {peer}")));
                }
                let (reader, writer) = stream.into_split();
                (Box::new(reader), Box::new(writer))
            }
        };
        Ok((BufReader::with_capacity(16 << 10, reader), writer))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Kind::Ipc(_, path) = &self.kind {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Binds a socket file for this user alone, replacing one that a dead process left behind.
async fn bind_file(path: &Path) -> io::Result<UnixListener> {
    let is_socket = std::fs::metadata(path).is_ok_and(|data| data.file_type().is_socket());
    if is_socket && UnixStream::connect(path).await.is_err() {
        std::fs::remove_file(path)?;
    }
    // Nobody else may connect from the very first moment, hence not by chmod.
    let before = umask(Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    listener
}

/// Whether a process of that user may connect to a socket file: ours, and root's.
fn may_connect(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kernel-1");
        let address = Address::Ipc(path.clone());
        // The standard library leaves the file behind, as a killed process does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = Listener::bind(&address).await.unwrap();
        assert!(Listener::bind(&address).await.is_err());
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_file_is_for_its_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kernel-1");
        let _listener = Listener::bind(&Address::Ipc(path.clone())).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(may_connect(1000, 1000) && may_connect(0, 1000));
        assert!(!may_connect(1001, 1000) && !may_connect(1000, 0));
    }

    #[test]
    fn addresses_are_shown_as_zeromq_writes_them() {
        assert_eq!(Address::Tcp("::1".into(), 5).to_string(), "tcp://[::1]:5");
        assert_eq!(Address::Ipc("/tmp/k-1".into()).to_string(), "ipc:///tmp/k-1");
    }
}

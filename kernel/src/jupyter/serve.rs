//! Binding the sockets, starting the threads, and the orderly end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use jupyter_protocol::ConnectionInfo;
use tokio::signal::unix::{SignalKind, signal};

use super::connection::{self, Channel};
use super::interpreter::Interpreter;
use super::iopub::{Delivery, Item, Queue, deliver};
use super::kernel::{Kernel, guarded};
use super::requests::{self, Executor};
use super::wire::{Request, Session, Signer};
use super::zmtp::{Limits, Listener, Publisher, Router, serve_echo};

/// What the last messages get to leave the process.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// How often it is checked whether the process that started the kernel is still there.
const PARENT_INTERVAL: Duration = Duration::from_secs(1);

/// Why the kernel does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The connection file cannot be read.
    #[error("cannot read the connection file {}: {source}", path.display())]
    ReadConnectionFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The connection file is not one.
    #[error("{} is not a valid connection file: {problem}", path.display())]
    ConnectionFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A socket cannot be bound.
    #[error("cannot bind the {channel:?} socket to {address}: {source}")]
    Bind {
        /// Which socket.
        channel: Channel,
        /// Where.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// No runtime, thread or signal handler to be had.
    #[error("cannot start: {0}")]
    Start(std::io::Error),
}

/// Serves the interpreter as the kernel that the connection file describes. Returns after a
/// shutdown request, SIGTERM, or the end of the process that started the kernel; a running
/// `execute` may then still be on its thread, so the process should end.
///
/// # Errors
/// [`ServeError`], before anything is served.
pub fn serve(connection_file: &Path, interpreter: Arc<dyn Interpreter>) -> Result<(), ServeError> {
    let info = connection::load(connection_file)?;
    // One thread for the sockets is enough: it only moves bytes. All work is done elsewhere.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Start)?;
    let result = runtime.block_on(run(&info, interpreter));
    runtime.shutdown_background();
    result
}

struct Sockets {
    shell: Listener,
    control: Listener,
    stdin: Listener,
    iopub: Listener,
    heartbeat: Listener,
}

impl Sockets {
    async fn bind(info: &ConnectionInfo) -> Result<Self, ServeError> {
        Ok(Self {
            shell: bind(info, Channel::Shell).await?,
            control: bind(info, Channel::Control).await?,
            stdin: bind(info, Channel::Stdin).await?,
            iopub: bind(info, Channel::Iopub).await?,
            heartbeat: bind(info, Channel::Heartbeat).await?,
        })
    }
}

async fn bind(info: &ConnectionInfo, channel: Channel) -> Result<Listener, ServeError> {
    let address = connection::address(info, channel);
    Listener::bind(&address).await.map_err(|source| ServeError::Bind { channel, address: address.to_string(), source })
}

async fn run(info: &ConnectionInfo, interpreter: Arc<dyn Interpreter>) -> Result<(), ServeError> {
    let sockets = Sockets::bind(info).await?;
    let signer = Arc::new(Signer::new(&info.key));
    let session = Arc::new(Session::new());
    let queue = Arc::new(Queue::new());
    let kernel = Arc::new(Kernel::new(interpreter, Arc::clone(&queue), Arc::clone(&session), Arc::clone(&signer)));

    let delivery = tokio::spawn(deliver(Delivery {
        publisher: serve_broadcasts(sockets.iopub, &queue),
        queue: Arc::clone(&queue),
        session,
        signer: Arc::clone(&signer),
    }));
    let (executor, execution) = Executor::new(Arc::clone(&kernel));
    spawn("executor", move || execution.run())?;
    let shell = requests_thread("shell", &kernel, executor.clone())?;
    let control = requests_thread("control", &kernel, executor)?;
    let routers = [
        serve_requests(sockets.shell, &signer, Some(shell)),
        serve_requests(sockets.control, &signer, Some(control)),
        serve_requests(sockets.stdin, &signer, None),
        serve_echo(sockets.heartbeat),
    ];

    wait_for_end(&kernel).await?;

    queue.close();
    let deadline = Instant::now() + DRAIN_LIMIT;
    let within = tokio::time::Instant::from_std(deadline);
    if let Ok(Ok(publisher)) = tokio::time::timeout_at(within, delivery).await {
        publisher.drain(deadline).await;
    }
    for router in routers {
        router.drain(deadline).await;
    }
    Ok(())
}

/// Serves iopub; each new subscription is welcomed in the order of the broadcasts.
fn serve_broadcasts(listener: Listener, queue: &Arc<Queue>) -> Publisher {
    let queue = Arc::clone(queue);
    Publisher::serve(listener, move |subscriber, topic| {
        let subscriber = Arc::clone(subscriber);
        queue.push_now(Item::Welcome { subscriber, topic });
    })
}

/// Stack of the kernel's threads: compiling recurses as deep as a script nests. It is reserved,
/// not used, for anything but unusual scripts.
const STACK_BYTES: usize = 64 << 20;

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), ServeError> {
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(body);
    thread.map(drop).map_err(ServeError::Start)
}

/// A thread that answers one channel's requests in order, and passes cells on.
fn requests_thread(
    name: &str,
    kernel: &Arc<Kernel>,
    executor: mpsc::Sender<Request>,
) -> Result<mpsc::Sender<Request>, ServeError> {
    let (sender, received) = mpsc::channel::<Request>();
    let kernel = Arc::clone(kernel);
    spawn(name, move || {
        for request in received {
            if request.msg_type == "execute_request" {
                let _ = executor.send(request);
            } else {
                let _ = guarded(|| requests::answer(&kernel, &request));
            }
        }
    })?;
    Ok(sender)
}

/// Checks what comes in on a socket and passes it to its thread, if it has one.
fn serve_requests(listener: Listener, signer: &Arc<Signer>, thread: Option<mpsc::Sender<Request>>) -> Router {
    let signer = Arc::clone(signer);
    Router::serve(listener, Limits::requests(), move |peer, frames| {
        match (Request::decode(peer, frames, &signer), &thread) {
            (Ok(request), Some(thread)) => {
                let _ = thread.send(request);
            }
            // stdin: an answer to a question that was never asked.
            (Ok(request), None) => tracing::debug!(msg_type = request.msg_type, "ignored"),
            (Err(error), _) => tracing::warn!(%error, "message ignored"),
        }
    })
}

/// Completes when the kernel is to end and the interpreter has been told.
async fn wait_for_end(kernel: &Arc<Kernel>) -> Result<(), ServeError> {
    let mut interrupts = signal(SignalKind::interrupt()).map_err(ServeError::Start)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(ServeError::Start)?;
    let parent_gone = parent_gone();
    tokio::pin!(parent_gone);
    loop {
        tokio::select! {
            () = kernel.end.notified() => return Ok(()),
            _ = interrupts.recv() => {
                let kernel = Arc::clone(kernel);
                tokio::task::spawn_blocking(move || guarded(|| kernel.interpreter.interrupt()));
            }
            _ = terminations.recv() => break,
            () = &mut parent_gone => break,
        }
    }
    let interpreter = Arc::clone(&kernel.interpreter);
    let ended = tokio::task::spawn_blocking(move || requests::end_interpreter(&interpreter, false));
    let _ = ended.await;
    Ok(())
}

/// Completes when the Jupyter process that started this one is gone, so that a killed server
/// leaves no kernel behind. Without `JPY_PARENT_PID`, or with another process in between, never.
async fn parent_gone() {
    let parent = std::os::unix::process::parent_id();
    let named = std::env::var("JPY_PARENT_PID").ok();
    if named.and_then(|pid| pid.parse().ok()) != Some(parent) {
        return std::future::pending().await;
    }
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(PARENT_INTERVAL).await;
    }
    tracing::warn!("the process that started this kernel is gone");
}

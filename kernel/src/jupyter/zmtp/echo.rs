//! The heartbeat: whatever a peer sends goes back to it unchanged.

use super::listener::Listener;
use super::router::Router;

/// Serves the echo on `listener` until the runtime ends.
pub fn serve_echo(listener: Listener) -> Router {
    Router::serve(listener, |peer, frames| peer.send(&frames))
}

//! The heartbeat: whatever a peer sends goes back to it unchanged.

use super::UNREAD_LIMIT;
use super::frame::Limits;
use super::listener::Listener;
use super::router::Router;

/// Serves the echo on `listener` until the runtime ends.
pub fn serve_echo(listener: Listener) -> Router {
    Router::serve(listener, Limits::small(), |peer, frames| peer.send_or_close(&frames, UNREAD_LIMIT))
}

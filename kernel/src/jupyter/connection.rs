//! The connection file: where to bind, and the key.
//!
//! <https://jupyter-client.readthedocs.io/en/stable/kernels.html#connection-files>

use std::path::{Path, PathBuf};

use jupyter_protocol::{ConnectionInfo, Transport};
use serde_json::{Value, json};

use super::ServeError;
use super::zmtp::Address;

/// A kernel's five sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Requests.
    Shell,
    /// Requests that do not wait for the shell's.
    Control,
    /// Questions to the user; this kernel asks none.
    Stdin,
    /// Broadcasts.
    Iopub,
    /// Echo.
    Heartbeat,
}

/// Reads and checks a connection file.
///
/// # Errors
/// [`ServeError::ReadConnectionFile`] or [`ServeError::ConnectionFile`], naming the file.
pub fn load(path: &Path) -> Result<ConnectionInfo, ServeError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ServeError::ReadConnectionFile { path: path.to_owned(), source })?;
    parse(&text).map_err(|problem| ServeError::ConnectionFile { path: path.to_owned(), problem })
}

fn parse(text: &str) -> Result<ConnectionInfo, String> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let fields = value.as_object_mut().ok_or("not a JSON object")?;
    // The defaults of jupyter_client, which always writes these anyway.
    for (name, default) in [("transport", json!("tcp")), ("signature_scheme", json!("hmac-sha256")), ("key", json!(""))]
    {
        fields.entry(name).or_insert(default);
    }
    let info: ConnectionInfo = serde_json::from_value(value).map_err(|error| error.to_string())?;
    if info.ip.is_empty() {
        return Err("`ip` is empty".to_owned());
    }
    if !info.key.is_empty() && info.signature_scheme != "hmac-sha256" {
        let scheme = &info.signature_scheme;
        return Err(format!("signature scheme `{scheme}` is not supported, only hmac-sha256"));
    }
    let mut ports = [info.shell_port, info.iopub_port, info.stdin_port, info.control_port, info.hb_port];
    ports.sort_unstable();
    if ports.contains(&0) || ports.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err("the five ports must be different and not 0".to_owned());
    }
    Ok(info)
}

/// Where a channel is bound.
pub fn address(info: &ConnectionInfo, channel: Channel) -> Address {
    let port = match channel {
        Channel::Shell => info.shell_port,
        Channel::Control => info.control_port,
        Channel::Stdin => info.stdin_port,
        Channel::Iopub => info.iopub_port,
        Channel::Heartbeat => info.hb_port,
    };
    match info.transport {
        Transport::IPC => Address::Ipc(PathBuf::from(format!("{}-{port}", info.ip))),
        Transport::TCP => {
            // ZeroMQ writes "every interface" as a star.
            let host = if info.ip == "*" { "0.0.0.0" } else { &info.ip };
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Address::Tcp(host.to_owned(), port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Value {
        json!({
            "shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5,
            "ip": "127.0.0.1", "key": "k", "transport": "tcp",
            "signature_scheme": "hmac-sha256", "kernel_name": "x", "jupyter_session": "s",
        })
    }

    fn with(name: &str, value: Value) -> Result<ConnectionInfo, String> {
        let mut file = file();
        file[name] = value;
        parse(&file.to_string())
    }

    #[test]
    fn a_file_of_jupyter_client_is_read() {
        let info = parse(&file().to_string()).unwrap();
        let shell = Address::Tcp("127.0.0.1".to_owned(), 1);
        assert_eq!(address(&info, Channel::Shell), shell);
        let info = with("transport", json!("ipc")).unwrap();
        let heartbeat = Address::Ipc("127.0.0.1-5".into());
        assert_eq!(address(&info, Channel::Heartbeat), heartbeat);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(parse("{").unwrap_err().contains("EOF"));
        assert!(parse("[]").unwrap_err().contains("object"));
        assert!(parse("{}").unwrap_err().contains("ip"));
        let scheme = with("signature_scheme", json!("hmac-md5")).unwrap_err();
        assert!(scheme.contains("hmac-md5"));
        assert!(with("shell_port", json!(2)).unwrap_err().contains("ports"));
        assert!(with("shell_port", json!(70_000)).is_err());
        assert!(with("transport", json!("pgm")).is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(Path::new("/nonexistent/kernel.json")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/kernel.json"));
    }
}

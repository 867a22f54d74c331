//! The signals that end the process.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for INT or TERM and says which.
pub async fn stop() -> std::io::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "INT",
        _ = terminate.recv() => "TERM",
    })
}

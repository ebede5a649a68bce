//! Asking a running relay, as the command does.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// Why a running relay did not answer as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody is there.
    #[error("asking the relay at {address}: {error}; is it running, and is this the address of its admin option?")]
    Unreachable {
        /// The admin address.
        address: String,
        /// What happened.
        #[source]
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It says no.
    #[error("the relay at {address} answered {status}: {text}")]
    Refused {
        /// The admin address.
        address: String,
        /// The HTTP status.
        status: u16,
        /// Its words.
        text: String,
    },
}

/// The report of `/devices`. Blocks.
///
/// # Errors
/// [`AskError`].
pub fn ask_devices(admin: &str) -> Result<Value, AskError> {
    let text = ask(admin, Method::GET, "/devices", String::new())?;
    serde_json::from_str(&text)
        .map_err(|error| AskError::Unreachable { address: admin.to_owned(), error: error.into() })
}

/// Has a backup written under this name into the relay's backup folder; gives its path. Blocks until it is written.
///
/// # Errors
/// [`AskError`]; no file is there then.
pub fn ask_backup(admin: &str, name: &str) -> Result<String, AskError> {
    Ok(ask(admin, Method::POST, "/backup", name.to_owned())?.trim().to_owned())
}

fn ask(admin: &str, method: Method, path: &str, body: String) -> Result<String, AskError> {
    let failed = |error| AskError::Unreachable { address: admin.to_owned(), error };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.into()))?;
    let (status, text) = runtime.block_on(exchange(admin, method, path, body)).map_err(failed)?;
    if status == StatusCode::OK {
        return Ok(text);
    }
    Err(AskError::Refused { address: admin.to_owned(), status: status.as_u16(), text: text.trim().to_owned() })
}

async fn exchange(
    admin: &str,
    method: Method,
    path: &str,
    body: String,
) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::net::TcpStream::connect(admin).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header(HOST, admin).body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let text = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

//! The admin endpoint: plain HTTP on an address of its own.

use crate::devices;
use crate::health;
use crate::metrics;
use crate::relay::Shared;
use bytes::Bytes;
use core::convert::Infallible;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, ORIGIN};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The most requests at once; beyond it they wait.
const MAX_REQUESTS: usize = 32;
/// The most bytes of a request's body: the name of a backup.
const MAX_BODY_BYTES: usize = 1024;
/// How long a request may take to come in.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until its task is ended.
pub(crate) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() >= MAX_REQUESTS {
            tasks.join_next().await;
        }
        while tasks.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let service = service_fn(|request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(shared, request).await) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                tracing::debug!(%error, "an admin connection failed");
            }
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    // A page in somebody's browser on this machine could ask as well; programs send no origin.
    if request.headers().contains_key(ORIGIN) {
        return plain(StatusCode::FORBIDDEN, "not for web pages\n");
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => {
            blocking(move || {
                let problems = health::problems(&shared);
                if problems.is_empty() {
                    plain(StatusCode::OK, "ok\n")
                } else {
                    plain(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", problems.join("\n")))
                }
            })
            .await
        }
        (&Method::GET, "/metrics") => {
            blocking(move || {
                let text = metrics::text(&shared);
                with(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
            })
            .await
        }
        (&Method::GET, "/devices") => {
            blocking(move || match devices::report(&shared) {
                Ok(report) => with(StatusCode::OK, "application/json", format!("{report:#}\n")),
                Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            })
            .await
        }
        (&Method::POST, "/backup") => match Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await {
            Ok(body) => blocking(move || backup(&shared, &body.to_bytes())).await,
            Err(_) => plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is the backup's name, and nothing else\n"),
        },
        (_, "/healthz" | "/metrics" | "/devices") => plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"),
        (_, "/backup") => plain(StatusCode::METHOD_NOT_ALLOWED, "only POST, with the backup's name as body\n"),
        _ => plain(StatusCode::NOT_FOUND, "there is /healthz, /metrics, /devices and /backup\n"),
    }
}

/// Writes a backup into the configured folder, and nowhere else.
fn backup(shared: &Shared, name: &[u8]) -> Response<Full<Bytes>> {
    let Some(folder) = &shared.config.backup_folder else {
        return plain(StatusCode::CONFLICT, "no backups are made this way: set backup_folder in the configuration\n");
    };
    let is_name = |name: &&str| {
        (1..=128).contains(&name.len())
            && !name.starts_with('.')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let Some(name) = core::str::from_utf8(name).ok().map(str::trim).filter(is_name) else {
        let text =
            "name the backup with letters, digits, dots, dashes and underscores; it is written into backup_folder\n";
        return plain(StatusCode::BAD_REQUEST, text);
    };
    let to = folder.join(name);
    match shared.replica.store().backup(&to, |_| ()) {
        Ok(()) => {
            tracing::info!(to = %to.display(), "backup written");
            plain(StatusCode::OK, format!("{}\n", to.display()))
        }
        Err(error) => {
            tracing::warn!(to = %to.display(), %error, "no backup was written");
            plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
        }
    }
}

/// Answers on a thread where reading the store stands in nobody's way.
async fn blocking(answer: impl FnOnce() -> Response<Full<Bytes>> + Send + 'static) -> Response<Full<Bytes>> {
    match tokio::task::spawn_blocking(answer).await {
        Ok(response) => response,
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the answer failed; the log says why\n"),
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    with(status, "text/plain; charset=utf-8", text)
}

fn with(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

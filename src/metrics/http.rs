//! The three answers, over HTTP/1.1: one request a connection, everything bounded.
//!
//! Source: RFC 9110 and RFC 9112, by hyper; the paths `/healthz` and `/readyz` are those of
//! Kubernetes.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{Sources, collect, text};

/// Connections at a time; those that come in between wait in the kernel's queue.
const CONNECTIONS: usize = 16;

/// From accept until the answer is read.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a request's line and headers may take, in bytes: the least that hyper allows.
const REQUEST: usize = 8 * 1024;

/// Headers of a request.
const HEADERS: usize = 64;

/// The pause after an accept that failed, such as when descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);

const PLAIN: &str = "text/plain; charset=utf-8";

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, sources: Arc<Sources>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((tcp, _)) => {
                let sources = sources.clone();
                tokio::spawn(async move {
                    let _place = place;
                    let _ = timeout(DEADLINE, converse(tcp, &sources)).await;
                });
            }
            Err(error) => {
                debug!(%error, "metrics: accept failed");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(tcp: TcpStream, sources: &Sources) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(&request, sources);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(REQUEST)
        .max_headers(HEADERS)
        // The deadline is that of the whole connection.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(tcp), service);
    if let Err(error) = connection.await {
        debug!(%error, "metrics: connection failed");
    }
}

fn answer(request: &Request<Incoming>, sources: &Sources) -> Response<String> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = said(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        let headers = refusal.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/metrics" => {
            let mut response = Response::new(collect::collect(sources));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(text::CONTENT_TYPE));
            response
        }
        "/healthz" => said(StatusCode::OK, "ok\n"),
        "/readyz" => match unready(sources) {
            None => said(StatusCode::OK, "ready\n"),
            Some(why) => said(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        _ => said(
            StatusCode::NOT_FOUND,
            "there are /metrics, /healthz and /readyz\n",
        ),
    }
}

fn said(status: StatusCode, words: &str) -> Response<String> {
    let mut response = Response::new(words.to_owned());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PLAIN));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Why no client should be sent here now.
fn unready(sources: &Sources) -> Option<&'static str> {
    let listeners = sources.listeners.all();
    if listeners.is_empty() {
        // A configuration always has a listener, so this is the end.
        return Some("draining: no new clients\n");
    }
    let mut loops = listeners
        .iter()
        .map(|l| l.accepting.load(Ordering::Relaxed));
    loops
        .all(|accepting| accepting == 0)
        .then_some("no listener accepts clients\n")
}

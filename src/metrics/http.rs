//! The three answers, over HTTP/1.1: one request a connection, everything bounded. When all places
//! are taken, the connection that has moved least is cut, so that slow readers cannot close the port.
//!
//! Source: RFC 9110 and RFC 9112, by hyper; the paths `/healthz` and `/readyz` are those of
//! Kubernetes.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tracing::debug;

use super::page::{Page, Pieces, Progress};
use super::{Sources, collect, text};

/// Connections at a time.
const CONNECTIONS: usize = 16;

/// From so many databases on, some 2 KiB each, a page of metrics is shared.
const MANY: usize = 500;

/// Times after which a connection is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// From accept until the answer is read.
    connection: Duration,
    /// While nothing of the answer is read.
    stalled: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connection: Duration::from_secs(10),
            stalled: Duration::from_secs(5),
        }
    }
}

/// Bound of a request's line and headers, in bytes: the least that hyper allows.
const REQUEST: usize = 8 * 1024;

/// Headers of a request.
const HEADERS: usize = 64;

/// The pause after an accept that failed, such as when descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);

const PLAIN: &str = "text/plain; charset=utf-8";

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, sources: Arc<Sources>, timeouts: Timeouts) {
    let mut open: Vec<Weak<Progress>> = Vec::new();
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                open.retain(|other| other.strong_count() > 0);
                if open.len() >= CONNECTIONS {
                    give_way(&mut open);
                }
                let progress = Progress::new();
                open.push(Arc::downgrade(&progress));
                let sources = sources.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = converse(tcp, &sources, &progress) => {}
                        () = progress.stalled(timeouts.stalled) => {}
                        () = sleep(timeouts.connection) => {}
                    }
                });
            }
            Err(error) => {
                debug!(%error, "metrics: accept failed");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Cuts the connection that has not moved for longest.
fn give_way(open: &mut Vec<Weak<Progress>>) {
    let all = open.iter().filter_map(Weak::upgrade);
    if let Some(slowest) = all.min_by_key(|other| other.moved()) {
        slowest.cut();
        open.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(&slowest)));
    }
}

async fn converse(tcp: TcpStream, sources: &Arc<Sources>, progress: &Arc<Progress>) {
    let service = service_fn(async |request: Request<Incoming>| {
        let response = answer(&request, sources).await;
        Ok::<_, Infallible>(response.map(|page| Pieces::new(page, progress)))
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

async fn answer(request: &Request<Incoming>, sources: &Arc<Sources>) -> Response<Arc<Page>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = said(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        let headers = refusal.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/metrics" => {
            let Some(page) = metrics(sources).await else {
                return said(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "no metrics; the log says more\n",
                );
            };
            let mut response = Response::new(page);
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

/// The page of metrics: a new one where there are few databases, else a shared one.
async fn metrics(sources: &Arc<Sources>) -> Option<Arc<Page>> {
    if sources.gateway.store.snapshot().databases.len() < MANY {
        return Some(Page::new(collect::collect(sources)));
    }
    let of = sources.clone();
    sources.pages.get(move || collect::collect(&of)).await
}

fn said(status: StatusCode, words: &'static str) -> Response<Arc<Page>> {
    let page = Page::new(vec![Bytes::from_static(words.as_bytes())]);
    let mut response = Response::new(page);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PLAIN));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The reason why no client should be sent here now.
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

#[cfg(test)]
mod tests;

//! A single HTTP request to a service beside a database, such as the one that starts it.
//!
//! The answer's status is all that is read; headers are bounded, a body is left unread. The caller
//! sets the deadline. Source: RFC 9110 and RFC 9112, by hyper.

use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;

use super::dial::{DialError, dial};
use crate::upstream::BackendAddr;

/// Bound of an answer's status line and headers, in bytes: the least that hyper allows.
const MAX_HEADERS_LEN: usize = 8 * 1024;

/// Error of an HTTP request.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The service could not be reached.
    #[error("{0}")]
    Dial(#[from] DialError),
    /// The path cannot be part of a request.
    #[error("the path is not one that HTTP allows")]
    BadPath,
    /// It closed the connection, or answered with something else than HTTP.
    #[error("it accepted the connection and did not answer with HTTP/1.1")]
    NoAnswer,
}

/// Sends a request without a body, and returns the status of the answer.
///
/// # Errors
/// The service cannot be reached or does not answer with HTTP.
pub async fn request(
    method: Method,
    addr: &BackendAddr,
    path: &str,
) -> Result<StatusCode, HttpError> {
    let mut request = Request::builder()
        .method(&method)
        .uri(path)
        .header(HOST, addr.to_string())
        .header(USER_AGENT, concat!("dbgate/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close");
    if method != Method::GET {
        request = request.header(CONTENT_LENGTH, "0");
    }
    let request = request
        .body(String::new())
        .map_err(|_| HttpError::BadPath)?;
    let (tcp, _) = dial(addr, &mut false).await?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEADERS_LEN)
        .handshake(TokioIo::new(tcp))
        .await
        .map_err(|_| HttpError::NoAnswer)?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    // The connection does the work, and may end with the answer.
    let answer = tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    };
    let answer = answer.map_err(|_| HttpError::NoAnswer)?;
    Ok(answer.status())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// The result of a request to a service that answers with these bytes, and the request.
    async fn ask(method: Method, answer: &[u8]) -> (Result<StatusCode, HttpError>, String) {
        let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = BackendAddr::Ip(
            Ipv4Addr::LOCALHOST.into(),
            service.local_addr().unwrap().port(),
        );
        let serve = async {
            let (mut tcp, _) = service.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                assert_ne!(tcp.read_buf(&mut asked).await.unwrap(), 0);
            }
            let _ = tcp.write_all(answer).await;
            String::from_utf8(asked).unwrap()
        };
        tokio::join!(request(method, &addr, "/start?db=a"), serve)
    }

    #[tokio::test]
    async fn the_status_is_read_and_the_body_is_not() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9999\r\n\r\nstarting";
        let (status, asked) = ask(Method::POST, answer).await;
        assert_eq!(status.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            asked.starts_with("POST /start?db=a HTTP/1.1\r\nhost: 127.0.0.1:"),
            "{asked}"
        );
        assert!(asked.contains("\r\ncontent-length: 0\r\n"), "{asked}");
        let (status, asked) = ask(Method::GET, b"HTTP/1.1 200 OK\r\n\r\n").await;
        assert_eq!(status.unwrap(), StatusCode::OK);
        assert!(!asked.contains("content-length"), "{asked}");
    }

    #[tokio::test]
    async fn what_is_not_http_is_an_error() {
        let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), vec![b'a'; 64 * 1024]].concat();
        for answer in [&b""[..], b"SSH-2.0-OpenSSH\r\n", &endless] {
            let (status, _) = ask(Method::GET, answer).await;
            assert!(matches!(status, Err(HttpError::NoAnswer)), "{status:?}");
        }
        let addr = "127.0.0.1:1".parse().unwrap();
        let refused = request(Method::GET, &addr, "/").await;
        assert!(matches!(refused, Err(HttpError::Dial(_))), "{refused:?}");
        let bad = request(Method::GET, &addr, "/a b").await;
        assert!(matches!(bad, Err(HttpError::BadPath)), "{bad:?}");
    }
}

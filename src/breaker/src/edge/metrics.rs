//! `/metrics` and `/healthz` on loopback, without balances (T29).

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// Connections at the same time.
const CONNECTIONS: usize = 16;

/// What is shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    /// The text of `/metrics`.
    pub(crate) metrics: String,
    /// Whether the breaker does its job.
    pub(crate) healthy: bool,
    /// Why not, or "ok".
    pub(crate) health: String,
}

/// Serves until the task is dropped. The metrics are a convenience: without them the breaker runs.
pub(crate) async fn serve_on(listen: SocketAddr, page: watch::Receiver<Page>) {
    match TcpListener::bind(listen).await {
        Ok(listener) => serve(listener, page).await,
        Err(error) => tracing::error!(%error, %listen, "metrics are not served"),
    }
}

async fn serve(listener: TcpListener, page: watch::Receiver<Page>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let page = page.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let page = page.borrow().clone();
                async move { Ok::<_, Infallible>(answer(&request, page)) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(5))
                .serve_connection(TokioIo::new(stream), service);
            // A scraper that hangs must not keep its place.
            let _ = tokio::time::timeout(Duration::from_secs(60), connection).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, page: Page) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, page.metrics),
        (&Method::GET, "/healthz") if page.healthy => (StatusCode::OK, page.health),
        (&Method::GET, "/healthz") => (StatusCode::SERVICE_UNAVAILABLE, page.health),
        _ => (StatusCode::NOT_FOUND, "not found".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text + "\n")));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn get(path: &str, page: Page) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_keep, page) = watch::channel(page);
        let server = tokio::spawn(serve(listener, page));
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        server.abort();
        answer
    }

    #[tokio::test]
    async fn health_is_an_http_status_and_other_paths_are_nothing() {
        let page = |healthy| Page {
            metrics: "fusebox_breaker_armed 1".into(),
            healthy,
            health: "blind: B2".into(),
        };
        assert!(
            get("/metrics", page(true))
                .await
                .contains("fusebox_breaker_armed 1")
        );
        assert!(
            get("/healthz", page(true))
                .await
                .starts_with("HTTP/1.1 200")
        );
        let ill = get("/healthz", page(false)).await;
        assert!(ill.starts_with("HTTP/1.1 503") && ill.contains("blind: B2"));
        assert!(get("/", page(true)).await.starts_with("HTTP/1.1 404"));
    }
}

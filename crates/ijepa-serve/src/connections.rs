//! Connections, and when they are let go.

use std::{
    future::Future,
    io::{self, ErrorKind},
    pin::pin,
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_io_timeout::TimeoutStream;

/// Longer than any patience; clocks of connections end somewhere.
pub(crate) const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long to wait for others to close files when the process may open no more.
const NO_MORE_FILES: Duration = Duration::from_millis(100);

/// Answers whoever connects until `stop` is ready, and then what is under way; dropped, it closes all
/// connections. One is closed when the head of a request takes longer than `patience`, or its client
/// takes nothing of an answer for that long.
pub(crate) async fn answer(
    listener: TcpListener,
    router: Router,
    patience: Duration,
    stop: impl Future<Output = ()>,
) {
    let patience = patience.min(FOREVER);
    let service = TowerToHyperService::new(router);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    let (open, mut connections) = (GracefulShutdown::new(), JoinSet::new());
    let mut stop = pin!(stop);
    loop {
        let client = tokio::select! {
            client = next(&listener) => client,
            () = &mut stop => break,
        };
        let mut stream = Box::pin(TimeoutStream::new(client));
        stream.as_mut().set_write_timeout_pinned(Some(patience));
        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
        let connection = open.watch(connection);
        // How a connection ends is its client's matter.
        connections.spawn(async { drop(connection.await) });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    open.shutdown().await;
}

/// The next client.
async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((client, _)) => return client,
            Err(error) if is_of_the_client(&error) => (),
            Err(_) => sleep(NO_MORE_FILES).await,
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}

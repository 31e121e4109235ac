//! Tells whether a request went over a connection that was opened for it or over one that was kept.
//!
//! Reqwest does not say so. A connection is opened inside the request's own future, so a mark in that task's scope, set
//! when the connector is done, tells.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

tokio::task_local! {
    static OPENED: Cell<bool>;
}

/// Runs `request`; also gives whether its connection was a kept one.
pub(crate) async fn watch<F: Future>(request: F) -> (F::Output, bool) {
    OPENED
        .scope(Cell::new(false), async {
            let output = request.await;
            (output, !OPENED.with(Cell::get))
        })
        .await
}

/// Wraps a connector so that [`watch`] sees what it opens.
#[derive(Clone, Copy)]
pub(crate) struct Mark;

impl<S> Layer<S> for Mark {
    type Service = Marked<S>;

    fn layer(&self, connector: S) -> Marked<S> {
        Marked(connector)
    }
}

#[derive(Clone)]
pub(crate) struct Marked<S>(S);

impl<S, R> Service<R> for Marked<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let connecting = self.0.call(target);
        Box::pin(async move {
            let connected = connecting.await;
            // Outside a scope when another request's kept connection won the race: no one asks then. A failure to
            // connect marks too, so that it is never taken for a stale connection.
            let _ = OPENED.try_with(|opened| opened.set(true));
            connected
        })
    }
}

//! A hyper server with nothing around it, for the limit and for the receiver.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
}

/// Serves until killed, on all cores, and says on standard output where.
pub(crate) fn serve<F, A>(options: &Options, answer: F) -> anyhow::Result<()>
where
    F: Fn(Method, Bytes) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = String> + Send,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(options.listen).await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.map(|body| body.to_bytes());
                        let text = answer(head.method, body.unwrap_or_default()).await;
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
                    }
                });
                let builder = hyper::server::conn::http1::Builder::new();
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

/// A receiver that confirms everything. `GET` tells how many it has, and in how many seconds from the first to the last.
pub(crate) fn sink(options: &Options) -> anyhow::Result<()> {
    let seen = Arc::new(Mutex::new((0_u64, None::<(Instant, Instant)>)));
    serve(options, move |method, _| {
        let now = Instant::now();
        let answer = match seen.lock() {
            Ok(seen) if method == Method::GET => {
                let (count, span) = *seen;
                let seconds = span.map_or(0.0, |(first, last)| (last - first).as_secs_f64());
                format!("{count} {seconds}")
            }
            Ok(mut seen) => {
                seen.0 += 1;
                seen.1 = Some((seen.1.map_or(now, |(first, _)| first), now));
                String::new()
            }
            Err(_) => String::new(),
        };
        async { answer }
    })
}

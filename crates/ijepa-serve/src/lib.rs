#![doc = include_str!("../README.md")]

mod batches;
mod images;
mod metrics;
mod refusal;
mod routes;

use std::{future::Future, io, net::TcpListener, sync::Arc, time::Duration};

use ijepa_data::{Decoding, Preprocess};

use crate::routes::Service;

/// The function from the bytes of a number of images, `[images, height, width, channels]` as
/// [`ijepa_data::Image::bytes`] gives them, to features, `[images, dim]`.
pub type Embed = Box<dyn FnMut(&[u8], usize) -> Vec<f32> + Send>;

/// What images become.
pub struct Model {
    /// What answers call it.
    pub name: String,
    /// `[height, width]` of its images.
    pub image_size: [usize; 2],
    /// How files are decoded.
    pub decoding: Decoding,
    /// How an image gets the model's size.
    pub preprocess: Preprocess,
    /// Features of an image.
    pub dim: usize,
    /// The model itself; it is called from one thread.
    pub embed: Embed,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.name)
            .field("image_size", &self.image_size)
            .field("dim", &self.dim)
            .finish_non_exhaustive()
    }
}

/// Limits of a service. Its memory is at most `requests` times what one request may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeConfig {
    /// Images that are computed together, at least 1.
    pub batch_size: usize,
    /// How long the first image of a batch waits for others.
    pub wait: Duration,
    /// Requests under way; more are answered with 429. At least 1.
    pub requests: usize,
    /// Bytes of a request.
    pub max_bytes: usize,
    /// Pixels of an image, which are counted before it is decoded.
    pub max_pixels: u64,
    /// Images of a form.
    pub max_images: usize,
    /// How long a request may take to arrive.
    pub arrival: Duration,
    /// Threads that decode, at least 1.
    pub workers: usize,
}

impl Default for ServeConfig {
    /// 32 images within 4 ms; 256 requests of 16 MiB, 64 images and 50 million pixels an image
    /// that arrive within 30 s; 2 threads.
    fn default() -> Self {
        Self {
            batch_size: 32,
            wait: Duration::from_millis(4),
            requests: 256,
            max_bytes: 16 << 20,
            max_pixels: 50_000_000,
            max_images: 64,
            arrival: Duration::from_secs(30),
            workers: 2,
        }
    }
}

/// Answers requests until the process is told to stop (Ctrl-C, and where the system has it the
/// request to terminate); those under way are answered first.
///
/// `POST /embed` takes the bytes of an image or a form (`multipart/form-data`) of several and gives
/// `{"model", "dim", "embeddings"}`, a row an image in their order. `GET /healthz` answers while
/// the service does, `GET /metrics` is for Prometheus. Refusals are `{"error"}`: 400 for a broken
/// form, 408 for a request that does not arrive, 413 for one too large, 415 for what is no image,
/// 422 for a damaged one, 429 for one too many.
///
/// # Errors
///
/// If the listener or the runtime fails.
///
/// # Panics
///
/// Panics if a number of `config` that says "at least 1" is 0.
pub fn serve(listener: TcpListener, model: Model, config: ServeConfig) -> io::Result<()> {
    runtime(config)?.block_on(run(listener, model, config, stop()))
}

/// As [`serve`], until `stop` is ready.
///
/// # Errors
///
/// As [`serve`].
///
/// # Panics
///
/// As [`serve`].
pub fn serve_until(
    listener: TcpListener,
    model: Model,
    config: ServeConfig,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    runtime(config)?.block_on(run(listener, model, config, stop))
}

fn runtime(config: ServeConfig) -> io::Result<tokio::runtime::Runtime> {
    assert!(config.batch_size > 0 && config.requests > 0 && config.workers > 0);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(config.workers)
        .thread_name("ijepa-serve")
        .enable_all()
        .build()
}

async fn run(
    listener: TcpListener,
    model: Model,
    config: ServeConfig,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (service, batches) = Service::new(model, config);
    let computing = batches.compute()?;
    let router = routes::router(Arc::new(service));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await?;
    // The router is gone and with it the last sender, so the thread ends.
    tokio::task::spawn_blocking(move || computing.join())
        .await
        .map(|_| ())
        .map_err(io::Error::other)
}

#[cfg(unix)]
async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};

    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        () = terminate => (),
    }
}

#[cfg(not(unix))]
async fn stop() {
    // Without a handler the process ends as it does by default.
    let _ = tokio::signal::ctrl_c().await;
}

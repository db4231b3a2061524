#![doc = include_str!("../README.md")]

mod batches;
mod connections;
mod images;
mod metrics;
mod refusal;
mod routes;

use std::{
    future::{Future, pending},
    io::{self, ErrorKind},
    net::TcpListener,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use ijepa_data::{Decoding, Preprocess};
use tokio::{sync::watch, time::sleep};

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
    /// Requests under way, until their answers have left; more are answered with 429. At least 1.
    pub requests: usize,
    /// Bytes of a request.
    pub max_bytes: usize,
    /// Pixels of an image, which are counted before it is decoded.
    pub max_pixels: u64,
    /// Images of a form.
    pub max_images: usize,
    /// How long the head of a request may take to arrive, and the rest of it, and a client to take
    /// some more of its answer.
    pub arrival: Duration,
    /// How long requests may still take to arrive, and answers to leave, once the service stops.
    pub last_call: Duration,
    /// Threads that decode, at least 1.
    pub workers: usize,
}

impl Default for ServeConfig {
    /// 32 images within 4 ms; 256 requests of 16 MiB, 64 images and 50 million pixels an image
    /// that arrive within 30 s, 2 s once the service stops; 2 threads.
    fn default() -> Self {
        Self {
            batch_size: 32,
            wait: Duration::from_millis(4),
            requests: 256,
            max_bytes: 16 << 20,
            max_pixels: 50_000_000,
            max_images: 64,
            arrival: Duration::from_secs(30),
            last_call: Duration::from_secs(2),
            workers: 2,
        }
    }
}

/// Answers requests until the process is told to stop (Ctrl-C, and where the system has it the
/// request to terminate); those that have arrived are answered first, or not if it is told again.
///
/// `POST /embed` takes the bytes of an image or a form (`multipart/form-data`) of several and gives
/// `{"model", "dim", "embeddings"}`, a row an image in their order. `GET /healthz` answers while
/// the service does, `GET /metrics` is for Prometheus. Refusals are `{"error"}`: 400 for a broken
/// form, 404 for another path and 405 for another method, 408 for a request that does not arrive,
/// 413 for one too large, 415 for what is no image, 422 for a damaged one, 429 for one too many,
/// 500 where the model fails, 503 for one that arrives after the last call.
///
/// # Errors
///
/// If the listener or the runtime fails; [`ErrorKind::Interrupted`] if the process was told to stop
/// twice.
///
/// # Panics
///
/// Panics if a number of `config` that says "at least 1" is 0.
pub fn serve(listener: TcpListener, model: Model, config: ServeConfig) -> io::Result<()> {
    let signals = || [signal(), Box::pin(async { signal().await }) as Stop];
    serve_between(listener, model, config, signals)
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
    let stops = || [Box::pin(stop) as Stop, Box::pin(pending())];
    serve_between(listener, model, config, stops)
}

/// Ready when the service is to stop.
type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves until the first of `stops`, and until the second at the longest.
fn serve_between(
    listener: TcpListener,
    model: Model,
    config: ServeConfig,
    stops: impl FnOnce() -> [Stop; 2],
) -> io::Result<()> {
    let runtime = runtime(config)?;
    let served = runtime.block_on(async { run(listener, model, config, stops()).await });
    // Who was told twice waits for no image that is still being decoded.
    runtime.shutdown_background();
    served
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

/// Answers requests until nobody waits for an answer and the model computes nothing any more.
async fn run(
    listener: TcpListener,
    model: Model,
    config: ServeConfig,
    [stop, at_once]: [Stop; 2],
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (stopping, is_stopping) = watch::channel(false);
    let last_call = LastCall {
        is_stopping,
        takes: config.last_call,
    };
    let (service, batches) = Service::new(model, config, last_call.clone());
    let computing = batches.compute()?;
    let service = Arc::new(service);
    let router = routes::router(Arc::clone(&service));
    let stop = async move {
        stop.await;
        stopping.send_replace(true);
    };
    let told_again = async {
        last_call.is_made().await;
        at_once.await;
    };
    let over = last_call.clone();
    let all_answered = async move {
        over.is_over().await;
        service.nobody_waits().await;
        sleep(config.last_call).await;
    };
    let ended = async {
        tokio::select! {
            () = connections::answer(listener, router, config.arrival, stop) => (),
            () = all_answered => (),
        }
        // With these went connections on which nobody says anything, and the last way to the model.
        computing.end().await
    };
    tokio::select! {
        ended = ended => ended,
        () = told_again => Err(ErrorKind::Interrupted.into()),
    }
}

/// Tells requests on their way that the service stops.
#[derive(Debug, Clone)]
pub(crate) struct LastCall {
    is_stopping: watch::Receiver<bool>,
    takes: Duration,
}

impl LastCall {
    async fn is_made(&self) {
        // Whoever would make it may be gone, and then nobody will.
        if self.is_stopping.clone().wait_for(|&it| it).await.is_err() {
            pending::<()>().await;
        }
    }

    pub(crate) async fn is_over(&self) {
        self.is_made().await;
        sleep(self.takes).await;
    }
}

/// Ready at the next signal after this was called.
#[cfg(unix)]
fn signal() -> Stop {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    async fn next(signal: io::Result<Signal>) {
        match signal {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => pending().await,
        }
    }
    let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    Box::pin(async {
        tokio::select! {
            () = next(interrupt) => (),
            () = next(terminate) => (),
        }
    })
}

#[cfg(not(unix))]
fn signal() -> Stop {
    // Without a handler the process ends as it does by default.
    Box::pin(async { drop(tokio::signal::ctrl_c().await) })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
        sync::mpsc::channel,
        thread::spawn,
    };

    use tokio::sync::oneshot;

    use super::*;

    /// Also when all that is left is a model that computes for nobody.
    #[test]
    fn who_is_told_again_does_not_wait_for_the_model() {
        let (computes, is_computing) = channel();
        let (let_go, is_let_go) = channel::<()>();
        let model = Model {
            name: "slow".to_owned(),
            image_size: [1, 1],
            decoding: Decoding::default(),
            preprocess: Preprocess::Squash,
            dim: 1,
            embed: Box::new(move |_, images| {
                computes.send(()).unwrap();
                let _ = is_let_go.recv();
                vec![0.0; images]
            }),
        };
        let config = ServeConfig {
            last_call: Duration::ZERO,
            ..ServeConfig::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (again, told_again) = oneshot::channel::<()>();
        let stops =
            || [stopped, told_again].map(|told| Box::pin(async { drop(told.await) }) as Stop);
        let service = spawn(move || serve_between(listener, model, config, stops));

        let mut leaves = TcpStream::connect(address).unwrap();
        let request = "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n";
        leaves.write_all(request.as_bytes()).unwrap();
        leaves.write_all(b"P6 1 1 255\n\0\0\0").unwrap();
        is_computing.recv().unwrap();
        drop(leaves);
        let mut says_nothing = TcpStream::connect(address).unwrap();
        says_nothing.write_all(b"POST").unwrap();
        stop.send(()).unwrap();
        // Closed when nothing but the model is left.
        drop(says_nothing.read(&mut [0]));
        again.send(()).unwrap();
        let error = service.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        drop(let_go);
    }
}

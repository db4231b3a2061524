//! Images of several requests, computed together.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{Embed, connections::FOREVER, metrics::Metrics, refusal::Refusal};

/// The place of a request among those under way; free when nothing of the request is left, also
/// where its client went away before.
pub(crate) type Place = Arc<OwnedSemaphorePermit>;

type Answer = Result<Vec<f32>, Refusal>;

/// An image that waits for its features.
struct Job {
    pixels: Vec<u8>,
    reply: oneshot::Sender<Answer>,
    _place: Place,
}

/// Features that are being computed.
pub(crate) struct Pending(oneshot::Receiver<Answer>);

impl Pending {
    pub(crate) async fn features(self) -> Answer {
        self.0.await.unwrap_or(Err(Refusal::Failed))
    }
}

/// The way of images to the model.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    jobs: Sender<Job>,
}

impl Queue {
    /// Asks for the features of an image of the model's size; how many wait is bounded by the
    /// places.
    pub(crate) fn ask(&self, pixels: Vec<u8>, place: Place) -> Pending {
        let (reply, features) = oneshot::channel();
        // Without a model the reply is dropped, which is an answer too.
        drop(self.jobs.send(Job {
            pixels,
            reply,
            _place: place,
        }));
        Pending(features)
    }
}

/// The thread of the model.
pub(crate) struct Computing {
    thread: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

impl Computing {
    /// Ready once the thread has ended.
    pub(crate) async fn end(self) -> io::Result<()> {
        // Nothing is ever sent: it goes with the thread.
        drop(self.ended.await);
        let ended = self.thread.join();
        ended.map_err(|_| io::Error::other("the model's thread panicked"))
    }
}

/// The model and the images that come to it.
pub(crate) struct Batches {
    jobs: Receiver<Job>,
    embed: Embed,
    dim: usize,
    batch_size: usize,
    wait: Duration,
    metrics: Arc<Metrics>,
}

impl Batches {
    /// The model behind a queue, which gathers up to `batch_size` images for at most `wait`.
    pub(crate) fn new(
        embed: Embed,
        dim: usize,
        batch_size: usize,
        wait: Duration,
        metrics: Arc<Metrics>,
    ) -> (Queue, Self) {
        let (sender, jobs) = channel();
        let batches = Self {
            jobs,
            embed,
            dim,
            batch_size,
            wait,
            metrics,
        };
        (Queue { jobs: sender }, batches)
    }

    /// Computes in a thread of its own until all queues are gone.
    pub(crate) fn compute(mut self) -> io::Result<Computing> {
        let (computes, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("ijepa-model".to_owned());
        let thread = thread.spawn(move || {
            let _computes: oneshot::Sender<()> = computes;
            while let Some(batch) = self.next() {
                self.answer(batch);
            }
        })?;
        Ok(Computing { thread, ended })
    }

    /// The images that came, after the first for as long as others may be waited for.
    fn next(&self) -> Option<Vec<Job>> {
        let mut batch = vec![self.jobs.recv().ok()?];
        let until = Instant::now() + self.wait.min(FOREVER);
        while batch.len() < self.batch_size {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(job) = self.jobs.recv_timeout(left) else {
                break;
            };
            batch.push(job);
        }
        // Whoever went away waits for nothing.
        batch.retain(|job| !job.reply.is_closed());
        Some(batch)
    }

    /// Gives each image its features, or a refusal where the model panics or they are not finite.
    fn answer(&mut self, batch: Vec<Job>) {
        let images = batch.len();
        if images == 0 {
            return;
        }
        let pixels: Vec<u8> = batch.iter().flat_map(|job| &job.pixels).copied().collect();
        let began = Instant::now();
        let embed = AssertUnwindSafe(|| (self.embed)(&pixels, images));
        let features = catch_unwind(embed).ok();
        let features = features.filter(|it| it.len() == images * self.dim);
        self.metrics.batch(images, began.elapsed());
        for (number, job) in batch.into_iter().enumerate() {
            let own = |all: &Vec<f32>| all[number * self.dim..][..self.dim].to_vec();
            let answer = match features.as_ref().map(own) {
                None => Err(Refusal::Failed),
                Some(own) if own.iter().all(|value| value.is_finite()) => Ok(own),
                Some(_) => Err(Refusal::NotFinite),
            };
            // The client may be gone by now.
            drop(job.reply.send(answer));
        }
    }
}

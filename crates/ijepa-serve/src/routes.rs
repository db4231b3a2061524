//! What the service answers.

use std::{sync::Arc, time::Instant};

use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, FromRequest, Multipart, Request, State, multipart::MultipartError,
    },
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde::Serialize;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::{
    LastCall, Model, ServeConfig,
    batches::{Batches, Place, Queue},
    images::Shape,
    metrics::Metrics,
    refusal::Refusal,
};

/// The content type of what Prometheus reads.
const PROMETHEUS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The content type of forms with files, whatever its case.
const FORM: &[u8] = b"multipart/form-data";

/// Letters of the name of a file that refusals repeat.
const NAME: usize = 255;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Service {
    model: String,
    dim: usize,
    shape: Shape,
    config: ServeConfig,
    queue: Queue,
    /// For requests of which anything is left.
    places: Arc<Semaphore>,
    /// For requests without an answer.
    waiting: Semaphore,
    last_call: LastCall,
    metrics: Arc<Metrics>,
}

/// An image file as it came.
struct Upload {
    /// Of the file or the field of a form.
    name: String,
    bytes: Bytes,
}

/// What is answered to a request.
#[derive(Debug, Serialize)]
struct Embeddings<'a> {
    model: &'a str,
    dim: usize,
    embeddings: Vec<Vec<f32>>,
}

/// An answer, which keeps the place of its request until it has left.
struct Answer {
    text: Vec<u8>,
    _place: Place,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// Requests that may be under way, as many as a semaphore can count on any machine.
fn places(config: ServeConfig) -> u32 {
    let most = u32::MAX >> 3;
    u32::try_from(config.requests).map_or(most, |requests| requests.min(most))
}

impl Service {
    /// The service, and the model that has to be started beside it.
    pub(crate) fn new(model: Model, config: ServeConfig, last_call: LastCall) -> (Self, Batches) {
        let metrics = Arc::new(Metrics::new());
        let Model {
            name,
            image_size,
            decoding,
            preprocess,
            dim,
            embed,
        } = model;
        let ServeConfig {
            batch_size, wait, ..
        } = config;
        let (queue, batches) = Batches::new(embed, dim, batch_size, wait, Arc::clone(&metrics));
        let service = Self {
            model: name,
            dim,
            shape: Shape {
                image_size,
                decoding,
                preprocess,
                max_pixels: config.max_pixels,
            },
            config,
            queue,
            places: Arc::new(Semaphore::new(places(config) as usize)),
            waiting: Semaphore::new(places(config) as usize),
            last_call,
            metrics,
        };
        (service, batches)
    }

    /// The answer with the features of the images of a request, in their order.
    async fn embed(&self, request: Request) -> Result<Bytes, Refusal> {
        // Before anything is read: who finds no place costs nothing.
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = Arc::new(place.map_err(|_| Refusal::Busy)?);
        // Whoever has a place has one of these, too.
        let _waits = self.waiting.try_acquire();
        let arrival = self.config.arrival;
        let images = tokio::select! {
            images = timeout(arrival, self.images(request)) => {
                images.map_err(|_| Refusal::Late(arrival.as_secs()))??
            }
            () = self.last_call.is_over() => return Err(Refusal::Stopping),
        };
        let mut decoding = Vec::with_capacity(images.len());
        for Upload { name, bytes } in images {
            let (shape, queue, place) = (self.shape, self.queue.clone(), Arc::clone(&place));
            decoding.push(spawn_blocking(move || {
                Ok(queue.ask(shape.pixels(&bytes, &name)?, place))
            }));
        }
        let mut features = Vec::with_capacity(decoding.len());
        for pending in decoding {
            let pending = pending.await.map_err(|_| Refusal::Decoder)?;
            features.push(pending?.features().await?);
        }
        let answer = Embeddings {
            model: &self.model,
            dim: self.dim,
            embeddings: features,
        };
        let text = serde_json::to_vec(&answer).expect("features are finite");
        Ok(Bytes::from_owner(Answer {
            text,
            _place: place,
        }))
    }

    /// Ready when every request has its answer.
    pub(crate) async fn nobody_waits(&self) {
        // The semaphore is never closed.
        drop(self.waiting.acquire_many(places(self.config)).await);
    }

    /// The images of a request.
    async fn images(&self, request: Request) -> Result<Vec<Upload>, Refusal> {
        // What is said to be too long is not waited for.
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > self.config.max_bytes as u64) {
            return Err(Refusal::Bytes(self.config.max_bytes));
        }
        let form = request.headers().get(CONTENT_TYPE);
        let kind = form.map_or(&b""[..], |kind| kind.as_bytes());
        let form = (kind.get(..FORM.len())).is_some_and(|kind| kind.eq_ignore_ascii_case(FORM));
        if !form {
            let bytes = Bytes::from_request(request, &()).await;
            let bytes = bytes
                .map_err(|error| self.unread(error.status(), Refusal::Unread(error.body_text())))?;
            return match bytes.is_empty() {
                true => Err(Refusal::Empty),
                false => Ok(vec![Upload {
                    name: "upload".to_owned(),
                    bytes,
                }]),
            };
        }
        let broken =
            |error: MultipartError| self.unread(error.status(), Refusal::Form(error.body_text()));
        let form = Multipart::from_request(request, &()).await;
        let mut form = form.map_err(|error| Refusal::Form(error.body_text()))?;
        let mut images = Vec::new();
        while let Some(field) = form.next_field().await.map_err(broken)? {
            if images.len() == self.config.max_images {
                return Err(Refusal::Images(self.config.max_images));
            }
            let name = field.file_name().or(field.name()).unwrap_or_default();
            images.push(Upload {
                name: name.chars().take(NAME).collect(),
                bytes: field.bytes().await.map_err(broken)?,
            });
        }
        match images.is_empty() {
            true => Err(Refusal::Empty),
            false => Ok(images),
        }
    }

    /// Why a request could not be read, if it is not its length.
    fn unread(&self, status: StatusCode, otherwise: Refusal) -> Refusal {
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::Bytes(self.config.max_bytes),
            _ => otherwise,
        }
    }
}

/// The routes of a service.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let limit = DefaultBodyLimit::max(service.config.max_bytes);
    Router::new()
        .route("/embed", post(embed).layer(limit))
        .route("/healthz", get(async || Json("ok")))
        .route("/metrics", get(metrics))
        .fallback(async || Refusal::Path)
        .method_not_allowed_fallback(async || Refusal::Method)
        .with_state(service)
}

async fn embed(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (began, _under_way) = (Instant::now(), service.metrics.arrived());
    let response = match service.embed(request).await {
        Ok(answer) => ([(CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(refusal) => refusal.into_response(),
    };
    let status = response.status();
    service.metrics.answered(status, began.elapsed());
    response
}

async fn metrics(State(service): State<Arc<Service>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, PROMETHEUS)], service.metrics.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_requests_can_be_asked_for() {
        let config = ServeConfig {
            requests: usize::MAX,
            ..ServeConfig::default()
        };
        let places = Semaphore::new(places(config) as usize);
        assert!(places.available_permits() > 1 << 20);
    }
}

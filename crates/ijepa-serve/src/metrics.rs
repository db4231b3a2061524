//! What Prometheus asks for.

use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Metric, Registry},
};

/// Counts since the start.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Vec<(String, String)>, Counter>,
    seconds: Histogram,
    under_way: Gauge,
    batch_images: Histogram,
    batch_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("ijepa");
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let images = Histogram::new(exponential_buckets(1.0, 2.0, 9));
        let all = &mut registry;
        Self {
            requests: added(all, "requests", "Requests for features", Family::default()),
            seconds: added(
                all,
                "request_seconds",
                "Seconds until their answer",
                seconds(),
            ),
            under_way: added(
                all,
                "requests_under_way",
                "Requests not answered yet",
                Gauge::default(),
            ),
            batch_images: added(all, "batch_images", "Images computed together", images),
            batch_seconds: added(
                all,
                "batch_seconds",
                "Seconds of their computation",
                seconds(),
            ),
            registry,
        }
    }

    /// A request has come; gone when what is returned is dropped.
    pub(crate) fn arrived(&self) -> UnderWay<'_> {
        self.under_way.inc();
        UnderWay(&self.under_way)
    }

    /// A request was answered.
    pub(crate) fn answered(&self, status: StatusCode, elapsed: Duration) {
        let status = vec![("status".to_owned(), status.as_u16().to_string())];
        self.requests.get_or_create(&status).inc();
        self.seconds.observe(elapsed.as_secs_f64());
    }

    /// A batch was computed.
    pub(crate) fn batch(&self, images: usize, elapsed: Duration) {
        self.batch_images.observe(images as f64);
        self.batch_seconds.observe(elapsed.as_secs_f64());
    }

    /// All counts in the text format of Prometheus.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes all that is written");
        text
    }
}

/// A metric that `registry` shows, too.
fn added<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(crate) struct UnderWay<'a>(&'a Gauge);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

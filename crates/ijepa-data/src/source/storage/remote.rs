//! Objects behind URLs.

mod listing;
mod object;

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::HttpError;
use object_store::http::HttpBuilder;
use object_store::path::Path as Location;
use object_store::{ClientConfigKey, Error, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::runtime::{Builder, Handle, Runtime};

use super::{patiently, split_query, without_query};
use crate::error::DataError;
use crate::source::cache::Cache;
use crate::source::file::unreadable;
pub(super) use object::Object;

/// Threads that move bytes; whoever asks for some waits in its own.
const THREADS: usize = 2;
/// Bytes of blocks that are kept while objects are read in order.
const MOST_BLOCKS: usize = 64 << 20;
/// A connection that gives nothing for so long is given up; whole answers may take any time.
const TIMEOUTS: [(ClientConfigKey, &str); 3] = [
    (ClientConfigKey::ConnectTimeout, "10 seconds"),
    (ClientConfigKey::ReadTimeout, "30 seconds"),
    (ClientConfigKey::Timeout, "1 day"),
];

/// The stores of one data set, and the threads that talk to them.
#[derive(Debug)]
pub(in crate::source) struct Remote {
    /// None once it is dropped.
    runtime: Option<Runtime>,
    /// By what their URLs have in common.
    stores: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
    /// By the number of the object and that of the block in it.
    blocks: Cache<Bytes, (u64, u64)>,
    objects: AtomicU64,
}

impl Remote {
    pub(super) fn start() -> Result<Arc<Self>, DataError> {
        // Fails where the program has chosen another one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("ijepa-remote")
            .enable_all()
            .build();
        let runtime = runtime.map_err(|source| DataError::Threads {
            count: THREADS,
            source,
        })?;
        Ok(Arc::new(Self {
            runtime: Some(runtime),
            stores: Mutex::default(),
            blocks: Cache::new(MOST_BLOCKS),
            objects: AtomicU64::new(0),
        }))
    }

    /// The object of a URL; nothing is asked yet.
    pub(super) fn object(self: &Arc<Self>, url: &Path) -> Result<Object, DataError> {
        let (store, location) = self.locate(url)?;
        let number = self.objects.fetch_add(1, Ordering::Relaxed);
        Ok(Object::new(Arc::clone(self), number, url, store, location))
    }

    /// The text of an object, if it is there and for us.
    pub(super) fn text(&self, url: &Path) -> Result<Option<String>, DataError> {
        let (store, location) = self.locate(url)?;
        let get = || {
            let bytes = self.wait(async { store.get(&location).await?.bytes().await });
            match bytes {
                Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
                Err(
                    Error::NotFound { .. }
                    | Error::PermissionDenied { .. }
                    | Error::Unauthenticated { .. },
                ) => Ok(None),
                Err(error) => Err(refusal(url, error)),
            }
        };
        patiently(get)
    }

    /// Waits in this thread for what is done in others.
    fn wait<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        let runtime = self.runtime.as_ref().expect("it ends with its last object");
        if Handle::try_current().is_err() {
            return runtime.block_on(work);
        }
        // A thread of a runtime may not wait for another one itself.
        let done = thread::scope(|scope| scope.spawn(|| runtime.block_on(work)).join());
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// The store of a URL and the place in it.
    fn locate(&self, url: &Path) -> Result<(Arc<dyn ObjectStore>, Location), DataError> {
        let bad = || {
            let expected = "http://HOST/PATH, https://HOST/PATH or s3://BUCKET/PATH";
            DataError::bad_value("URL", &without_query(url).to_string_lossy(), expected)
        };
        let Url { store, path, .. } = url.to_str().and_then(Url::parse).ok_or_else(bad)?;
        let is_s3 = store.starts_with("s3://");
        // Keys of objects are not encoded.
        let location = match is_s3 {
            true => Location::parse(path),
            false => Location::from_url_path(path),
        };
        let location = location.map_err(|_| bad())?;
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = stores.get(&store) {
            return Ok((Arc::clone(known), location));
        }
        let made = connect(&store).map_err(|error| refusal(url, error))?;
        stores.insert(store, Arc::clone(&made));
        Ok((made, location))
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // Waits for nothing, so that it can be dropped anywhere.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A URL in parts.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    /// What is asked: `https://host`, with what follows `?`, or `s3://bucket`.
    store: String,
    /// The text of that before the path.
    before: &'a str,
    path: &'a str,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (text, query) = split_query(text);
        let (scheme, rest) = text.split_once("://")?;
        let (host, path) = rest.split_once('/')?;
        let before = &text[..text.len() - path.len()];
        let slash = if query.is_empty() { "" } else { "/" };
        let is_known = ["s3", "http", "https"].contains(&scheme);
        (is_known && !host.is_empty() && !path.is_empty()).then(|| Self {
            store: format!("{scheme}://{host}{slash}{query}"),
            before,
            path,
        })
    }
}

/// Makes the client of a store. Attempts are repeated by who needs them.
fn connect(store: &str) -> Result<Arc<dyn ObjectStore>, Error> {
    let retry = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    if let Some(bucket) = store.strip_prefix("s3://") {
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_retry(retry);
        for (key, value) in TIMEOUTS {
            builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
        }
        return Ok(Arc::new(builder.build()?));
    }
    let mut builder = HttpBuilder::new()
        .with_url(store)
        .with_config(ClientConfigKey::AllowHttp, "true")
        .with_retry(retry);
    for (key, value) in TIMEOUTS {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::new(builder.build()?))
}

/// Letters of an answer that are worth telling.
const MOST_LETTERS: usize = 300;

/// What a store said; the kind of the error is what is to be done about it.
fn refusal(url: &Path, error: Error) -> DataError {
    let kind = match &error {
        Error::NotFound { .. } => ErrorKind::NotFound,
        Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::NotSupported { .. }
        | Error::InvalidPath { .. } => ErrorKind::PermissionDenied,
        _ => match status(&error) {
            Some(408 | 429 | 500..) => ErrorKind::ConnectionAborted,
            None if is_of_transport(&error) => ErrorKind::ConnectionAborted,
            _ => ErrorKind::PermissionDenied,
        },
    };
    let bare = without_query(url);
    let mut words = error.to_string().replace('\n', " ");
    // The client tells what it asked.
    let (_, query) = split_query(url.to_str().unwrap_or_default());
    if !query.is_empty() {
        words = words.replace(query, "");
    }
    if let Some((end, _)) = words.char_indices().nth(MOST_LETTERS) {
        words.truncate(end);
    }
    unreadable(bare, io::Error::new(kind, words))
}

/// Whether no answer came, or not all of it; one that makes no sense will be the same again.
fn is_of_transport(error: &Error) -> bool {
    let first: &dyn std::error::Error = error;
    let mut causes = std::iter::successors(Some(first), |error| error.source());
    causes.any(|error| error.is::<HttpError>())
}

/// The status of an answer, which the client tells in words only.
fn status(error: &Error) -> Option<u16> {
    let text = error.to_string();
    let (_, status) = text.split_once("status code: ")?;
    status.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use object_store::client::HttpErrorKind;

    use super::*;

    #[test]
    fn threads_of_another_runtime_can_wait() {
        let remote = Remote::start().unwrap();
        let other = Builder::new_current_thread().build().unwrap();
        assert_eq!(other.block_on(async { remote.wait(async { 7 }) }), 7);
    }

    #[test]
    fn urls_have_a_store_and_a_path() {
        let parts = |text| Url::parse(text).map(|url| (url.store, url.before, url.path));
        assert_eq!(
            parts("https://host:1/a/b%20c.tar?token=x/y"),
            Some((
                "https://host:1/?token=x/y".to_owned(),
                "https://host:1/",
                "a/b%20c.tar"
            ))
        );
        assert_eq!(
            parts("s3://bucket/a?.tar"),
            Some(("s3://bucket".to_owned(), "s3://bucket/", "a?.tar"))
        );
        for text in [
            "https://host",
            "https://host/",
            "gs://a/b",
            "a/b",
            "http:///a",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn errors_are_told_by_what_is_to_be_done() {
        use crate::fetch::FetchError;
        let kind = |error| match FetchError::from(refusal("s3://a/b".as_ref(), error)) {
            FetchError::Transient(_) => "transient",
            FetchError::Missing(_) => "missing",
            FetchError::Corrupt(_) => "corrupt",
        };
        let answer = |status: &str| Error::Generic {
            store: "HTTP",
            source: format!("Server returned non-2xx status code: {status}: ").into(),
        };
        for passing in ["500 Internal Server Error", "503 Slow Down", "408", "429"] {
            assert_eq!(kind(answer(passing)), "transient", "{passing}");
        }
        assert_eq!(kind(answer("400 Bad Request")), "missing");
        let generic = |source| Error::Generic {
            store: "S3",
            source,
        };
        let reset = io::Error::from(ErrorKind::ConnectionReset);
        let lost = HttpError::new(HttpErrorKind::Interrupted, reset);
        assert_eq!(kind(generic(Box::new(lost))), "transient");
        let senseless = "Content-Length Header missing from response";
        assert_eq!(kind(generic(senseless.into())), "missing");
        let (path, source) = ("b".to_owned(), "404".into());
        assert_eq!(kind(Error::NotFound { path, source }), "missing");
    }
}

//! Data sets of which a test gives some images.

use std::{fmt, sync::Arc};

use ijepa_data::{FetchError, Fetched, Source};

type Fetch = dyn Fn(usize, &mut Vec<u8>) -> Option<Result<Fetched, FetchError>> + Send + Sync;

/// A source some of whose images a function gives; labels and names stay those of the source.
pub struct Replaced {
    source: Arc<dyn Source>,
    fetch: Box<Fetch>,
}

impl Replaced {
    /// The images of `source`, but for those of which `fetch` gives something, as
    /// [`Source::fetch`] does.
    pub fn new(
        source: impl Into<Arc<dyn Source>>,
        fetch: impl Fn(usize, &mut Vec<u8>) -> Option<Result<Fetched, FetchError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            source: source.into(),
            fetch: Box::new(fetch),
        }
    }

    /// The images of `source`, but for those of which `file` gives a file.
    pub fn with_files(
        source: impl Into<Arc<dyn Source>>,
        file: impl Fn(usize) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::new(source, move |index, buffer| {
            *buffer = file(index)?;
            Some(Ok(Fetched::File))
        })
    }
}

impl fmt::Debug for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Replaced").field(&self.source).finish()
    }
}

impl Source for Replaced {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.source.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let given = (self.fetch)(index, buffer);
        given.unwrap_or_else(|| self.source.fetch(index, buffer))
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }
}

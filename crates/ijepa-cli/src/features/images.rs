//! Images of a source in their order, prepared ahead by threads.

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

use ijepa_data::{DataError, Preprocess, Source};

/// How images are read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) source: Arc<dyn Source>,
    pub(super) preprocess: Preprocess,
    /// Height and width.
    pub(super) size: [usize; 2],
}

/// Interleaved pixels of an image, or why there are none.
pub(super) type Pixels = Result<Vec<u8>, DataError>;

impl Reading {
    fn read(&self, index: usize) -> Pixels {
        let image = self.source.read(index)?;
        Ok(self.preprocess.apply(&image, self.size)?.into_pixels())
    }
}

/// An iterator over all images of a source.
///
/// Of `n` threads, thread `k` reads the images `k`, `k + n`, … into its own queue, so order needs
/// no bookkeeping and at most `ahead` images wait.
#[derive(Debug)]
pub(super) struct Images {
    reading: Reading,
    queues: Vec<Receiver<Pixels>>,
    threads: Vec<JoinHandle<()>>,
    next: usize,
}

impl Images {
    /// Starts `workers` threads; with none, images are read when they are asked for.
    pub(super) fn start(reading: Reading, workers: usize, ahead: usize) -> Result<Self, DataError> {
        let mut images = Self {
            reading,
            queues: Vec::new(),
            threads: Vec::new(),
            next: 0,
        };
        let len = images.reading.source.len();
        let count = workers.min(len);
        for first in 0..count {
            let (sender, queue) = sync_channel(ahead.min(len).div_ceil(count));
            let reading = images.reading.clone();
            let work = move || {
                for index in (first..len).step_by(count) {
                    // Nobody listens any more once the iterator is dropped.
                    if sender.send(reading.read(index)).is_err() {
                        break;
                    }
                }
            };
            let thread = Builder::new()
                .name(format!("ijepa-images-{first}"))
                .spawn(work)
                .map_err(|source| DataError::Threads { count, source })?;
            images.queues.push(queue);
            images.threads.push(thread);
        }
        Ok(images)
    }

    fn receive(&mut self, index: usize) -> Pixels {
        if self.queues.is_empty() {
            return self.reading.read(index);
        }
        let worker = index % self.queues.len();
        match self.queues[worker].recv() {
            Ok(pixels) => pixels,
            // The thread ended early, which only a panic explains.
            Err(_) => match self.threads.swap_remove(worker).join() {
                Err(panic) => resume_unwind(panic),
                Ok(()) => Err(DataError::WorkerLost { worker }),
            },
        }
    }
}

impl Iterator for Images {
    type Item = Pixels;

    fn next(&mut self) -> Option<Pixels> {
        let index = self.next;
        self.next += 1;
        (index < self.reading.source.len()).then(|| self.receive(index))
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        // Closing the queues wakes threads that wait for room.
        self.queues.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use ijepa_data::RgbImage8;

    use super::*;

    /// Images of one pixel, whose red is their number; every third cannot be read.
    #[derive(Debug)]
    struct Numbers(usize);

    impl Source for Numbers {
        fn len(&self) -> usize {
            self.0
        }

        fn label(&self, _: usize) -> Option<u32> {
            None
        }

        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn read(&self, index: usize) -> Result<RgbImage8, DataError> {
            assert!(index != 13, "thirteen");
            if index % 3 == 2 {
                let name = self.name(index);
                return Err(DataError::MissingImage { name });
            }
            RgbImage8::new(1, 1, vec![index as u8, 0, 0])
        }

        fn classes(&self) -> &[String] {
            &[]
        }
    }

    fn images(len: usize, workers: usize, ahead: usize) -> Images {
        let reading = Reading {
            source: Arc::new(Numbers(len)),
            preprocess: Preprocess::None,
            size: [1, 1],
        };
        Images::start(reading, workers, ahead).unwrap()
    }

    #[test]
    fn order_does_not_depend_on_threads() {
        for (workers, ahead) in [(0, 1), (1, 0), (2, 1), (3, 100), (20, 4)] {
            let found: Vec<Option<u8>> = images(11, workers, ahead)
                .map(|pixels| pixels.ok().map(|pixels| pixels[0]))
                .collect();
            let expected: Vec<Option<u8>> = (0..11).map(|i| (i % 3 != 2).then_some(i)).collect();
            assert_eq!(found, expected, "{workers} workers");
        }
    }

    #[test]
    fn threads_end_when_nobody_listens() {
        let mut images = images(11, 3, 1);
        assert!(images.next().is_some());
        drop(images);
    }

    #[test]
    #[should_panic(expected = "thirteen")]
    fn a_panic_of_a_thread_is_passed_on() {
        let _ = images(14, 2, 1).count();
    }
}

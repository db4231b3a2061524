//! Data that cannot be read, or are not what they were.

use super::*;

/// Images of which every third request fails, and from one request on all.
#[derive(Debug)]
struct Flaky {
    asked: AtomicU32,
    last: u32,
}

impl Source for Flaky {
    fn len(&self) -> usize {
        16
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn fetch(&self, index: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if asked % 3 == 1 || asked >= self.last {
            let path = self.name(index).into();
            let source = std::io::Error::from_raw_os_error(5);
            return Err(DataError::Read { path, source }.into());
        }
        let pixels = (0..32 * 32 * 3).map(|at| (at * (index + 3) % 251) as u8);
        let image = RgbImage8::new(32, 32, pixels.collect())?;
        Ok(Fetched::Pixels(image.into()))
    }
}

#[test]
fn a_run_waits_for_its_data_or_saves_and_stops_and_goes_on_as_if_nothing_had_been() {
    let run = |folder: &Path, retries, last| {
        let options = TrainOptions {
            // Requests one after the other, so that those that fail are known.
            workers: 0,
            max_steps: Some(4),
            reading: Reading {
                retry: Retry {
                    retries,
                    first_pause: Duration::ZERO,
                },
                ..Reading::default()
            },
            ..TrainOptions::default()
        };
        let source = Flaky {
            asked: AtomicU32::new(0),
            last,
        };
        let every = ["run.log_every_steps=1"];
        train_on(Arc::new(source), folder, &every, &options, &mut [])
    };
    let [patient, stopped] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let summary = run(patient.path(), 9, u32::MAX).unwrap();
    assert_eq!(summary.skipped, []);

    // Two batches and a half, with the requests that failed.
    let error = run(stopped.path(), 9, 15).unwrap_err();
    let TrainError::Data(error @ DataError::GaveUp { attempts: 10, .. }) = error else {
        panic!("{error}");
    };
    let cause = error.source().unwrap().to_string();
    assert!(cause.starts_with("cannot read `"), "{cause}");
    assert_eq!(saved_step(stopped.path()), Some(2));
    assert!(!stopped.path().join("skipped.csv").exists());
    run(stopped.path(), 9, u32::MAX).unwrap();
    assert_eq!(
        column(stopped.path(), "loss"),
        column(patient.path(), "loss")
    );
}

/// Images of one color with other names, and how many.
#[derive(Debug)]
struct Named(&'static str, usize);

impl Source for Named {
    fn len(&self) -> usize {
        self.1
    }

    fn name(&self, index: usize) -> String {
        format!("{}-{index}", self.0)
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        Plain.fetch(index, buffer)
    }
}

/// All images are alike here, so that runs look collapsed.
fn is_collapse(warning: &str) -> bool {
    warning.contains("this run looks collapsed")
}

#[test]
fn other_data_and_other_batches_are_warned_of_and_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let go_on = |images, batch_size: usize, until| {
        let options = TrainOptions {
            max_steps: Some(until),
            ..TrainOptions::default()
        };
        let batch_size = format!("run.batch_size={batch_size}");
        let overrides = ["optimizer.steps_per_epoch=0", &batch_size];
        let mut warned = Warned::default();
        let observers: &mut [&mut dyn Observer<Learner>] = &mut [&mut warned];
        train_on(
            Arc::new(images),
            folder.path(),
            &overrides,
            &options,
            observers,
        )
        .unwrap();
        warned.0.retain(|warning| !is_collapse(warning));
        warned.0
    };
    let none: [&str; 0] = [];
    assert_eq!(go_on(Named("a", 16), 4, 4), none);
    assert_eq!(go_on(Named("a", 16), 4, 5), none);
    let data = "the data is not what the run has seen so far: ";
    assert_eq!(go_on(Named("b", 16), 4, 6), [format!("{data}other names")]);
    let fewer = go_on(Named("b", 12), 4, 7);
    assert_eq!(fewer.len(), 1);
    let expected = format!(
        "{data}16 images then, 12 now; other names; an epoch has 3 steps now, so 1 completed ones \
         become 2.00; schedules go on at step 6 of "
    );
    assert!(fewer[0].starts_with(&expected), "{fewer:?}");
    let larger = go_on(Named("b", 12), 12, 8);
    let expected = "steps have 12 images, not 4 as before; the 28 images seen so far count as they \
                    were; an epoch has 1 steps now, so 2 completed ones become 7.00; schedules go on \
                    at step 7 of ";
    assert!(larger[0].starts_with(expected), "{larger:?}");
    assert_eq!(go_on(Named("b", 12), 12, 9), none);
    let text = fs::read_to_string(folder.path().join("warnings.csv")).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !is_collapse(line)).collect();
    let quoted = |step: u64, warning: &str| format!("{step},\"{warning}\"");
    assert_eq!(lines[0], "step,warning");
    assert_eq!(lines[1], quoted(5, &format!("{data}other names")));
    let changed = quoted(7, "run.batch_size was 4 and is 12");
    assert_eq!(
        lines[2..],
        [quoted(6, &fewer[0]), quoted(7, &larger[0]), changed]
    );
    let environment = fs::read_to_string(folder.path().join("environment.json")).unwrap();
    let environment: serde_json::Value = serde_json::from_str(&environment).unwrap();
    assert_eq!(environment["data_fingerprint"]["images"], 12);
}

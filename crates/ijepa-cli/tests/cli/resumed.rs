//! Runs on files of images that go on where they were stopped.

use std::{fs, io::Cursor, path::Path, sync::Arc};

use ijepa_testkit::device_name;
use parquet::{
    data_type::{ByteArray, ByteArrayType, Int64Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};

use crate::support::{json, metrics, path_text, tensors, tiny, tiny_on, words};

/// An image like no other.
fn image(number: u32) -> image::RgbImage {
    image::RgbImage::from_fn(40, 34, |x, y| {
        image::Rgb([
            (x * (number + 3)) as u8,
            (y * 7 + number * 11) as u8,
            (x * y) as u8,
        ])
    })
}

/// A folder of images in two classes, of which one cannot be read.
fn folder(path: &Path) -> String {
    for number in 0..30 {
        let class = path.join(format!("class-{}", number % 2));
        fs::create_dir_all(&class).unwrap();
        image(number)
            .save(class.join(format!("{number:02}.png")))
            .unwrap();
    }
    fs::write(path.join("class-0/bad.png"), "no image").unwrap();
    path_text(path)
}

/// Two files of two row groups each.
fn parquet(path: &Path) -> String {
    fs::create_dir_all(path).unwrap();
    let schema = "message schema { optional group image { optional binary bytes; \
                  optional binary path (UTF8); } optional int64 label; }";
    for file in 0..2 {
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let out = fs::File::create(path.join(format!("train-{file}.parquet"))).unwrap();
        let properties = Arc::new(WriterProperties::builder().build());
        let mut writer = SerializedFileWriter::new(out, schema, properties).unwrap();
        for group in 0..2 {
            let numbers = (0..8).map(|row| 16 * file + 8 * group + row);
            let png = |number| {
                let mut bytes = Cursor::new(Vec::new());
                image(number)
                    .write_to(&mut bytes, image::ImageFormat::Png)
                    .unwrap();
                ByteArray::from(bytes.into_inner())
            };
            let images: Vec<ByteArray> = numbers.clone().map(png).collect();
            let labels: Vec<i64> = numbers
                .clone()
                .map(|number| i64::from(number % 2))
                .collect();
            let mut row_group = writer.next_row_group().unwrap();
            let mut column = row_group.next_column().unwrap().unwrap();
            column
                .typed::<ByteArrayType>()
                .write_batch(&images, Some(&[2; 8]), None)
                .unwrap();
            column.close().unwrap();
            let mut column = row_group.next_column().unwrap().unwrap();
            column
                .typed::<ByteArrayType>()
                .write_batch(&[], Some(&[1; 8]), None)
                .unwrap();
            column.close().unwrap();
            let mut column = row_group.next_column().unwrap().unwrap();
            column
                .typed::<Int64Type>()
                .write_batch(&labels, Some(&[1; 8]), None)
                .unwrap();
            column.close().unwrap();
            row_group.close().unwrap();
        }
        writer.close().unwrap();
    }
    format!("parquet:{}", path_text(path.join("*.parquet")))
}

#[test]
fn runs_on_folders_and_parquet_resume_bit_for_bit() {
    let temporary = tempfile::tempdir().unwrap();
    let at = |name: &str| temporary.path().join(name);
    for data in [folder(&at("folder")), parquet(&at("parquet"))] {
        // An epoch is two steps, and a run stops within one; only one image of many is bad.
        let run = |out: &str, steps: u64, workers: usize| {
            let out = at(&format!("{out}-{}", data.starts_with("parquet")));
            let more = format!(
                "--quiet --max-steps {steps} --workers {workers} \
                 --set optimizer.steps_per_epoch=0 data.max_bad_fraction=0.1"
            );
            json(&tiny_on(&data, &out, &more));
            out
        };
        let whole = run("whole", 7, 0);
        run("parts", 3, 2);
        run("parts", 4, 1);
        let parts = run("parts", 7, 3);
        assert_eq!(metrics(&parts), metrics(&whole), "{data}");
        assert_eq!(tensors(&parts), tensors(&whole), "{data}");
    }
}

/// Sums are those of one thread on any number of them.
#[test]
fn a_run_goes_on_with_other_threads_as_if_it_had_not_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let train = |name: &str, more: &str| {
        let out = folder.path().join(name);
        let mut line = words(&format!(
            "pretrain --quiet --recipe scenes_vit_nano --data scenes:n=64,size=32 {more} --set \
             optimizer.steps_per_epoch=2 optimizer.epochs=2"
        ));
        line.extend([
            "--out".to_owned(),
            path_text(&out),
            "--device".to_owned(),
            device_name(),
        ]);
        json(&line);
        tensors(&out)
    };
    train("threads", "--threads 3 --max-steps 1");
    let found = train("threads", "--threads 2 --max-steps 2");
    assert!(found == train("one", "--threads 1 --max-steps 2"));
}

/// What the reference does not write down is in a note of its own.
#[test]
fn an_official_file_of_ours_goes_on_within_an_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, more: &str| {
        let out = folder.path().join(name);
        json(&tiny(&out, more));
        out
    };
    let part = path_text(run("part", "--max-steps 3"));
    let official = path_text(folder.path().join("part.pth.tar"));
    json(&["convert", &part, &official, "--to", "official"]);
    let resumed = run("resumed", &format!("--max-steps 7 --resume {official}"));
    let whole = run("whole", "--max-steps 7");
    assert_eq!(tensors(&resumed), tensors(&whole));
}

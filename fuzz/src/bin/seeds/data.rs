//! Images, shards, their indices and lists.

use std::{error::Error, fs, io::Cursor, path::Path};

use ijepa_data::{DataSpec, PackConfig, PackFormat, Reading, TarSource, pack};
use ijepa_fuzz::SHARD;
use image::{DynamicImage, ImageFormat};
use serde_json::{Value, json};

use crate::Corpus;

pub(crate) fn seeds(corpus: &Corpus) -> Result<(), Box<dyn Error>> {
    images(corpus)?;
    shards(corpus)?;
    folder_index(corpus)
}

/// Files of every kind and depth, behind what is made of them.
fn images(corpus: &Corpus) -> Result<(), Box<dyn Error>> {
    const CHOICES: [[u8; 8]; 3] = [
        [3, 0, 0, 0, 200, 200, 8, 8],
        [3, 3, 60, 40, 120, 90, 2, 1],
        [1, 8, 10, 0, 100, 200, 9, 7],
    ];
    let picture = DynamicImage::new_rgb8(40, 30);
    let pictures = [
        ("rgb8", picture.clone()),
        ("rgba8", picture.to_rgba8().into()),
        ("grey8", picture.to_luma8().into()),
        ("grey16", picture.to_luma16().into()),
        ("rgb16", picture.to_rgb16().into()),
        ("rgb32f", picture.to_rgb32f().into()),
    ];
    let formats = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::Pnm,
        ImageFormat::WebP,
        ImageFormat::Tiff,
    ];
    let mut files = Vec::new();
    for ((depth, picture), format) in pictures.iter().flat_map(|it| formats.map(|to| (it, to))) {
        let mut file = Cursor::new(Vec::new());
        // Not every format has every depth.
        if picture.write_to(&mut file, format).is_ok() {
            files.push((format!("{depth}.{format:?}"), file.into_inner()));
        }
    }
    for kind in ["|u1", "<u2", "<f4", ">f8"] {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (3, 4, 2), }}");
        let header = format!("{header:117}\n");
        let before = [&b"\x93NUMPY\x01\x00\x76\x00"[..], header.as_bytes()];
        let file = [&before.concat()[..], &[0; 3 * 4 * 2 * 8]].concat();
        let bytes = usize::from(kind.as_bytes()[2] - b'0');
        files.push((
            format!("{}.npy", &kind[1..]),
            file[..128 + 24 * bytes].to_vec(),
        ));
    }
    for (number, choices) in CHOICES.iter().enumerate() {
        for (name, file) in &files {
            corpus.add(
                "image",
                &format!("{number}.{name}"),
                [&choices[..], file].concat(),
            )?;
        }
    }
    let form = |content: &[u8]| {
        let head = b"f--edge\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";
        [&head[..], content, b"\r\n--edge--\r\n"].concat()
    };
    for (name, file) in files.iter().filter(|(name, _)| name.starts_with("grey8")) {
        corpus.add("serve", name, [&b"i"[..], file].concat())?;
        corpus.add("serve", &format!("form.{name}"), form(file))?;
    }
    Ok(())
}

fn shards(corpus: &Corpus) -> Result<(), Box<dyn Error>> {
    let source = "scenes:n=3,size=8".parse::<DataSpec>()?.open()?;
    for (format, ending) in [(PackFormat::Tar, "tar"), (PackFormat::Parquet, "parquet")] {
        let config = PackConfig {
            format,
            name: "a".to_owned(),
            most_images: 3,
            most_bytes: 1 << 20,
            shrink: None,
            shuffle: None,
            reading: Reading::default(),
            workers: 0,
        };
        let folder = corpus.scratch(ending);
        let packed = pack(source.as_ref(), &folder, &config, |_| ())?;
        corpus.add(ending, "packed", fs::read(&packed.shards[0])?)?;
        if format == PackFormat::Tar {
            let shard = &packed.shards[0];
            TarSource::open(shard, None)?;
            corpus.add("tar_index", "packed", index_of(&folder)?)?;
        }
    }
    Ok(())
}

/// What the index beside a shard holds, as if about the shard of the target.
fn index_of(folder: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut files = fs::read_dir(folder)?.flatten().map(|file| file.path());
    let index = files.find(|path| path.extension().is_some_and(|it| it == "index"));
    let file = fs::read(index.ok_or("no index")?)?;
    let content = &file[9..file.len() - 32];
    let (length, rest) = content.split_first_chunk().ok_or("a short file")?;
    let (about, records) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut about: Value = serde_json::from_slice(about)?;
    let stamp = [("bytes", SHARD as u64), ("seconds", 1), ("nanoseconds", 0)];
    for (key, value) in stamp {
        about["shard"][key] = json!(value);
    }
    let about = about.to_string();
    let length = (about.len() as u64).to_le_bytes();
    Ok([&length, about.as_bytes(), records].concat())
}

/// One image of one class in one folder, of which nothing has to be the same still.
fn folder_index(corpus: &Corpus) -> Result<(), Box<dyn Error>> {
    let mut content = Vec::new();
    let mut number = |number: u64, text: &[u8]| {
        content.extend(number.to_le_bytes());
        content.extend(text);
    };
    let (marks, others, label, images) = (0, 1, 1, 1);
    number(marks, b"");
    number(1, b"");
    number(3, b"cat");
    number(1, b"");
    number(3, b"cat");
    number(label, b"");
    number(images, b"");
    number(others, b"");
    number(3, b"txt");
    number(7, b"");
    number(images, &[5, 0]);
    content.extend(b"a.png");
    corpus.add("folder_index", "one", content)
}

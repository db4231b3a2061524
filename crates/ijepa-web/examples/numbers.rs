//! What the page says of a picture of the model's size, computed without a browser:
//!
//! ```sh
//! cargo run --release -p ijepa-web --example numbers -- MODEL_FOLDER PICTURE.png
//! ```

use std::{env, error::Error, fs, io::Write, path::PathBuf};

use burn::tensor::{Device, read_sync};
use ijepa_model::Checkpoint;
use ijepa_web::Model;

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = env::args_os().skip(1).map(PathBuf::from);
    let (folder, picture) = (paths.next(), paths.next());
    let folder = folder.ok_or("name the folder of a model")?;
    let model = Model::open(&Checkpoint::open(folder)?, &Device::flex())?;

    let picture = fs::File::open(picture.ok_or("name a PNG file")?)?;
    let mut reader = png::Decoder::new(std::io::BufReader::new(picture)).read_info()?;
    let size = reader.output_buffer_size().ok_or("too large")?;
    let mut rgb = vec![0; size];
    reader.next_frame(&mut rgb)?;
    let rgba: Vec<u8> = rgb
        .chunks_exact(3)
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255])
        .collect();

    let shown = read_sync(model.look(&rgba))?;
    let found = read_sync(model.predict(&shown, &model.masks(0), 0))?;
    let nearest = found.nearest.iter().map(|&patch| patch as f64);
    let numbers = found.mean.iter().copied().chain(nearest);
    let numbers: Vec<String> = numbers.map(|number| format!("{number:.4}")).collect();
    writeln!(std::io::stdout(), "{}", numbers.join(" "))?;
    Ok(())
}

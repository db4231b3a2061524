//! Images with masks or depths in the layout of PASCAL VOC.

use std::path::{Path, PathBuf};

use crate::depth::Depth;
use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};
use crate::mask::Mask;
use crate::source::file::{read_file, read_text};
use crate::source::listed::Listed;
use crate::source::split::folder_and_split;
use crate::source::storage::patiently;
use crate::source::{ListedSource, Source};

const IMAGES: &str = "JPEGImages";

/// The images of `ImageSets/Segmentation/train.txt` (`val.txt`), one name a line, each with
/// `JPEGImages/NAME.jpg`, in the order of their names. Masks are the PNG files of class indices
/// `SegmentationClass/NAME.png`, depths the PNG files of millimetres `Depth/NAME.png`; only those
/// that are asked for have to be there.
///
/// # Examples
///
/// ```no_run
/// use ijepa_data::{Source, VocSource};
///
/// let val = VocSource::open("VOC2012/val")?;
/// let mask = val.mask(0)?.expect("every image has a mask");
/// println!("{:?}", mask.size());
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct VocSource {
    images: ListedSource,
    folder: PathBuf,
}

impl VocSource {
    /// Lists the images of the split `train`, or, with `/val` behind the folder, of `val`.
    ///
    /// # Errors
    ///
    /// [`DataError::NoFolder`], [`DataError::Read`] if there is no list,
    /// [`DataError::SubsetEmpty`], [`DataError::BadEntry`] for a name that leads out of the folder
    /// or stands twice, [`DataError::ListedMissing`] if the first image is not there.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let (folder, split) = folder_and_split(path.as_ref(), &["train", "val"])?;
        let list = folder.join(format!("ImageSets/Segmentation/{split}.txt"));
        let text = read_text(&list)?;
        let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
        let files = names.map(|name| Listed::new(format!("{name}.jpg"), None));
        let roots = [folder.join(IMAGES)];
        Ok(Self {
            images: ListedSource::new(&list, &roots, files.collect(), Vec::new())?,
            folder,
        })
    }

    /// The bytes and the path of the PNG file in `folder` that goes with image `index`.
    fn png(&self, folder: &str, index: usize) -> Result<(Vec<u8>, String), DataError> {
        let image = self.images.path(index);
        let name = image.strip_prefix(self.folder.join(IMAGES)).ok();
        let name = name.expect("the list names images of that folder");
        let path = self.folder.join(folder).join(name.with_extension("png"));
        let bytes = patiently(|| read_file(&path))?;
        Ok((bytes, path.display().to_string()))
    }
}

impl Source for VocSource {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, index: usize) -> String {
        self.images.name(index)
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        self.images.file(index)
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        self.images.fetch(index, buffer)
    }

    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        let (file, name) = self.png("SegmentationClass", index)?;
        Mask::of_png(&file, &name).map(Some)
    }

    fn depth(&self, index: usize) -> Result<Option<Depth>, DataError> {
        let (file, name) = self.png("Depth", index)?;
        Depth::of_png(&file, &name).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn images_come_with_their_masks_and_depths_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for part in [
            "ImageSets/Segmentation",
            "JPEGImages",
            "SegmentationClass",
            "Depth",
        ] {
            fs::create_dir_all(root.join(part)).unwrap();
        }
        let list = |split: &str, names: &str| {
            let path = root.join(format!("ImageSets/Segmentation/{split}.txt"));
            fs::write(path, names).unwrap();
        };
        list("train", "b_2\na.1\n\n");
        list("val", "c\n");
        for part in ["JPEGImages", "SegmentationClass", "Depth"] {
            fs::create_dir(root.join(part).join("sub")).unwrap();
        }
        for (name, class) in [("a.1", 3), ("b_2", 0), ("c", 255), ("sub/c", 7)] {
            let image = image::RgbImage::from_pixel(3, 2, image::Rgb([9, 9, 9]));
            image
                .save(root.join(format!("JPEGImages/{name}.jpg")))
                .unwrap();
            let mask = image::GrayImage::from_pixel(3, 2, image::Luma([class]));
            mask.save(root.join(format!("SegmentationClass/{name}.png")))
                .unwrap();
            type Millimetres = image::ImageBuffer<image::Luma<u16>, Vec<u16>>;
            let depth = Millimetres::from_pixel(3, 2, image::Luma([1000 + u16::from(class)]));
            depth.save(root.join(format!("Depth/{name}.png"))).unwrap();
        }
        let train = VocSource::open(root).unwrap();
        let classes = |source: &VocSource, index| source.mask(index).unwrap().unwrap().classes()[0];
        assert_eq!(
            (train.len(), classes(&train, 0), classes(&train, 1)),
            (2, 3, 0)
        );
        assert!(train.name(0).ends_with("a.1.jpg"), "{}", train.name(0));
        assert_eq!(train.read(0).unwrap().width(), 3);
        let val = VocSource::open(root.join("val")).unwrap();
        assert_eq!((val.len(), classes(&val, 0)), (1, Mask::IGNORED));

        list("val", "sub/c\n");
        let below = VocSource::open(root.join("val")).unwrap();
        assert_eq!(classes(&below, 0), 7);

        let metres = |source: &VocSource, index| source.depth(index).unwrap().unwrap().metres()[0];
        assert_eq!([metres(&train, 0), metres(&train, 1)], [1.003, 1.0]);

        // A disk that is away for a moment is waited for, as for images.
        let [masks, away] = ["SegmentationClass", "away"].map(|name| root.join(name));
        fs::rename(&masks, &away).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(100));
                fs::rename(&away, &masks).unwrap();
            });
            assert_eq!(classes(&val, 0), Mask::IGNORED);
        });

        for part in ["SegmentationClass/c.png", "Depth/c.png"] {
            fs::remove_file(root.join(part)).unwrap();
        }
        let error = val.mask(0).unwrap_err().to_string();
        assert!(error.contains("SegmentationClass/c.png"), "{error}");
        let error = val.depth(0).unwrap_err().to_string();
        assert!(error.contains("Depth/c.png"), "{error}");
        list("val", "c\nc\n");
        let error = VocSource::open(root.join("val")).unwrap_err().to_string();
        assert!(
            error.ends_with("image `c.jpg`: found it twice, expected it once"),
            "{error}"
        );
        list("val", "../c\n");
        let error = VocSource::open(root.join("val")).unwrap_err().to_string();
        assert!(error.contains("a path below the data folder"), "{error}");
    }
}

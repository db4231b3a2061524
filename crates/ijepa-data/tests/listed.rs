//! Data sets with labels in files of their own, written here in their real layout.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use ijepa_data::{DataError, DataSpec, Source};
use serde_json::{Value, json};
use tempfile::TempDir;

fn write(root: &Path, name: &str, contents: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

/// A one-pixel image of the given level.
fn image(root: &Path, name: &str, level: u8) {
    write(root, name, [b"P6 1 1 255\n", &[level; 3][..]].concat());
}

fn open(spec: String) -> Result<Arc<dyn Source>, DataError> {
    spec.parse::<DataSpec>()?.open()
}

fn labels(source: &dyn Source) -> Vec<u32> {
    let labels = (0..source.len()).map(|index| source.label(index));
    labels.map(Option::unwrap).collect()
}

/// The error's message with the folder's own path left out.
fn message(root: &TempDir, result: Result<Arc<dyn Source>, DataError>) -> String {
    let path = root.path().display().to_string();
    result.unwrap_err().to_string().replace(&path, "ROOT")
}

/// A scene whose objects lie at `depths`, with fields beside those that matter, as in CLEVR.
fn scene(name: &str, depths: &[f64]) -> Value {
    let object = |&depth: &f64| {
        json!({"color": "red", "shape": "cube", "3d_coords": [0.1, 0.2, 0.35],
               "rotation": 12.5, "pixel_coords": [240, 160, depth]})
    };
    let objects: Vec<Value> = depths.iter().map(object).collect();
    json!({"image_index": 0, "split": "val", "image_filename": name, "objects": objects,
           "relationships": {"left": [[1], []]}, "directions": {"left": [-0.6, -0.7, 0.0]}})
}

fn clevr(split: &str, scenes: &[Value]) -> TempDir {
    let root = TempDir::new().unwrap();
    let list = json!({"info": {"license": "CC BY 4.0", "version": "1.0"}, "scenes": scenes});
    let file = format!("scenes/CLEVR_{split}_scenes.json");
    write(root.path(), &file, list.to_string());
    for (level, scene) in (0..).zip(scenes) {
        let name = scene["image_filename"].as_str().unwrap();
        image(root.path(), &format!("images/{split}/{name}"), level);
    }
    root
}

#[test]
fn clevr_is_labelled_by_count_and_by_the_nearest_depth() {
    // The nearest object is neither the first nor the last; every class edge is met exactly.
    let nearest = [7.0, 8.0, 8.01, 8.5, 9.0, 9.5, 9.500_001, 10.0, 10.1, 100.0];
    let expected = [0, 0, 1, 1, 2, 3, 4, 4, 5, 5];
    let scenes: Vec<Value> = (0..nearest.len())
        .map(|i| {
            let mut depths = vec![nearest[i] + 0.5; 3 + i % 8];
            depths[1] = nearest[i];
            scene(&format!("CLEVR_val_{i:06}.png"), &depths)
        })
        .collect();
    let root = clevr("val", &scenes);
    let path = root.path().display();

    let distance = open(format!("clevr-distance:{path}/val")).unwrap();
    assert_eq!(labels(distance.as_ref()), expected);
    assert_eq!(distance.classes().len(), 6);
    let count = open(format!("clevr-count:{path}/val")).unwrap();
    assert_eq!(labels(count.as_ref()), [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);
    assert_eq!(count.classes(), ["3", "4", "5", "6", "7", "8", "9", "10"]);
    assert!(count.name(4).ends_with("images/val/CLEVR_val_000004.png"));
    assert_eq!(count.read(4).unwrap().pixels(), [4; 3]);

    assert_eq!(
        message(&root, open(format!("clevr-count:{path}"))),
        "no CLEVR train files in `ROOT`, expected scenes/CLEVR_train_scenes.json and images/train"
    );
}

#[test]
fn scenes_beyond_the_classes_are_named() {
    let root = clevr(
        "train",
        &[scene("a.png", &[9.0; 3]), scene("b.png", &[101.0; 11])],
    );
    let path = root.path().display();
    let list = "`ROOT/scenes/CLEVR_train_scenes.json`, scene of `b.png`";
    assert_eq!(
        message(&root, open(format!("clevr-count:{path}"))),
        format!("{list}: found 11 objects, expected 3 to 10 objects")
    );
    assert_eq!(
        message(&root, open(format!("clevr-distance:{path}"))),
        format!("{list}: found the nearest one at 101, expected an object at a depth up to 100")
    );
    let root = clevr("train", &[scene("b.png", &[])]);
    assert_eq!(
        message(
            &root,
            open(format!("clevr-distance:{}", root.path().display()))
        ),
        format!("{list}: found no object, expected an object at a depth up to 100")
    );
}

#[test]
fn broken_scene_files_are_errors_with_their_cause() {
    let root = clevr("train", &[scene("a.png", &[9.0; 3])]);
    let spec = format!("clevr-count:{}", root.path().display());
    let list = "scenes/CLEVR_train_scenes.json";
    let whole = fs::read(root.path().join(list)).unwrap();
    for length in 0..whole.len() {
        write(root.path(), list, &whole[..length]);
        let error = open(spec.clone()).unwrap_err();
        assert!(matches!(error, DataError::Json { .. }), "{length}: {error}");
    }
    write(root.path(), list, "[".repeat(1_000_000));
    assert!(matches!(open(spec.clone()), Err(DataError::Json { .. })));
    write(
        root.path(),
        list,
        r#"{"scenes": [{"image_filename": "a.png"}]}"#,
    );
    let cause = open(spec.clone())
        .unwrap_err()
        .source()
        .unwrap()
        .to_string();
    assert!(cause.starts_with("missing field `objects`"), "{cause}");
    write(root.path(), list, r#"{"scenes": []}"#);
    assert_eq!(
        message(&root, open(spec)),
        format!("`ROOT/{list}` names no image")
    );
}

fn species(images: Value, annotations: Value) -> TempDir {
    let root = TempDir::new().unwrap();
    let file = json!({
        "info": {"year": 2018}, "licenses": [], "images": images, "annotations": annotations,
        "categories": [{"id": 7, "name": "Lynx lynx", "supercategory": "Mammalia"},
                       {"id": 3, "name": "Apis mellifera", "supercategory": "Insecta"}],
    });
    write(root.path(), "val2018.json", file.to_string());
    image(root.path(), "train_val2018/Insecta/3/b.jpg", 30);
    image(root.path(), "train_val2018/Mammalia/7/a.jpg", 70);
    root
}

#[test]
fn inaturalist_labels_are_places_among_the_categories() {
    let (bee, lynx) = (
        "train_val2018/Insecta/3/b.jpg",
        "train_val2018/Mammalia/7/a.jpg",
    );
    let images = json!([{"id": 900, "file_name": lynx, "width": 1, "height": 1, "license": 3},
                        {"id": 12, "file_name": bee}]);
    let root = species(
        images.clone(),
        json!([{"id": 1, "image_id": 12, "category_id": 3},
               {"id": 2, "image_id": 900, "category_id": 7}]),
    );
    let path = root.path().display();
    let source = open(format!("inat18:{path}/val")).unwrap();
    assert_eq!(labels(source.as_ref()), [0, 1]);
    assert_eq!(source.classes(), ["Apis mellifera", "Lynx lynx"]);
    assert!(source.name(0).ends_with(bee));
    assert_eq!(source.read(1).unwrap().pixels(), [70; 3]);
    assert_eq!(
        message(&root, open(format!("inat18:{path}"))),
        "no iNaturalist 2018 train files in `ROOT`, expected train2018.json"
    );

    let check = |annotations: Value, expected: &str| {
        let root = species(images.clone(), annotations);
        let found = message(&root, open(format!("inat18:{}/val", root.path().display())));
        assert_eq!(found, format!("`ROOT/val2018.json`, {expected}"));
    };
    check(
        json!([{"image_id": 12, "category_id": 4}]),
        "annotation of image 12: found category 4, expected one of the categories",
    );
    check(
        json!([{"image_id": 12, "category_id": 3}]),
        "image 900: found no annotation, expected one an image",
    );
    check(
        json!([{"image_id": 12, "category_id": 3}, {"image_id": 12, "category_id": 7}]),
        "annotation of image 12: found a second one, expected one an image",
    );
}

#[test]
fn inaturalist_ids_are_labels_where_no_categories_are_given() {
    let root = TempDir::new().unwrap();
    image(root.path(), "x.jpg", 1);
    let mut file = json!({"images": [{"id": 1, "file_name": "x.jpg"}],
                          "annotations": [{"image_id": 1, "category_id": 8141}]});
    write(root.path(), "train2018.json", file.to_string());
    let spec = format!("inat18:{}", root.path().display());
    let source = open(spec.clone()).unwrap();
    assert_eq!(
        (labels(source.as_ref()), source.classes().len()),
        (vec![8141], 8142)
    );
    file["annotations"][0]["category_id"] = json!(8142);
    write(root.path(), "train2018.json", file.to_string());
    assert!(message(&root, open(spec)).contains("found category 8142"));
}

#[test]
fn places_are_read_from_either_layout() {
    let root = TempDir::new().unwrap();
    let path = root.path().display();
    let lines = "b/bar/2.jpg 204\r\na/abbey/1.jpg 0\r\n\r\n";
    write(
        root.path(),
        "trainvalsplit_places205/train_places205.csv",
        lines,
    );
    image(root.path(), "images256/a/abbey/1.jpg", 1);
    image(root.path(), "images256/b/bar/2.jpg", 2);
    let train = open(format!("places205:{path}")).unwrap();
    assert_eq!(labels(train.as_ref()), [0, 204]);
    assert_eq!(train.classes().len(), 205);
    assert_eq!(train.read(1).unwrap().pixels(), [2; 3]);

    write(root.path(), "val_places205.txt", "v/a photo.jpg,17");
    image(root.path(), "v/a photo.jpg", 3);
    let val = open(format!("places205:{path}/val")).unwrap();
    assert_eq!(
        (labels(val.as_ref()), val.read(0).unwrap().pixels()[0]),
        (vec![17], 3)
    );

    for line in ["v/a photo.jpg 205", "v/a photo.jpg -1", "photo.jpg"] {
        write(
            root.path(),
            "val_places205.txt",
            format!("x.jpg 1\n{line}\n"),
        );
        assert_eq!(
            message(&root, open(format!("places205:{path}/val"))),
            format!(
                "`ROOT/val_places205.txt`, line 2: found `{line}`, expected an image and its \
                 class from 0 to 204"
            )
        );
    }
    write(root.path(), "val_places205.txt", "elsewhere.jpg 1");
    let found = message(&root, open(format!("places205:{path}/val")));
    assert!(
        found.contains("lists `elsewhere.jpg`, which is not in `ROOT"),
        "{found}"
    );
}

#[test]
fn names_never_lead_out_of_the_data_folder_and_stand_once() {
    let root = TempDir::new().unwrap();
    image(root.path(), "data/a.jpg", 1);
    image(root.path(), "b.jpg", 1);
    let spec = format!("places205:{}/data", root.path().display());
    for name in ["../b.jpg", "/etc/passwd", "x/../../b.jpg"] {
        write(
            root.path(),
            "data/train_places205.csv",
            format!("a.jpg 1\n{name} 2"),
        );
        assert_eq!(
            message(&root, open(spec.clone())),
            format!(
                "`ROOT/data/train_places205.csv`, an image's name: found `{name}`, expected a \
                 path below the data folder"
            )
        );
    }
    write(root.path(), "data/train_places205.csv", "a.jpg 1\na.jpg 2");
    assert!(message(&root, open(spec)).ends_with("image `a.jpg`: found two labels, expected one"));
}

/// A flat folder of three validation images and, beside it, a list.
fn validation(list: &str) -> (TempDir, String) {
    let root = TempDir::new().unwrap();
    for number in 1..=3 {
        image(
            root.path(),
            &format!("val/ILSVRC2012_val_0000000{number}.JPEG"),
            number,
        );
    }
    write(root.path(), "val.txt", list);
    let path = root.path().display();
    let spec = format!("folder:{path}/val,labels={path}/val.txt");
    (root, spec)
}

#[test]
fn a_flat_folder_takes_labels_from_a_list_in_three_forms() {
    let check = |list: &str, expected: [u32; 3], classes: &[&str]| {
        let (_root, spec) = validation(list);
        let source = open(spec).unwrap();
        assert_eq!(labels(source.as_ref()), expected, "{list}");
        assert_eq!(source.classes(), classes, "{list}");
        assert_eq!(source.read(1).unwrap().pixels(), [2; 3]);
    };
    let image = |number: u8| format!("ILSVRC2012_val_0000000{number}.JPEG");
    let by_number = format!("{} 970\n{} 65\n{} 0\n", image(2), image(1), image(3));
    check(&by_number, [65, 970, 0], &[]);
    let by_name = format!("{}\tn02\n{},n01\n{} n02\n", image(3), image(1), image(2));
    check(&by_name, [0, 1, 1], &["n01", "n02"]);
    check("n02\nn01\nn02\n", [1, 0, 1], &["n01", "n02"]);
    // As editors on Windows begin a file.
    check("\u{feff}n02\nn01\nn02\n", [1, 0, 1], &["n01", "n02"]);
    check(&format!("\u{feff}{by_number}"), [65, 970, 0], &[]);
}

#[test]
fn lists_that_could_be_misread_are_refused() {
    let check = |list: &str, expected: &str| {
        let (root, spec) = validation(list);
        assert_eq!(
            message(&root, open(spec)),
            format!("`ROOT/val.txt`{expected}")
        );
    };
    let first = "ILSVRC2012_val_00000001.JPEG";
    // The numbers of the development kit are not the order of the class names.
    check(
        "490\n361\n171\n",
        ", line 1: found `490`, expected a class name only, or images on every line",
    );
    check(
        "n01\nn02\n",
        " is damaged: the number of lines is 2, expected 3",
    );
    check("\n\n", " names no image");
    check(
        &format!("{first} 1\nx.JPEG cat"),
        ", line 2: found `x.JPEG cat`, expected an image and its class from 0 to 65535",
    );
    check(
        &format!("{first} 65536"),
        &format!(
            ", line 1: found `{first} 65536`, expected an image and its class from 0 to 65535"
        ),
    );
    check(
        &format!("{first} cat\nx.JPEG 1"),
        ", line 2: found `x.JPEG 1`, expected a class name, as on the first line",
    );
    check(
        &format!("{first} cat\n\nn01"),
        ", line 3: found `n01`, expected an image and its class",
    );
}

#[test]
fn the_published_subsets_select_from_class_folders_by_name_alone() {
    let root = TempDir::new().unwrap();
    for name in [
        "n01440764/n01440764_18.JPEG",
        "n01440764/n01440764_180.JPEG",
    ] {
        image(root.path(), &format!("train/{name}"), 1);
    }
    image(root.path(), "train/n01443537/n01443537_2.JPEG", 2);
    write(
        root.path(),
        "1percent.txt",
        "n01443537_2.JPEG\nn01440764_18.JPEG\n",
    );
    let spec: DataSpec = format!("folder:{}", root.path().join("train").display())
        .parse()
        .unwrap();
    let subset = spec
        .open_subset(&root.path().join("1percent.txt"), None)
        .unwrap();
    assert_eq!(labels(subset.as_ref()), [0, 1]);
    assert!(subset.name(0).ends_with("n01440764_18.JPEG"));
    assert_eq!(subset.read(1).unwrap().pixels(), [2; 3]);
}

//! Texts of data sets and what they mean.

use std::path::Path;

use super::*;

fn check(text: &str, expected: &str) {
    let spec: DataSpec = text.parse().unwrap();
    assert_eq!(spec.to_string(), expected);
    assert_eq!(expected.parse::<DataSpec>().unwrap(), spec);
}

fn message(text: &str) -> String {
    text.parse::<DataSpec>().unwrap_err().to_string()
}

#[test]
fn every_form_is_parsed_and_written_back() {
    check("photos", "folder:photos");
    check("folder:a:b", "folder:a:b");
    check("./odd:name", "folder:./odd:name");
    check(r"C:\photos", r"folder:C:\photos");
    check("parquet:d/train-*.parquet", "parquet:d/train-*.parquet");
    check("val,labels=val.txt", "folder:val,labels=val.txt");
    check("folder:a,b", "folder:a,b");
    check("a,labels=none", "folder:a,labels=none");
    check("list:a/b.txt", "list:a/b.txt");
    for kind in [
        "cifar10",
        "cifar100",
        "clevr-count",
        "clevr-distance",
        "places205",
        "inat18",
        "voc",
    ] {
        check(&format!("{kind}:d/val"), &format!("{kind}:d/val"));
    }
    for rest in ["", ",label=class", ",window=3", ",label=a b,window=3"] {
        let spec = format!("tar:shards-{{0,1}}-{{000..146}}.tar{rest}");
        check(&spec, &spec);
    }
    check("tar:a,window=3,label=x", "tar:a,label=x,window=3");
    check("parquet:a,label=x,window=7", "parquet:a,label=x,window=7");
    let default = "scenes:kind=texture,n=20000,size=64,seed=0,background=grey";
    check("scenes", default);
    check("scenes:", default);
    check(
        "scenes:kind=count,background=color,n=5,size=32,seed=18446744073709551615",
        "scenes:kind=count,n=5,size=32,seed=18446744073709551615,background=color",
    );
}

#[test]
fn a_misspelt_kind_is_answered_with_the_nearest() {
    for (found, meant) in [("sceness", "scenes"), ("clevr_count", "clevr-count")] {
        let expected =
            format!("unknown kind of data `{found}` in `{found}:x`, the nearest is `{meant}`");
        assert!(message(&format!("{found}:x")).starts_with(&expected));
    }
}

#[test]
fn mistakes_name_what_was_found_and_what_is_valid() {
    assert_eq!(
        message("imagenet:x"),
        "unknown kind of data `imagenet` in `imagenet:x`, expected one of: folder, scenes, \
         parquet, tar, list, cifar10, cifar100, clevr-count, clevr-distance, places205, inat18, \
         voc"
    );
    assert_eq!(
        message("scenes:colour=grey"),
        "unknown key `colour` for scenes data, expected one of: kind, n, size, seed, background"
    );
    assert_eq!(
        message("scenes:size=4"),
        "bad value `4` for `size`, expected a whole number from 8 to 1024"
    );
    assert_eq!(
        message("scenes:n=0").split(',').next(),
        Some("bad value `0` for `n`")
    );
    assert_eq!(
        message("scenes:kind"),
        "unknown kind of scenes ``, expected one of: count, distance, shape, texture"
    );
    assert_eq!(
        message("folder:"),
        "folder data needs a path: `folder:PATH`"
    );
    assert_eq!(message(""), "folder data needs a path: `folder:PATH`");
    assert_eq!(
        message("val,labels="),
        "bad value `` for `labels`, expected the path of a text file"
    );
    assert_eq!(
        message("folder:,labels=x"),
        "folder data needs a path: `folder:PATH`"
    );
    assert_eq!(
        message("cifar10:"),
        "cifar10 data needs a path: `cifar10:PATH`"
    );
    assert_eq!(
        message("tar:,window=3"),
        "tar data needs a path: `tar:PATH`"
    );
    for window in ["0", "", "-1", "many"] {
        let expected = format!("bad value `{window}` for `window`, expected a whole number from 1");
        assert_eq!(message(&format!("parquet:a,window={window}")), expected);
    }
    assert_eq!(
        message("tar:a,label="),
        "bad value `` for `label`, expected the name of a field"
    );
}

#[test]
fn more_images_than_have_numbers_are_refused() {
    let all = ["scenes:n=4294967295", "scenes:n=1"].map(|spec| spec.parse().unwrap());
    let error = DataSpec::open_all(&all, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bad value `4294967296` for `images`, expected at most 4294967295"
    );
}

#[test]
fn a_subset_is_one_of_a_folder() {
    let scenes: DataSpec = "scenes:n=3".parse().unwrap();
    assert_eq!(scenes.open().unwrap().len(), 3);
    let error = scenes.open_subset(Path::new("list"), None).unwrap_err();
    assert!(matches!(error, DataError::SubsetOfOther { .. }));
}

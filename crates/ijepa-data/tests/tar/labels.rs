//! Labels and classes.

use ijepa_data::DataError;
use tempfile::TempDir;

use crate::{archive, image, open, write};

/// What macOS leaves on other file systems is no shard.
#[test]
fn hidden_files_are_no_shards() {
    let folder = TempDir::new().unwrap();
    write(&folder, "0.tar", &archive(&[("a.ppm", &image(0))]));
    write(&folder, "._0.tar", b"Mac OS X");
    for pattern in ["", "*.tar", "*0.tar"] {
        assert_eq!(open(&folder, pattern).unwrap().len(), 1, "{pattern}");
    }
    assert!(open(&folder, ".*.tar").is_err());
}

#[test]
fn names_of_all_shards_are_classes_together() {
    let folder = TempDir::new().unwrap();
    write(
        &folder,
        "0.tar",
        &archive(&[
            ("a.cls", b"owl"),
            ("a.ppm", &image(0)),
            ("b.ppm", &image(1)),
            ("b.cls", b"elk\n"),
        ]),
    );
    write(
        &folder,
        "1.tar",
        &archive(&[
            ("a.cls", b"bee"),
            ("a.ppm", &image(2)),
            ("b.cls", b"owl"),
            ("b.ppm", &image(3)),
        ]),
    );
    // An empty shard does no harm beside others.
    write(&folder, "2.tar", &archive(&[]));
    let source = open(&folder, "{0..2}.tar").unwrap();
    assert_eq!(source.classes(), ["bee", "elk", "owl"]);
    let labels: Vec<_> = (0..4).map(|index| source.label(index).unwrap()).collect();
    assert_eq!(labels, [2, 1, 0, 2]);

    write(
        &folder,
        "3.tar",
        &archive(&[("a.cls", b"5"), ("a.ppm", &image(0))]),
    );
    let error = open(&folder, "").unwrap_err();
    assert!(matches!(error, DataError::LabelMix { .. }), "{error}");
    for too_large in ["4294967295", "5000000000"] {
        let members = [("a.cls", too_large.as_bytes()), ("a.ppm", &image(0))];
        write(&folder, "5.tar", &archive(&members));
        let error = open(&folder, "5.tar").unwrap_err().to_string();
        assert!(error.contains(too_large), "{error}");
    }
    let members = [("a.cls", "\u{feff}7".as_bytes()), ("a.ppm", &image(0))];
    write(&folder, "5.tar", &archive(&members));
    assert_eq!(open(&folder, "5.tar").unwrap().label(0), Some(7));
    let members = [("a.cls", &b"-5"[..]), ("a.ppm", &image(0))];
    write(&folder, "5.tar", &archive(&members));
    assert_eq!(open(&folder, "5.tar").unwrap().label(0), None);
    write(
        &folder,
        "4.tar",
        &archive(&[
            ("a.cls", b"5"),
            ("a.ppm", &image(0)),
            ("b.ppm", &image(0)),
            ("b.cls", b"x"),
        ]),
    );
    let error = open(&folder, "4.tar").unwrap_err().to_string();
    assert!(
        error.ends_with("4.tar`, member `b.ppm`: found a name, expected an integer, as before it"),
        "{error}"
    );
}

#[test]
fn a_field_of_json_members_is_the_label() {
    let folder = TempDir::new().unwrap();
    let json = [
        r#"{"kind": "ray", "tag": 3, "fresh": true, "size": 1.5}"#,
        r#"{"kind": "eel", "tag": 0, "fresh": false}"#,
        r#"{"tag": null}"#,
    ];
    let members: Vec<_> = json
        .iter()
        .enumerate()
        .flat_map(|(level, json)| {
            let key = format!("{level}");
            [
                (format!("{key}.ppm"), image(level as u8)),
                (format!("{key}.json"), json.as_bytes().to_vec()),
                (format!("{key}.cls"), b"9".to_vec()),
            ]
        })
        .collect();
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, it)| (&name[..], &it[..]))
        .collect();
    write(&folder, "a.tar", &archive(&members));
    let labels = |field: &str| {
        let source = open(&folder, &format!("a.tar{field}")).unwrap();
        let labels = [0, 1, 2].map(|index| source.label(index));
        (source.classes().to_vec(), labels)
    };
    let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    assert_eq!(labels(""), (vec![], [Some(9); 3]));
    assert_eq!(
        labels(",label=kind"),
        (names(["eel", "ray"]), [Some(1), Some(0), None])
    );
    assert_eq!(labels(",label=tag"), (vec![], [Some(3), Some(0), None]));
    assert_eq!(
        labels(",label=fresh"),
        (names(["false", "true"]), [Some(1), Some(0), None])
    );
    let error = open(&folder, "a.tar,label=absent").unwrap_err();
    let expected = "field `absent`: found no label in any sample, expected some in members `json`";
    assert!(error.to_string().ends_with(expected), "{error}");
    // The index of one field is not that of another.
    assert_eq!(labels(",label=tag"), (vec![], [Some(3), Some(0), None]));
    let error = open(&folder, "a.tar,label=size").unwrap_err();
    assert!(
        matches!(&error, DataError::BadEntry { entry, found, .. } if entry == "member `0.json`" && found == "1.5"),
        "{error}"
    );
    write(
        &folder,
        "b.tar",
        &archive(&[("a.ppm", &image(1)), ("a.json", b"{")]),
    );
    let error = open(&folder, "b.tar,label=kind").unwrap_err();
    assert!(
        matches!(&error, DataError::BadEntry { found, .. } if found == "no JSON"),
        "{error}"
    );
}

//! Files and folders are whole or absent, also where a process was killed.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::{
    fs,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use ijepa_files::{
    FileError, NewFile, cannot, clean_up, create_folder, ensure_writable, link_target, on_one_line,
    point_link, remove_folder, remove_unfinished, write_bytes, write_file, write_folder,
};

/// All names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn fill(text: &str) -> impl Fn(&Path) -> Result<(), FileError> {
    move |folder| write_bytes(&folder.join("text"), text)
}

fn text(folder: &Path) -> String {
    fs::read_to_string(folder.join("text")).unwrap()
}

#[test]
fn only_a_complete_file_gets_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/a.txt");
    write_bytes(&path, "first").unwrap();
    let failed: io::Result<()> = write_file(&path, |file| {
        file.write_all(b"half")?;
        Err(io::ErrorKind::StorageFull.into())
    });
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
    let mut dropped = NewFile::create(&path).unwrap();
    dropped.write_all(b"second").unwrap();
    drop(dropped);
    let panicked = catch_unwind(|| write_file(&path, |_| -> io::Result<()> { panic!("half-way") }));
    assert!(panicked.is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    assert_eq!(names(path.parent().unwrap()), ["a.txt"]);
    write_bytes(&path, "third").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "third");
}

#[test]
fn a_folder_is_no_name_for_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::create_dir(&path).unwrap();
    let refused = NewFile::create(&path).unwrap_err();
    assert_eq!(refused.source.kind(), io::ErrorKind::IsADirectory);
    assert_eq!(names(folder.path()), ["a"]);
}

#[test]
fn what_cannot_be_written_is_known_beforehand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    ensure_writable(&path).unwrap();
    ensure_writable(&folder.path().join("deep/er/a.txt")).unwrap();
    assert!(names(folder.path()).is_empty());
    write_bytes(&path, "kept").unwrap();
    ensure_writable(&path).unwrap();
    let error = ensure_writable(folder.path()).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::IsADirectory);
    let below = path.join("deep/b.txt");
    let error = ensure_writable(&below).unwrap_err();
    assert_eq!((error.action, &error.path), ("write", &below));
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
    assert_eq!(names(folder.path()), ["a.txt"]);
}

#[test]
fn two_writers_of_a_file_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut files = [(); 2].map(|()| NewFile::create(&path).unwrap());
    for (file, text) in files.iter_mut().zip(["first", "second"]) {
        file.write_all(text.as_bytes()).unwrap();
    }
    for (file, text) in files.into_iter().zip(["first", "second"]) {
        file.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_folder_is_replaced_only_by_a_complete_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step-3");
    write_folder(&path, fill("first")).unwrap();
    let failed = write_folder(&path, |unfinished| {
        fill("half")(unfinished)?;
        Err(cannot("write", unfinished)(
            io::ErrorKind::StorageFull.into(),
        ))
    });
    assert!(failed.is_err());
    let panicking = |unfinished: &Path| -> Result<(), FileError> {
        fill("half")(unfinished)?;
        panic!("half-way")
    };
    let panicked = catch_unwind(AssertUnwindSafe(|| write_folder(&path, panicking)));
    assert!(panicked.is_err());
    assert_eq!(
        (text(&path).as_str(), names(folder.path())),
        ("first", vec!["step-3".into()])
    );
    write_folder(&path, fill("second")).unwrap();
    assert_eq!(
        (text(&path).as_str(), names(folder.path())),
        ("second", vec!["step-3".into()])
    );
}

#[test]
fn a_taken_name_is_refused_where_nothing_may_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine");
    create_folder(&path, fill("first")).unwrap();
    let refused = create_folder(&path, fill("second")).unwrap_err();
    assert_eq!(refused.source.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(text(&path), "first");
}

#[test]
fn what_killed_processes_left_is_removed_or_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Killed between the two renames of `step-1`, and before it deleted the old `step-2`.
    fill("old")(&at(".step-1.aB3xY9.old/step-1")).unwrap();
    fill("new")(&at(".step-1.Qm2f8a.tmp")).unwrap();
    fill("old")(&at(".step-2.aB3xY9.old/step-2")).unwrap();
    fill("new")(&at("step-2")).unwrap();
    // Killed while it deleted a folder and while it wrote a file and a link.
    fill("gone")(&at(".step-0.aB3xY9.tmp/step-0")).unwrap();
    fs::write(at(".config.toml.aB3xY9.tmp"), "half").unwrap();
    point_link(&at(".latest.aB3xY9.tmp"), "nowhere".as_ref()).unwrap();
    for foreign in [
        ".gitignore",
        ".notes.aB3xY9.old",
        ".notes.v2.tmp",
        ".vimrc.tmp",
        "a.b.tmp",
        ".x.swp",
    ] {
        fs::write(at(foreign), "").unwrap();
    }
    clean_up(folder.path()).unwrap();
    let left = [
        ".gitignore",
        ".notes.aB3xY9.old",
        ".notes.v2.tmp",
        ".vimrc.tmp",
        ".x.swp",
        "a.b.tmp",
        "step-1",
        "step-2",
    ];
    assert_eq!(names(folder.path()), left);
    assert_eq!(
        [at("step-1"), at("step-2")].map(|path| text(&path)),
        ["old", "new"]
    );
}

#[test]
fn a_removed_folder_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fill("text")(&path.join("deep")).unwrap();
    remove_folder(&path).unwrap();
    assert!(names(folder.path()).is_empty());
    let missing = remove_folder(&path).unwrap_err();
    assert_eq!(missing.source.kind(), io::ErrorKind::NotFound);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn links_are_pointed_elsewhere_in_one_step() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("latest");
    assert_eq!(link_target(&link), None);
    for target in ["step-1", "step-2"] {
        point_link(&link, target.as_ref()).unwrap();
        assert_eq!(link_target(&link).as_deref(), Some(target.as_ref()));
    }
    assert_eq!(names(folder.path()), ["latest"]);
    // As it is written where links need privileges.
    fs::remove_file(&link).unwrap();
    fs::write(&link, "step-3").unwrap();
    assert_eq!(link_target(&link).as_deref(), Some("step-3".as_ref()));
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    use ijepa_files::ensure_room;

    use super::*;

    #[test]
    fn what_the_disk_cannot_take_is_refused_before_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        ensure_room(&path, 1).unwrap();
        let error = ensure_room(&path, u64::MAX).unwrap_err();
        assert_eq!(error.source.kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(error.path, path);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let [path, link] = ["a", "link"].map(|name| folder.path().join(name));
        fs::write(&path, "old").unwrap();
        symlink(&path, &link).unwrap();
        write_bytes(&link, "new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn a_pipe_is_written_to_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let other_end = path.clone();
        let reader = std::thread::spawn(move || fs::read_to_string(other_end).unwrap());
        write_bytes(&path, "text").unwrap();
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        assert_eq!(reader.join().unwrap(), "text");
    }

    #[test]
    fn permissions_are_those_of_any_new_file_and_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode();
        fs::write(at("plain"), "").unwrap();
        fs::create_dir(at("plain-folder")).unwrap();
        write_bytes(&at("ours"), "").unwrap();
        write_folder(&at("ours-folder"), fill("")).unwrap();
        assert_eq!(mode("ours"), mode("plain"));
        assert_eq!(mode("ours-folder"), mode("plain-folder"));
    }
}

#[test]
fn a_folder_that_appears_meanwhile_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed");
    let error = create_folder(&path, |unfinished| {
        write_folder(&path, fill("of another"))?;
        fill("ours")(unfinished)
    });
    assert_eq!(
        error.unwrap_err().source.kind(),
        io::ErrorKind::AlreadyExists
    );
    assert_eq!(text(&path), "of another");
    assert_eq!(names(folder.path()), ["packed"]);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_file_that_is_yet_to_be_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let [near, far] = ["near", "far"].map(|name| folder.path().join(name));
    fs::create_dir(&far).unwrap();
    std::os::unix::fs::symlink("far/file", &near).unwrap();
    assert!(create_folder(&near, fill("a folder")).is_err());
    write_bytes(&near, "bytes").unwrap();
    assert_eq!(fs::read_link(&near).unwrap(), Path::new("far/file"));
    assert_eq!(fs::read_to_string(far.join("file")).unwrap(), "bytes");
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_written_to_through_whatever_names_it() {
    use std::{io::Read, os::fd::AsRawFd};

    let folder = tempfile::tempdir().unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    let link = folder.path().join("link");
    let name = format!("/proc/self/fd/{}", writer.as_raw_fd());
    std::os::unix::fs::symlink(name, &link).unwrap();
    write_bytes(&link, "bytes").unwrap();
    drop(writer);
    let mut read = String::new();
    reader.read_to_string(&mut read).unwrap();
    assert_eq!(read, "bytes");
}

#[test]
fn unfinished_files_of_one_name_are_removed_when_they_are_old() {
    let folder = tempfile::tempdir().unwrap();
    let old = std::time::Duration::from_secs(100);
    let of = [
        ".a.index.aB3xY9.tmp",
        ".a.index.Qm2f8a.tmp",
        ".b.index.aB3xY9.tmp",
        "a.index",
    ];
    for name in of {
        fs::write(folder.path().join(name), "half").unwrap();
    }
    let killed = fs::File::create(folder.path().join(of[0])).unwrap();
    killed.set_modified(std::time::UNIX_EPOCH).unwrap();
    remove_unfinished(folder.path(), |name| name == "a.index", old);
    assert_eq!(names(folder.path()), [of[1], of[2], of[3]]);
    remove_unfinished(&folder.path().join("none"), |_| true, old);
}

#[test]
fn an_error_is_one_line_and_says_each_cause_once() {
    let cause = || io::Error::other("stack underflow\nat byte 3");
    let error = cannot("read", Path::new("a.pth"))(cause());
    assert_eq!(
        on_one_line(&error),
        "cannot read `a.pth`: stack underflow at byte 3"
    );
    let error = io::Error::other(error);
    assert_eq!(
        on_one_line(&error),
        "cannot read `a.pth`: stack underflow at byte 3"
    );
}

/// As a server leaves a folder of which it has a file open. Who may write anywhere has nothing
/// left.
#[cfg(unix)]
#[test]
fn a_folder_is_replaced_also_if_the_old_one_cannot_be_removed_at_once() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step-3");
    fill("first")(&path.join("deep")).unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode));
    mode(&path.join("deep"), 0o555).unwrap();
    write_folder(&path, fill("second")).unwrap();
    assert_eq!(text(&path), "second");
    for name in names(folder.path()) {
        let left = folder.path().join(&name);
        let deep = fs::read_dir(&left).unwrap().flatten();
        for deep in deep
            .map(|it| it.path().join("step-3/deep"))
            .filter(|it| it.exists())
        {
            mode(&deep, 0o755).unwrap();
        }
    }
    clean_up(folder.path()).unwrap();
    assert_eq!(names(folder.path()), ["step-3"]);
}

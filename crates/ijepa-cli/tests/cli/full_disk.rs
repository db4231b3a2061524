//! Runs of `pretrain` on a disk that is full.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use ijepa_testkit::skip;

use crate::support::{
    Run, binary, checkpoints, finished, json, metrics, path_text, program, tensors, tiny,
};

const KIB: usize = 1024;
const SIZE: usize = 1024 * KIB;

/// A small disk in a mount namespace of its own, which is gone with the process that holds it.
pub(crate) struct Disk {
    holder: Child,
    /// Where this process finds what the namespace has at the place of the mount.
    path: PathBuf,
}

impl Disk {
    /// Mounts a disk unless the system forbids it, as some containers do.
    pub(crate) fn mount(on: &Path) -> Option<Self> {
        // Mounting is for root, in whose place anybody may be in a namespace of users.
        let flags = if is_root() { "-m" } else { "-rm" };
        let on = path_text(on);
        let script = format!("mount -t tmpfs -o size={SIZE} tmpfs '{on}' && echo mounted && cat");
        let holder = Command::new("unshare")
            .args([flags, "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut holder) = holder else {
            skip("a small disk, as there is no `unshare` of util-linux to mount one with");
            return None;
        };
        let mut said = String::new();
        let stdout = holder.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut said).unwrap();
        let path = format!("/proc/{}/root{on}", holder.id()).into();
        let disk = Self { holder, path };
        if said == "mounted\n" {
            return Some(disk);
        }
        skip(format!(
            "a small disk, as `unshare {flags}` and `mount` of a tmpfs are not allowed"
        ));
        None
    }

    /// Runs the binary where the disk is mounted.
    pub(crate) fn ijepa(&self, args: &[String]) -> Run {
        let mut command = program("nsenter");
        command.args(["--mount", "--target", &self.holder.id().to_string()]);
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg(binary()).args(args);
        finished(command)
    }

    fn succeed(&self, args: &[String]) {
        let run = self.ijepa(args);
        assert_eq!(run.code, Some(0), "{run:?}");
    }

    /// Fills the disk but for about `free` bytes.
    pub(crate) fn fill(&self, free: usize) {
        let path = self.path.join("filler");
        let mut file = File::create(&path).unwrap();
        let mut len = 0;
        let error = loop {
            match file.write(&[7; KIB]) {
                Ok(written) => len += written,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        file.set_len(len.saturating_sub(free) as u64).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn size_of_folder(folder: &Path) -> usize {
    let files = fs::read_dir(folder).unwrap();
    let sizes = files.map(|file| file.unwrap().metadata().unwrap().len() as usize);
    sizes.sum()
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

#[test]
fn a_full_disk_costs_nothing_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path()) else {
        return;
    };
    let whole = folder.path().join("whole");
    json(&tiny(&whole, "--max-steps 16"));
    let (out, run) = (folder.path().join("run"), disk.path.join("run"));
    disk.succeed(&tiny(&out, "--max-steps 4"));
    let recipe = || fs::read_to_string(run.join("recipe.toml")).unwrap();
    let (rows, weights, recipe_before) = (metrics(&run), tensors(&run), recipe());
    let mut failed_writing_a_checkpoint = 0;
    let checkpoint = size_of_folder(&run.join("checkpoints/latest"));
    // Too little for anything, and for the next checkpoint.
    for free in [0, checkpoint / 8, checkpoint / 2, checkpoint * 7 / 8] {
        disk.fill(free);
        let failed = disk.ijepa(&tiny(&out, "--max-steps 16"));
        assert!(
            failed.stderr.contains("No space left on device"),
            "{free}: {failed:?}"
        );
        assert!(matches!(failed.code, Some(1 | 5)), "{free}: {failed:?}");
        if free == 0 {
            let official = path_text(folder.path().join("official.pth.tar"));
            let convert = ["convert", &path_text(&out), &official, "--to", "official"];
            let said = disk.ijepa(&convert.map(str::to_owned)).stderr;
            let count = |text: &str| said.matches(text).count();
            assert_eq!(
                (count("No space left"), count("ZipWriter")),
                (1, 0),
                "{said}"
            );
        }
        failed_writing_a_checkpoint += u32::from(failed.stderr.contains("step-"));
        disk.succeed(&["inspect".to_owned(), path_text(&out)]);
        assert_eq!(metrics(&run)[..5], rows[..], "{free}");
        assert_eq!(tensors(&run), weights, "{free}");
        assert_eq!(recipe(), recipe_before, "{free}");
        disk.empty();
    }
    assert!(failed_writing_a_checkpoint > 0);
    disk.succeed(&tiny(&out, "--max-steps 16"));
    assert_eq!(
        (metrics(&run), tensors(&run)),
        (metrics(&whole), tensors(&whole))
    );
    assert_eq!(checkpoints(&run), checkpoints(&whole));
}

//! Runs that are told to stop.

use super::*;

#[test]
fn a_signal_ends_an_evaluation_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let signals = [(4, "-TERM"), (6, "-USR1")];
    for (kind, (epoch, signal)) in EVALUATED.into_iter().zip(signals) {
        let beginning = if kind == Kind::Pretrain {
            vec![0]
        } else {
            vec![]
        };
        let rows = |ends: &[u64]| [&beginning, ends].concat();
        let run = folder.path().join(format!("{kind:?}"));
        let before = format!("--max-steps {}", epoch - 1);
        text(&kind.args(&run, &before));
        let mut process = Background::start(&kind.on(DATA, MANY, &run, ""));
        // It is saved before it is evaluated, which takes longer than anybody waits.
        process.wait_until(|| run.join(format!("checkpoints/step-{epoch}")).exists());
        send(signal, process.id());
        let (status, message) = process.end();
        assert_eq!(status.code(), Some(130), "{kind:?}: {message}");
        let said = format!("interrupted after step {epoch};");
        assert!(message.contains(&said), "{message}");
        assert_eq!(steps(&run, "epochs.csv"), rows(&[epoch - 1]), "{kind:?}");
        // What was not measured then is measured now, and so is the end.
        let more = format!("--max-steps {}", epoch + 1);
        text(&kind.args(&run, &more));
        assert_eq!(
            steps(&run, "epochs.csv"),
            rows(&[epoch, epoch + 1]),
            "{kind:?}"
        );
    }
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_the_first_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ALL {
        // One that was still loading images saves after the first; later it is in its step, which
        // takes longer than loading by far, however slow the machine.
        let caught_in_a_step = (0..12).any(|attempt| {
            let run = folder.path().join(format!("{kind:?}-{attempt}"));
            interrupt_twice(kind, &run, Duration::from_millis(100 << attempt));
            !has_saved(&run)
        });
        assert!(caught_in_a_step, "{kind:?}");
    }
}

/// Sends Ctrl-C a while after a run of one step, which takes minutes, has begun, and once more when
/// the first is answered.
fn interrupt_twice(kind: Kind, run: &Path, after: Duration) {
    let data = "scenes:kind=texture,n=24000,size=32";
    let args = match kind {
        Kind::Pretrain => {
            let args = kind.on(data, "scenes:n=20,size=32", run, "");
            [args, words("--batch-size 24000")].concat()
        }
        Kind::Finetune => {
            let large = "--set run.batch_size=24000 run.micro_batch=8";
            kind.on(data, FEW, run, large)
        }
        Kind::Decoder => kind.on(data, FEW, run, "--set run.batch_size=6000"),
    };
    let settings = match kind {
        Kind::Pretrain => "recipe.toml",
        Kind::Finetune => "finetune.toml",
        Kind::Decoder => "decoder.toml",
    };
    let said = run.with_extension("txt");
    let mut process = command(&args);
    process.stdout(Stdio::null());
    process.stderr(File::create(&said).unwrap());
    let mut process = Background::spawn(process);
    process.wait_until(|| run.join(settings).exists());
    sleep(after);
    send("-INT", process.id());
    let stopping = "another Ctrl-C stops at once";
    // One that was between two steps may end before it says so.
    process.wait_until(|| {
        let said = fs::read_to_string(&said).unwrap();
        said.contains(stopping) || has_saved(run)
    });
    send("-INT", process.id());
    let (status, _) = process.end();
    assert_eq!(status.code(), Some(130), "{kind:?}");
}

/// The command, also if the tests themselves were started by `nohup` and `env` can undo it.
fn heeding_hangups(args: &[String]) -> Command {
    let env = || {
        let mut env = program("env");
        env.arg("--default-signal=HUP");
        env
    };
    let known = env().arg("true").stderr(Stdio::null()).status();
    if !known.is_ok_and(|status| status.success()) {
        return command(args);
    }
    let mut env = env();
    env.arg(command(args).get_program()).args(args);
    env
}

#[test]
fn a_hang_up_leaves_a_checkpoint_unless_it_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ALL {
        for ignored in [false, true] {
            let run = folder.path().join(format!("{kind:?}-{ignored}"));
            let mut process = match ignored {
                false => heeding_hangups(&kind.args(&run, "")),
                true => {
                    // As `nohup` does it.
                    let ijepa = command::<String>(&[]);
                    let mut shell = program("sh");
                    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
                    shell.arg(ijepa.get_program()).args(kind.args(&run, ""));
                    shell
                }
            };
            process.stdout(Stdio::null()).stderr(Stdio::piped());
            let mut process = Background::spawn(process);
            process.wait_until(|| has_saved(&run));
            send("-HUP", process.id());
            if ignored {
                let step = saved_step(&run);
                process.wait_until(|| has_saved(&run) && saved_step(&run) > step + 2);
                send("-INT", process.id());
            }
            let (status, message) = process.end();
            assert_eq!(status.code(), Some(130), "{kind:?}: {message}");
            assert!(message.contains("interrupted after step"), "{message}");
        }
    }
}

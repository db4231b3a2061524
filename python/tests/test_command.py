"""The command that the wheel brings."""

import signal
import subprocess
import sys
from time import sleep

import ijepa
from conftest import COMMAND, TINY_RUN, run


def test_the_command_is_that_of_the_binary():
    version = run("--version")
    assert (version.returncode, version.stdout) == (0, f"ijepa {ijepa.__version__}\n")
    helped = run("--help")
    assert helped.returncode == 0
    assert "Usage: ijepa " in helped.stdout
    unknown = run("--no-such-flag")
    assert unknown.returncode == 2
    assert "--no-such-flag" in unknown.stderr
    bad = run("masks", "--recipe", "in1k")
    assert bad.returncode == 3
    assert bad.stderr.startswith("error: no preset is named `in1k`")
    module = subprocess.run([sys.executable, "-m", "ijepa", "--version"], capture_output=True)
    assert module.stdout.decode() == version.stdout


def test_ctrl_c_saves_a_run_first(tmp_path):
    out = tmp_path / "run"
    words = [str(COMMAND), *TINY_RUN.split(), "optimizer.epochs=100000", "--out", str(out)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not (out / "checkpoints" / "latest").exists():
            assert process.poll() is None
            sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130, said
    assert b"KeyboardInterrupt" not in said
    assert b"goes on" in said


def test_importing_the_package_is_light():
    code = "import sys, ijepa; print('numpy' in sys.modules, 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert said.stdout.split() == [b"False", b"False"]

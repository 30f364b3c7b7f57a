"""No command waits for a pipe, or reads a device without end, whichever of its files that is."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")

# A command and the file of its input that is a pipe, relative to the folder it runs in.
COMMANDS = {
    "squad-score x.json y.json": "x.json",
    "evaluate --task squad1 --model model --dev-file x.json --data .": "model/checkpoint-final.npz",
    "train-tiny --text texts --out run": "texts/x.txt",
    "train-tiny --text x.tar --out run": "x.tar",
    "convert --from-hf model --to out": "model/config.json",
    "baselines --task cola --data .": "CoLA/train.tsv",
    "grade hand-ins --out out --policy grading.toml": "grading.toml",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_is_not_waited_for(tmp_path, command):
    path = tmp_path / COMMANDS[command]
    path.parent.mkdir(exist_ok=True)
    (tmp_path / "hand-ins").mkdir(exist_ok=True)
    (tmp_path / "hand-ins" / "a.py").write_text("x = 1\n")
    os.mkfifo(path)
    words = [sys.executable, "-m", "minimobilebert", *command.split()]
    finished = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert finished.returncode == 2 and "Traceback" not in finished.stderr, finished.stderr
    assert finished.stderr.startswith("minimobilebert: error: ") and finished.stderr.count("\n") == 1

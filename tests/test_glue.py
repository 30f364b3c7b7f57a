"""GLUE's files as their publishers ship them, the ways in which they may be broken, and the tables for the site."""

import os
import pathlib

import numpy as np
import pytest

from minimobilebert.tasks.glue import TASKS, GlueExamples, glue_task, read_split
from minimobilebert.tasks.glue_submission import submission_name, write_submission

# The first lines of every kind of file, in the publishers' form (the sentences are made up).
BOM = b"\xef\xbb\xbf"
MNLI_COLUMNS = "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2"
STSB_COLUMNS = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
FILES = {
    "CoLA/train.tsv": "ab01\t1\t\tThe ship left.\nab01\t0\t*\tLeft ship the.\n",
    "CoLA/test.tsv": "index\tsentence\n0\tThey saw land.\n1\tLand they it saw.\n",
    "SST-2/dev.tsv": "sentence\tlabel\na fine film \t1\nit 's a bore \t0\n",
    "SST-2/test.tsv": "index\tsentence\n0\tno\n1\tyes\n",
    "MRPC/dev.tsv": "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t11\t12\tHe said \"yes .\t\" Yes , he said .\r\n0\t13\t14\tA .\tB .\r\n",
    "MRPC/test.tsv": "\ufeffindex\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t21\t22\tC .\tD .\n1\t23\t24\tE .\tF .\n",
    "STS-B/train.tsv": f"{STSB_COLUMNS}\tscore\n0\tg\tf\t2012\t1\tnone\tnone\tA man runs.\tA man is running.\t4.750\n7\t-\t-\t-\t-\t-\t-\tA cat.\tA ship.\t0\n",
    "STS-B/test.tsv": f"{STSB_COLUMNS}\n0\tg\tf\t2012\t1\tnone\tnone\tOne.\tTwo.\n1\tg\tf\t2012\t1\tnone\tnone\tOne.\tOne.\n",
    "QQP/train.tsv": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n133273\t1\t2\tWhy?\tWhy not?\t0\n402555\t3\t4\tHow?\tHow?\t1\n",
    "QQP/test.tsv": "id\tquestion1\tquestion2\n0\tWho?\tWhom?\n1\tWhere?\tWhere to?\n",
    "MNLI/train.tsv": f"{MNLI_COLUMNS}\tlabel1\tgold_label\n0\t1\t1n\tfiction\t-\t-\t-\t-\tIt rained.\tIt was wet.\tneutral\tneutral\n1\t2\t2e\tfiction\t-\t-\t-\t-\tIt rained.\tWater fell.\tentailment\tentailment\n",
    "MNLI/dev_mismatched.tsv": f"{MNLI_COLUMNS}\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n0\t1\t1c\tnine\t-\t-\t-\t-\tA.\tNot A.\tneutral\t-\t-\t-\t-\tcontradiction\n",
    "MNLI/test_matched.tsv": f"{MNLI_COLUMNS}\n9\t1\t1\tfiction\t-\t-\t-\t-\tA.\tB.\n10\t1\t1\tfiction\t-\t-\t-\t-\tC.\tD.\n",
    "QNLI/dev.tsv": "index\tquestion\tsentence\tlabel\n0\tWhen?\tIn 1800.\tentailment\n1\tWhere?\tIn 1801.\tnot_entailment\n",
    "RTE/test.tsv": "index\tsentence1\tsentence2\n0\tOne.\tTwo.\n1\tThree.\tFour.\n",
}  # fmt: skip


@pytest.fixture
def glue(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode("utf-8"))
    return tmp_path


def plain(examples):
    labels = None if examples.labels is None else examples.labels.tolist()
    return (examples.ids, examples.firsts, examples.seconds, labels)


@pytest.mark.parametrize(
    ("task", "split", "expected"),
    [
        ("cola", "train", ([0, 1], ["The ship left.", "Left ship the."], None, [1, 0])),
        ("cola", "test", (["0", "1"], ["They saw land.", "Land they it saw."], None, None)),
        ("sst2", "dev", ([0, 1], ["a fine film ", "it 's a bore "], None, [1, 0])),
        ("sst2", "test", (["0", "1"], ["no", "yes"], None, None)),
        ("mrpc", "dev", ([0, 1], ['He said "yes .', "A ."], ['" Yes , he said .', "B ."], [1, 0])),
        ("mrpc", "test", (["0", "1"], ["C .", "E ."], ["D .", "F ."], None)),
        ("stsb", "train", ([0, 1], ["A man runs.", "A cat."], ["A man is running.", "A ship."], [4.75, 0.0])),
        ("stsb", "test", (["0", "1"], ["One.", "One."], ["Two.", "One."], None)),
        ("qqp", "train", ([0, 1], ["Why?", "How?"], ["Why not?", "How?"], [0, 1])),
        ("qqp", "test", (["0", "1"], ["Who?", "Where?"], ["Whom?", "Where to?"], None)),
        ("mnli", "train", ([0, 1], ["It rained."] * 2, ["It was wet.", "Water fell."], [1, 0])),
        ("mnli", "dev_mismatched", ([0], ["A."], ["Not A."], [2])),
        ("mnli", "test_matched", (["9", "10"], ["A.", "C."], ["B.", "D."], None)),
        ("qnli", "dev", ([0, 1], ["When?", "Where?"], ["In 1800.", "In 1801."], [0, 1])),
        ("rte", "test", (["0", "1"], ["One.", "Three."], ["Two.", "Four."], None)),
    ],
)
def test_every_kind_of_published_file_is_read(glue, task, split, expected):
    task = glue_task(task)
    examples = read_split(task, glue, split)
    assert isinstance(examples, GlueExamples) and plain(examples) == expected
    assert plain(read_split(task, glue / task.folder, split)) == expected  # the task's folder itself
    if examples.labels is not None:
        assert examples.labels.dtype == (np.float32 if task.name == "stsb" else np.int32)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["crlf", "bom", "no last line feed", "empty lines at the end"])
def test_bytes_that_mean_nothing_change_nothing(glue, name, change):
    folder, _, file = name.partition("/")
    task, split = next(task for task in TASKS.values() if task.folder == folder), file.removesuffix(".tsv")
    before = plain(read_split(task, glue, split))
    data = (glue / name).read_bytes().replace(b"\r", b"").removeprefix(BOM)
    data = {
        "crlf": data.replace(b"\n", b"\r\n"),
        "bom": BOM + data,
        "no last line feed": data[:-1],
        "empty lines at the end": data + b"\n\r\n",
    }[change]
    (glue / name).write_bytes(data)
    assert plain(read_split(task, glue, split)) == before


def test_a_tab_and_a_line_feed_are_all_the_syntax(glue):
    """Quotation marks, Unicode's line separators, a bare carriage return and empty cells are text."""
    texts = ['"', '"" a "', "a\u2028b", "a\x85b\x1cc", "a\rb", "", " , ;\\n", "'"]
    lines = [f"{i}\t1\t2\t{text}\t{text[::-1]}\t{i % 2}" for i, text in enumerate(texts)]
    (glue / "QQP/train.tsv").write_text(
        "\n".join(["id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", *lines]) + "\n", encoding="utf-8", newline=""
    )
    examples = read_split(glue_task("qqp"), glue, "train")
    assert examples.firsts == texts and examples.seconds == [text[::-1] for text in texts]
    (glue / "RTE/test.tsv").write_text("sentence1\tindex\tsentence2\n one\t0\ttwo \n\t1\t\n")
    assert plain(read_split(glue_task("rte"), glue, "test")) == (["0", "1"], [" one", ""], ["two ", ""], None)


def test_columns_are_found_by_name(glue):
    """Another order, and none of the columns that nobody reads."""
    (glue / "RTE/dev.tsv").write_text("label\tsentence2\tsentence1\nnot_entailment\tsecond\tfirst\n")
    assert plain(read_split(glue_task("rte"), glue, "dev")) == ([0], ["first"], ["second"], [1])
    (glue / "CoLA/dev.tsv").write_text("label\tsentence\n1\tA sentence.\n")
    assert plain(read_split(glue_task("cola"), glue, "dev")) == ([0], ["A sentence."], None, [1])
    (glue / "RTE/test.tsv").write_text("sentence1\tsentence2\na\tb\n")
    assert plain(read_split(glue_task("rte"), glue, "test")) == ([0], ["a"], ["b"], None)


def test_the_test_file_of_mrpc_may_have_its_labels(glue):
    """As the corpus itself ships it; they are not looked at."""
    (glue / "MRPC/test.tsv").write_text("Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t5\t6\tA .\tB .\n")
    assert plain(read_split(glue_task("mrpc"), glue, "test")) == ([0], ["A ."], ["B ."], None)


def test_the_broken_lines_of_qqp_are_left_out_and_counted(glue, capsys):
    rows = [f"{i}\t1\t2\tq{i}?\tr{i}?\t{i % 2}" for i in range(300)]
    rows[97] = '"\tWas it so?\t0'
    rows[200] = "12\t1\t2\tonly one question?"
    path = glue / "QQP/train.tsv"
    path.write_text("\n".join(["id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", *rows]) + "\n")
    examples = read_split(glue_task("qqp"), glue, "train")
    assert capsys.readouterr().err == (
        f"{path}: line 99: found 3 fields, expected 6 (tab-separated); left out 2 such lines\n"
    )
    assert examples.firsts == [f"q{i}?" for i in range(300) if i not in (97, 200)]
    assert examples.ids == list(range(298)) and len(examples.labels) == 298
    # More than one in a hundred is another file, not that defect.
    path.write_text("\n".join(["id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", *rows[90:230]]) + "\n")
    with pytest.raises(ValueError, match="line 9: found 3 fields, expected 6"):
        read_split(glue_task("qqp"), glue, "train")


@pytest.mark.parametrize(("task", "split"), [("qqp", "test"), ("rte", "train")])
def test_no_line_is_left_out_elsewhere(tmp_path, task, split):
    """A submission needs every id, and the other tasks' files have no broken lines."""
    task = glue_task(task)
    header = [task.id_column, *task.texts, *([] if split == "test" else [task.label_column])]
    rows = [[str(i), "a", "b", "entailment"][: len(header)] for i in range(300)]
    rows[100].pop()
    (tmp_path / f"{split}.tsv").write_text("\n".join("\t".join(row) for row in [header, *rows]))
    with pytest.raises(ValueError, match=f"line 102: found {len(header) - 1} fields, expected {len(header)}"):
        read_split(task, tmp_path, split)


HEADER = "index\tsentence1\tsentence2\tlabel\n"


@pytest.mark.parametrize(
    ("task", "split", "data", "words"),
    [
        ("rte", "dev", b"", ": found an empty file, expected tab-separated lines"),
        ("rte", "dev", b"\n\n", ": found an empty file, expected tab-separated lines"),
        ("rte", "dev", HEADER.encode(), ": found a header and no rows, expected examples"),
        ("rte", "dev", b"index\tsentence1\tlabel\n0\ta\tentailment\n", ": line 1: found no column 'sentence2' among index, sentence1, label, expected one"),
        ("rte", "dev", b"index\tsentence1\tsentence2\n0\ta\tb\n", ": line 1: found no column 'label' among index, sentence1, sentence2, expected one"),
        ("rte", "dev", b"index\tlabel\tsentence1\tsentence2\tlabel\n0\t0\ta\tb\t0\n", ": line 1: found 2 columns 'label' among index, label, sentence1, sentence2, label, expected one"),
        ("rte", "dev", (HEADER + "0\ta\tb\tentailment\n1\ta\tb\tneutral\n").encode(), ": line 3: found label 'neutral', expected entailment or not_entailment"),
        ("rte", "dev", (HEADER + "0\ta\tb\n").encode(), ": line 2: found 3 fields, expected 4 (tab-separated)"),
        ("rte", "dev", (HEADER + "0\ta\tb\tc\tentailment\n").encode(), ": line 2: found 5 fields, expected 4 (tab-separated)"),
        ("rte", "dev", (HEADER + "0\ta\tb\tentailment\n\n\n1\ta\tb\tentailment\n").encode(), ": line 3: found an empty line, expected tab-separated fields"),
        ("rte", "dev", (HEADER + "0\ta\tcaf\xe9\tentailment\n").encode("latin-1"), ": line 2: found byte 0xe9, expected UTF-8"),
        ("rte", "dev", (HEADER + "0\ta\tb\tentailment\n").encode("utf-16"), ": line 1: found byte 0xff, expected UTF-8"),
        ("rte", "dev", (HEADER + "0\ta\0\tb\tentailment\n").encode(), ": line 2: found a NUL byte, expected text"),
        ("rte", "dev", (HEADER + "0\ta\tb\tentailment\n").replace("\n", "\r").encode(), ": line 1: found a carriage return inside, expected lines that end in \\n"),
        ("rte", "dev", HEADER.encode() + b"x" * (2**24 + 1), ": line 2: found more than 16,777,216 bytes, expected a shorter line"),
        ("rte", "dev", (HEADER + "0\ta\tb\t" + "e" * 500 + "\n").encode(), ": line 2: found label '" + "e" * 56 + "..., expected entailment or not_entailment"),
        ("rte", "test", (HEADER + "0\ta\tb\tentailment\n").encode(), ": line 1: found the label column 'label', expected a test file without"),
        ("rte", "test", b"index\tsentence1\tsentence2\n0\ta\tb\n7\ta\tb\n0\ta\tb\n", ": line 4: found id '0' of line 2, expected a new one"),
        ("qqp", "test", b"id\tquestion1\tquestion2\n3\ta\tb\n3\ta\tb\n", ": line 3: found id '3' of line 2, expected a new one"),
        ("qqp", "test", b"id\tquestion1\tquestion2\n3\ta\n", ": line 2: found 2 fields, expected 3 (tab-separated)"),
        ("sst2", "dev", b"sentence\tlabel\nfine\t2\n", ": line 2: found label '2', expected 0 or 1"),
        ("cola", "dev", b"ab\t1\t\tGood.\nab\t3\t\tGood.\n", ": line 2: found label '3', expected 0 or 1"),
        ("cola", "dev", b"ab\t1\t\tGood.\nab\t1\tGood.\n", ": line 2: found 3 fields, expected 4 (tab-separated)"),
        ("stsb", "dev", b"sentence1\tsentence2\tscore\na\tb\t5.001\n", ": line 2: found score '5.001', expected a number from 0 to 5"),
        ("stsb", "dev", b"sentence1\tsentence2\tscore\na\tb\t-0.5\n", ": line 2: found score '-0.5', expected a number from 0 to 5"),
        ("stsb", "dev", b"sentence1\tsentence2\tscore\na\tb\t1\na\tb\tnan\n", ": line 3: found score 'nan', expected a number from 0 to 5"),
        ("stsb", "dev", b"sentence1\tsentence2\tscore\na\tb\thigh\n", ": line 2: found score 'high', expected a number from 0 to 5"),
        ("mnli", "train", b"sentence1\tsentence2\tgold_label\na\tb\t-\n", ": line 2: found label '-', expected entailment or neutral or contradiction"),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_line_with_its_place(tmp_path, task, split, data, words):
    path = tmp_path / f"{split}.tsv"
    path.write_bytes(data)
    with pytest.raises(ValueError) as error:
        read_split(glue_task(task), tmp_path, split)
    assert str(error.value) == f"{path}{words}"


def test_a_missing_file_says_what_was_expected(glue):
    with pytest.raises(ValueError) as error:
        read_split(glue_task("rte"), glue, "dev")
    assert str(error.value) == f"{glue}/RTE/dev.tsv: found no file, expected the split dev of rte"
    with pytest.raises(ValueError) as error:
        read_split(glue_task("rte"), glue / "nowhere", "dev")
    assert str(error.value) == (
        f"{glue}/nowhere/RTE/dev.tsv: found no folder RTE in {glue}/nowhere, expected GLUE's"
        f" (python -m minimobilebert download glue --to {glue}/nowhere --only rte)"
    )
    with pytest.raises(ValueError, match="mnli: found split 'dev', expected one of train, dev_matched, dev_mismatched"):
        read_split(glue_task("mnli"), glue, "dev")
    with pytest.raises(ValueError, match="task: found 'sst-2', expected one of cola, sst2, mrpc, stsb, qqp, mnli"):
        glue_task("sst-2")


def test_the_tables_for_the_site(tmp_path):
    names = [submission_name(task, split) for task in TASKS.values() for split in task.test_splits]
    assert names == ["CoLA.tsv", "SST-2.tsv", "MRPC.tsv", "STS-B.tsv", "QQP.tsv", "MNLI-m.tsv", "MNLI-mm.tsv", "QNLI.tsv", "RTE.tsv"]  # fmt: skip
    path = tmp_path / "out.tsv"
    for task, ids, predictions, expected in [
        ("cola", ["0", "1"], np.array([1, 0]), "0\t1\n1\t0\n"),
        ("mnli", ["9", "10", "2"], [2, 0, 1], "9\tcontradiction\n10\tentailment\n2\tneutral\n"),
        ("rte", [0, 1], np.array([1, 0], np.int64), "0\tnot_entailment\n1\tentailment\n"),
        ("stsb", list("012345"), np.array([-0.2, 5.4, 2.34567, 5.0, 1e-9, 3], np.float32), "0\t0.000\n1\t5.000\n2\t2.346\n3\t5.000\n4\t0.000\n5\t3.000\n"),
        ("qqp", [], [], ""),
    ]:  # fmt: skip
        write_submission(path, glue_task(task), ids, predictions)
        assert path.read_bytes() == b"index\tprediction\n" + expected.encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("task", "ids", "predictions", "words"),
    [
        ("rte", ["0", "1"], [0], "found 1 predictions, expected 2"),
        ("rte", ["0", "0"], [0, 1], "found an id twice"),
        ("rte", ["0", "1"], [0, 2], "id 1: found class 2, expected 0 to 1"),
        ("rte", ["0", "1"], [0, -1], "id 1: found class -1, expected 0 to 1"),
        ("rte", ["0", "1"], [0.5, 1], "id 0: found class 0.5, expected 0 to 1"),
        ("stsb", ["0", "1"], [1.0, float("nan")], "id 1: found nan, expected a finite number"),
    ],
)
def test_an_unusable_submission_leaves_the_old_one(tmp_path, task, ids, predictions, words):
    path = tmp_path / "out.tsv"
    path.write_text("old")
    with pytest.raises(ValueError, match=words):
        write_submission(path, glue_task(task), ids, predictions)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_the_classes_are_in_the_order_of_the_published_data_sets():
    labels = {name: task.labels for name, task in TASKS.items()}
    binary, entailment = ("0", "1"), ("entailment", "not_entailment")
    assert labels == {
        "cola": binary, "sst2": binary, "mrpc": binary, "stsb": None, "qqp": binary,
        "mnli": ("entailment", "neutral", "contradiction"), "qnli": entailment, "rte": entailment,
    }  # fmt: skip


REAL = {
    ("cola", "train"): 8551, ("cola", "dev"): 1043, ("sst2", "train"): 67_349, ("sst2", "dev"): 872,
    ("mrpc", "train"): 3668, ("mrpc", "dev"): 408, ("stsb", "train"): 5742, ("stsb", "dev"): 1500,
    ("qnli", "train"): 9999, ("qnli", "dev"): 2732, ("rte", "train"): 2490, ("rte", "dev"): 277,
    ("mnli", "train"): 8999, ("mnli", "dev_matched"): 1000, ("qqp", "train"): 8999, ("qqp", "dev"): 1000,
}  # fmt: skip


@pytest.mark.parametrize(("name", "split"), REAL)
def test_real_files(name, split, capsys):
    data = os.environ.get("MINIMOBILEBERT_DATA")
    if not data:
        pytest.skip("needs GLUE's files: set MINIMOBILEBERT_DATA to a folder that holds glue/")
    task = glue_task(name)
    examples = read_split(task, pathlib.Path(data) / "glue", split)
    assert len(examples.firsts) == len(examples.labels) == len(examples.ids) == REAL[name, split]
    assert all(examples.firsts) and (examples.seconds is None) == (len(task.texts) == 1)
    if task.labels is not None:  # every class is there, none is rarer than one in ten
        assert (np.bincount(examples.labels) > len(examples.labels) / 10).all()
        assert np.unique(examples.labels).size == len(task.labels)
    else:
        assert examples.labels.min() == 0 and examples.labels.max() == 5
    assert capsys.readouterr().err == ""

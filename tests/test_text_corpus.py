"""Documents, paragraphs, sentences, and the split into training and held-out documents."""

import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.text.corpus import Document, read_documents, shipped_documents, split_documents, split_paragraphs
from minimobilebert.text.sentences import split_sentences


@pytest.mark.parametrize(
    "paragraph, sentences",
    [
        ("I came. I saw! Did I? Yes.", ["I came.", "I saw!", "Did I?", "Yes."]),
        ("Mr. Elton met Dr. Grant. No. 5 was Mrs. Norris.", ["Mr. Elton met Dr. Grant.", "No. 5 was Mrs. Norris."]),
        ("I said no. Then he left in Dec. 1860.", ["I said no.", "Then he left in Dec. 1860."]),
        ("Plan b. Then c.", ["Plan b.", "Then c."]),
        ("So did J. Q. Adams. The U.S. Treasury paid.", ["So did J. Q. Adams.", "The U.S. Treasury paid."]),
        ("Neither did I. Then we left.", ["Neither did I.", "Then we left."]),
        ('"Stop!" cried Ahab. "Why?" He sat.', ['"Stop!" cried Ahab.', '"Why?"', "He sat."]),
        ("It cost $1.5 million. 40 came.", ["It cost $1.5 million.", "40 came."]),
        ("(He left.) [Applause] Good...  Well.", ["(He left.)", "[Applause] Good...", "Well."]),
        ("no stop", ["no stop"]),
        ("in 1860. and so on", ["in 1860. and so on"]),
        ("Vive l'été. Élan. été", ["Vive l'été.", "Élan. été"]),
        ("", []),
    ],
)
def test_sentences(paragraph, sentences):
    assert split_sentences(paragraph) == sentences


@given(st.text('aBI1. !?"\u201d(', max_size=40))
def test_sentences_lose_nothing_but_spaces(paragraph):
    sentences = split_sentences(paragraph)
    assert "".join("".join(sentences).split()) == "".join(paragraph.split())
    assert all(s == s.strip() != "" for s in sentences)


@pytest.mark.parametrize(
    "text, paragraphs",
    [
        ("one\ntwo\n", ["one", "two"]),
        ("one\ntwo\n\nthree\n", ["one two", "three"]),
        ("one\r\ntwo\r\n \r\nthree", ["one two", "three"]),
        ("\n\n  one   two \n", ["one two"]),
        (" \n", []),
    ],
)
def test_paragraphs(text, paragraphs):
    assert split_paragraphs(text) == paragraphs


def test_folder_of_text_files(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.txt").write_bytes(b"\xef\xbb\xbfNa\xc3\xafve. Second.")  # with a byte-order mark
    (tmp_path / "a.txt").write_text("One line.\nAnother line.", encoding="utf-8")
    (tmp_path / "notes.md").write_bytes(b"\x00 not read")
    documents = read_documents(tmp_path)
    assert documents == [
        Document("a.txt", tmp_path.name, ["One line.", "Another line."]),
        Document("b/x.txt", tmp_path.name, ["Naïve. Second."]),
    ]
    assert documents[1].sentences() == ["Naïve.", "Second."]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_archive(tmp_path, suffix):
    (tmp_path / "a.txt").write_text("One. Two.")
    with tarfile.open(tmp_path / f"texts.{suffix}", "w:" + suffix[4:]) as archive:
        archive.add(tmp_path / "a.txt", arcname="c/a.txt")
    assert read_documents(tmp_path / f"texts.{suffix}") == [Document("c/a.txt", "texts", ["One. Two."])]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", r"a.txt: found no text"),
        (b" \n\n", r"a.txt: found no text"),
        (b"ab\x00c", r"a.txt: found a NUL byte at byte 2"),
        (b"caf\xe9 au lait", r"a.txt: found byte 0xe9 at byte 3"),
        (b"\xef\xbb\xbfab\xff", r"a.txt: found byte 0xff at byte 5"),
        (b"Only one sentence.", r"found one sentence in all, expected at least two"),
    ],
)
def test_unusable_files(tmp_path, content, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_documents(tmp_path)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_unusable_places(tmp_path):
    with pytest.raises(ValueError, match="nowhere: not found"):
        read_documents(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="found no .txt file"):
        read_documents(tmp_path)
    for content in (b"plain text", b"BZh9" + b"\x17" * 99, b"\xfd7zXZ\x00" + b"\x17" * 99):
        (tmp_path / "book.tar").write_bytes(content)
        with pytest.raises(ValueError, match="not a readable .tar archive") as error:
            read_documents(tmp_path / "book.tar")
        assert "\n" not in str(error.value)
    (tmp_path / "Book.TXT").write_text("A text.")
    with pytest.raises(ValueError, match="Book.TXT: found a single text, expected the folder that holds it"):
        read_documents(tmp_path / "Book.TXT")
    with pytest.raises(ValueError, match="state-of-the-union.tar.bz2: not found; the shipped texts"):
        shipped_documents(tmp_path)


def made_up_documents(sizes):
    return [Document(f"{i:03d}.txt", source, ["A. B."]) for source, n in sizes.items() for i in range(n)]


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(2, 40), min_size=1), st.floats(0.01, 0.99), st.integers(0, 99)
)
def test_split_documents(sizes, fraction, seed):
    documents = made_up_documents(sizes)
    training, held_out = split_documents(documents, fraction, seed)
    assert sorted(training + held_out) == sorted(documents)
    assert (training, held_out) == split_documents(documents, fraction, seed)
    for source, n in sizes.items():
        places = [int(d.name[:3]) for d in held_out if d.source == source]
        # at least one on either side, and otherwise the nearest whole number
        assert len(places) == min(max(int(n * fraction + 0.5), 1), n - 1)
        # one from each run: two neighbours are less than two runs apart
        longest = -(-n // len(places))
        assert all(b - a < 2 * longest for a, b in zip([-1, *places], [*places, n], strict=True))


def test_split_depends_on_the_seed_and_not_on_the_order():
    def held_out_names(documents, seed):
        return {document.name for document in split_documents(documents, 0.2, seed)[1]}

    documents = made_up_documents({"a": 100})
    assert held_out_names(documents, 1) != held_out_names(documents, 2)
    assert held_out_names(documents, 1) == held_out_names(documents[::-1], 1)


def test_split_errors():
    with pytest.raises(ValueError, match=r"found 1 document\(s\), expected at least 2"):
        split_documents(made_up_documents({"a": 1}), 0.1, 1)
    training, held_out = split_documents(made_up_documents({"a": 1, "b": 5}), 0.1, 1)
    assert {d.source for d in held_out} == {"b"} and len(training) == 5
    for fraction in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="held_out_fraction"):
            split_documents(made_up_documents({"a": 5}), fraction, 1)


@pytest.mark.parametrize("second", ["one", "one/inner", "./one", "link"])
def test_no_text_is_read_twice(tmp_path, monkeypatch, second):
    """It would be among the training texts and among those held out."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("one", target_is_directory=True)
    for place in ("one/a.txt", "one/inner/b.txt"):
        (tmp_path / place).write_text(f"Here is {place}. Here is another sentence.", encoding="utf-8")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "a.txt").write_text("Here is a third one. And a fourth.", encoding="utf-8")
    assert len(read_documents("one", "two")) == 3
    for places in (("one", second), (second, "one"), ("two", second, "one")):
        with pytest.raises(ValueError, match="found a folder that is one|found a folder that is .* or inside it"):
            read_documents(*places)

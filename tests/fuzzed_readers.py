"""The readers that fuzz_readers.py tries, each with a sound file."""

import json

from fuzz_readers import Reader

from minimobilebert.support.structured_files import read_json, read_json_lines, read_toml
from minimobilebert.tasks.squad_data import read_ids, read_squad
from minimobilebert.tasks.squad_files import read_answers, read_null_odds
from minimobilebert.tasks.tsv import read_rows
from minimobilebert.text.corpus import read_documents

SQUAD = {"version": "v2.0", "data": [{"title": "Boats", "paragraphs": [{"context": "The ship has two sails. And a cat é.", "qas": [
    {"id": "a", "question": "What has sails?", "is_impossible": False, "answers": [{"text": "ship", "answer_start": 4}]},
    {"id": "b", "question": "Who barks?", "is_impossible": True, "answers": [], "plausible_answers": []}]}]}]}  # fmt: skip


def of_json(value):
    """A sample: the value as JSON"""
    return lambda folder: json.dumps(value, ensure_ascii=False, indent=1).encode()


def of_bytes(content):
    """A sample: these bytes"""
    return lambda folder: content


READERS = {reader.name: reader for reader in [
    Reader("json", "a.json", of_json({"a": [1, 2.5, None, {"b": "é", "c": True}], "d": "x\n"}), read_json),
    Reader("json lines", "a.jsonl", of_bytes(b'{"step": 1, "loss": 2.5}\n' * 5), read_json_lines),
    Reader("toml", "a.toml", of_bytes('[[a]]\nb = "é"\nc = [1, 2.5, true]\n[a.d]\ne.f = \'x\'\ng = """y\nz"""\n'.encode()),
           read_toml),
    Reader("squad", "dev.json", of_json(SQUAD), lambda path: read_squad(path, training=True)),
    Reader("squad for scoring", "dev.json", of_json(SQUAD), read_squad),
    Reader("ids", "ids.json", of_json(["a", "b"]), read_ids),
    Reader("answers", "predictions.json", of_json({"a": "ship", "b": ""}), read_answers),
    Reader("null odds", "null_odds.json", of_json({"a": -1.5, "b": 3}), read_null_odds),
    Reader("tsv rows", "dev.tsv", of_bytes("id\tsentence\tlabel\n1\tA \"ship\".\t0\n2\té\t1\n".encode()),
           lambda path: list(read_rows(path))),
    Reader("text", "a.txt", of_bytes("One ship. Two ships.\n\nA cat é came. It left.\n".encode()), lambda path: read_documents(path.parent),
           names_folder=True),
]}  # fmt: skip

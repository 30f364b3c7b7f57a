"""Options and texts of the command line that several commands share."""


def json_option(parser):
    """--json"""
    parser.add_argument("--json", action="store_true", help="print the data as JSON")


def settings_option(parser):
    """--set NAME=VALUE ..., for `pairs`"""
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE",
                        help="change settings of the run (minimobilebert/pipeline/settings.py lists them)")  # fmt: skip


def model_option(parser):
    """--model FOLDER"""
    parser.add_argument("--model", default="runs/tiny", metavar="FOLDER",
                        help="a run, a stage of it, or a converted model (default runs/tiny)")  # fmt: skip


def pairs(words):
    """["a=1", "b=x"] -> {"a": "1", "b": "x"}; ValueError for another form"""
    pairs = {}
    for word in words:
        name, _, value = word.partition("=")
        if not (name and value):
            raise ValueError(f"--set: found {word!r}, expected NAME=VALUE")
        pairs[name] = value
    return pairs


def numbers(text):
    """1,2,3 as text -> [1, 2, 3]; ValueError for anything else"""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise ValueError(f"--seeds: found {text!r}, expected whole numbers, comma separated") from None


def positive(text):
    """An option's type: a whole number above 0"""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


positive.__name__ = "whole number above 0"  # argparse puts it into its message

"""Options and texts of the command line that several commands share."""


def json_option(parser):
    parser.add_argument("--json", action="store_true", help="print the data as JSON")


def settings_option(parser):
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE",
                        help="change settings of the run (minimobilebert/pipeline/settings.py lists them)")  # fmt: skip


def model_option(parser):
    parser.add_argument("--model", default="runs/tiny", metavar="FOLDER",
                        help="a run, a stage of it, or a converted model (default runs/tiny)")  # fmt: skip


def pairs(words):
    pairs = {}
    for word in words:
        name, _, value = word.partition("=")
        if not (name and value):
            raise ValueError(f"--set: found {word!r}, expected NAME=VALUE")
        pairs[name] = value
    return pairs


def numbers(text):
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise ValueError(f"--seeds: found {text!r}, expected whole numbers, comma separated") from None


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


positive.__name__ = "whole number above 0"  # argparse puts it into its message

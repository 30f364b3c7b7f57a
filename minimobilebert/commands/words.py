"""`--words=VALUE`: several command-line words in one, for the variables of make.

    make train-tiny TEXT="tales 'my letters'"   ->  --text --words="tales 'my letters'"   ->  --text tales 'my letters'

As in a shell, spaces separate words, quotes join them, and `~/` is the home folder. No other character is special. A
value that is the name of an existing file or folder is one word.
"""

import os
import shlex

_OPTION = "--words="


def with_words(arguments):
    """Split the words in `--words=` -> list of str. ValueError for an open quote."""
    found = []
    for argument in arguments:
        if not argument.startswith(_OPTION):
            found.append(argument)
        elif os.path.lexists(value := argument.removeprefix(_OPTION)):
            found.append(value)
        else:
            try:
                found += [os.path.expanduser(word) if word.startswith("~/") else word for word in shlex.split(value)]
            except ValueError:
                raise ValueError(f"found {value!r}, in which a quote is left open; expected another one") from None
    return found

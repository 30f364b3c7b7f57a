"""`--words=VALUE`: several words of a command line in one, as make's variables hand them on.

    make train-tiny TEXT="tales 'my letters'"   ->  --text --words="tales 'my letters'"   ->  --text tales 'my letters'

Blanks separate words and quotes hold them together, as in a shell; nothing else is special, so that a dollar sign or
a star stays what it is, except that `~/` begins the home folder. A value that is the name of a file or folder is one
word, whatever is in it.
"""

import os
import shlex

_OPTION = "--words="


def with_words(arguments):
    """Command-line words, those behind `--words=` taken apart -> list of str. ValueError where a quote is left open."""
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

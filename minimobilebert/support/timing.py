"""Fair timing: the sides take turns, and what counts is the ratio of two times from the same turn.

The machine's speed drifts while we measure: other programs run, the processor warms up. Two functions that are measured
one after the other may then differ although they are equally fast. So they take turns, every turn gives one ratio
for each pair, and the median and the quartiles of those ratios are reported. First calls, which compile kernels and
fill caches, are never part of a turn.
"""

import time

import numpy as np


def first_calls(functions, clock=time.perf_counter):
    """Call every function once -> {name: seconds}, {name: what it returned}"""
    seconds, results = {}, {}
    for name, function in functions.items():
        start = clock()
        results[name] = function()
        seconds[name] = clock() - start
    return seconds, results


def _settle(function, seconds, clock):
    """Call it for so long, once at least."""
    begin = clock()
    function()
    while clock() - begin < seconds:
        function()


def calls_for(functions, least, *, settle=0.0, rest=0.0, clock=time.perf_counter, sleep=time.sleep):
    """How many calls in a row take about `least` seconds, by the fastest of three -> {name: calls}

    settle, rest: as in `times_in_turns`
    """
    calls = {}
    for name, function in functions.items():
        sleep(rest)
        _settle(function, settle, clock)
        fastest = min(first_calls({name: function}, clock)[0][name] for _ in range(3))
        calls[name] = max(1, round(least / max(fastest, 1e-7)))
    return calls


FEWEST = 3  # turns, however long they take


def times_in_turns(
    functions, turns, *, warm=2, calls=None, settle=None, rest=0.0, limit=None, step=None, clock=time.perf_counter,
    sleep=time.sleep,
):  # fmt: skip
    """Measure several functions in turns; each runs `warm` times beforehand.

    functions: {name: callable}; calls: {name: calls in a row that are timed as one}, 1 unless given
    settle: seconds of calls that are not timed, one call at least, right before those that are: they bring back the
        caches that another side emptied, and let the system find a core for each thread again; None: no such calls
    rest: seconds of sleep before each side, so that the threads of the side before have stopped spinning for more work
    limit: seconds after which there are no more turns; at least FEWEST are made
    step: called after every turn
    -> {name: seconds of one call in every turn, array [turns made]}
    """
    seconds = {name: np.empty(turns) for name in functions}
    for function in functions.values():
        for _ in range(warm):
            function()
    begin, made = clock(), 0
    while made < turns and (made < FEWEST or limit is None or clock() - begin < limit):
        for name, function in functions.items():
            count = calls[name] if calls else 1
            if rest:
                sleep(rest)
            if settle is not None:
                _settle(function, settle, clock)
            start = clock()
            for _ in range(count):
                function()
            seconds[name][made] = (clock() - start) / count
        made += 1
        if step:
            step()
    return {name: values[:made] for name, values in seconds.items()}


def quartiles(values):
    """Values of all turns -> lower quartile, median, upper quartile"""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)

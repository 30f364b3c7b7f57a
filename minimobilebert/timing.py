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


def calls_for(functions, least, clock=time.perf_counter):
    """How many calls in a row take about `least` seconds, by the fastest of three -> {name: calls}"""
    tries = [first_calls(functions, clock)[0] for _ in range(3)]
    return {name: max(1, round(least / max(min(one[name] for one in tries), 1e-7))) for name in functions}


FEWEST = 3  # turns, however long they take


def times_in_turns(
    functions, turns, *, warm=2, calls=None, settle=0, rest=0.0, limit=None, step=None, clock=time.perf_counter,
    sleep=time.sleep,
):  # fmt: skip
    """Measure several functions in turns; each runs `warm` times beforehand.

    functions: {name: callable}; calls: {name: calls in a row that are timed as one}, 1 unless given
    settle: calls that are not timed, right before those that are: they bring back the caches that another side emptied
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
            for _ in range(settle):
                function()
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

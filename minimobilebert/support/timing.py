"""Fair timing: functions are measured in alternation, and we compare times from the same turn.

The speed of a machine changes during a measurement: other programs run, and the processor heats up. If two functions
were measured one after the other, they could seem different although they are equally fast. We therefore alternate:
each turn gives one ratio per pair of functions, and we report the median and quartiles of the ratios. First calls,
which compile kernels and fill caches, are not part of a turn.
"""

import time

import numpy as np


def first_calls(functions, clock=time.perf_counter):
    """Call each function once -> {name: seconds}, {name: result}"""
    seconds, results = {}, {}
    for name, function in functions.items():
        start = clock()
        results[name] = function()
        seconds[name] = clock() - start
    return seconds, results


def fastest(function, repeats, after_each=lambda: None):
    """The seconds of the fastest of `repeats` calls, after one call that may compile"""
    function()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
        after_each()
    return best


def _settle(function, seconds, clock):
    """Call a function for `seconds` seconds, at least once."""
    start = clock()
    function()
    while clock() - start < seconds:
        function()


def calls_for(functions, least, *, settle=0.0, rest=0.0, clock=time.perf_counter, sleep=time.sleep):
    """The number of calls that take about `least` seconds, from the fastest of three calls -> {name: calls}

    settle, rest: as in `times_in_turns`
    """
    calls = {}
    for name, function in functions.items():
        sleep(rest)
        _settle(function, settle, clock)
        fastest = min(first_calls({name: function}, clock)[0][name] for _ in range(3))
        calls[name] = max(1, round(least / max(fastest, 1e-7)))
    return calls


FEWEST = 3  # the least number of turns, however long they take


def times_in_turns(
    functions, turns, *, warm=2, calls=None, settle=None, rest=0.0, limit=None, step=None, clock=time.perf_counter,
    sleep=time.sleep,
):  # fmt: skip
    """Measure several functions in turns; each runs `warm` times beforehand.

    functions: {name: callable}; calls: {name: number of calls that are timed together}, default 1
    settle: seconds of untimed calls, at least one, before the timed ones: they refill the caches after another
        function, and let the system distribute the threads over the cores; None: no such calls
    rest: seconds of sleep before each function, until the threads of the previous one have stopped spinning
    limit: seconds after which no new turn starts; at least FEWEST turns are made
    step: called after each turn
    -> {name: seconds of one call per turn, array [turns made]}
    """
    seconds = {name: np.empty(turns) for name in functions}
    for function in functions.values():
        for _ in range(warm):
            function()
    first_turn, made = clock(), 0
    while made < turns and (made < FEWEST or limit is None or clock() - first_turn < limit):
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
    """-> lower quartile, median, upper quartile"""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)

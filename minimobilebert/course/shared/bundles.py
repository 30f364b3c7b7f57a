"""The standard properties of an operation. A lesson only defines how to draw the inputs.

    forward_properties("02.1", draw, edges=[no_tokens], large=large)
    backward_properties("02.2", draw, forward=LINEAR, wrt=("x", "weight", "bias"), edges=[no_tokens], large=large)

draw(rng) -> the FORWARD's arguments {name: value} in order; arrays in float64, of small odd sizes, none of them square
edges       further such functions, for sizes 0 and 1 and other special cases
large       one for the time limit, with a few thousand entries: two forward passes per entry would take far too long

Forward (`x_forward(...) -> y, cache`):      values, cache, edges, types, strides, untouched, larger
Backward (`x_backward(dy, cache) -> dx...`): gradients, exact, edges, linear, types, strides, untouched, in_time

The backward gets the REFERENCE's cache, so a wrong forward does not affect its result. We compare its gradients with
central differences of the reference's forward, for random upstream gradients.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .comparison import Different, equal
from .dependence import Dependence, degrees
from .layouts import LAYOUTS, double, laid_out, laid_out_all, single_all, single_arguments
from .properties import prop
from .returned import as_tuple, gradients_of, is_array, split, split_result
from .slopes import against_slopes, live, run_forward, slopes_of
from .trial import reference

DRAWS = 3
EXACT = 1e-10  # for the same formula in another order; the error of a finite difference is larger
FLOAT32 = 2e-5  # a few hundred roundings of 6e-8, relative to the largest entry
SECONDS = 3.0


class Backward(NamedTuple):
    """The arguments of `backward_properties` that other checks of the same task need."""

    draw: Callable
    forward: str
    wrt: tuple
    outputs: int
    arguments: Callable


# {"03.5", or "05.1:trigram_backward" for another function than the task's first: Backward}; filled when the properties
# of the lessons are loaded, read by weak_checks.py
BACKWARDS = {}


def forward_properties(
    task, draw, *, edges=(), large=None, large_float32=FLOAT32, timed=False, tolerance=EXACT, names=("y",), cache=True,
):  # fmt: skip
    """Register the properties of a forward pass. names: its outputs; cache=False: it returns no cache

    large: for sums of many terms, in float32 too, with its tolerance; timed: it also has a time limit
    """

    def right(t, args):
        result = t.expected(lambda: reference(t.task.function)(**live(args)), _arrays(args))
        return split(result, names, cache)

    def compare(t, args, tolerance, dtype=np.float64, given=None, depends=None):
        expected, _ = right(t, args)
        results, _ = split_result(t.call(*(given or args).values()), names, cache)
        t.known = dataclasses.replace(t.known, depends=depends)
        for name, found, wanted in zip(names, results, expected, strict=True):
            # A loss is a Python float for every dtype of the inputs; we check the dtype of arrays only.
            kept = isinstance(wanted, np.ndarray) and wanted.dtype.kind == "f"
            _is_number(name, found, wanted)
            t.equal(name, found, wanted, tolerance, dtype if kept else None)

    @prop(task, weight=4, essential=True)
    def values(t):
        """the result is right, in float64"""
        for _ in range(DRAWS):
            args = draw(t.rng)
            compare(t, args, tolerance, depends=dependence(t, args))

    def dependence(t, args):
        def call_reference(*given):
            return split(reference(t.task.function)(**live(dict(zip(args, given, strict=True)))), names, cache)[0]

        right_ones = t.expected(lambda: degrees(call_reference, args))
        return Dependence(lambda *given: split_result(t.probe(*given), names, cache)[0], args, right_ones, names)

    if cache:

        @prop(task, weight=1)
        def cache_kept(t):
            """the cache holds what the backward needs, under the documented names"""
            for each in (draw, *edges):
                args = each(t.rng)
                with t.case(_words(each, args) if each in edges else ""):
                    _, expected = right(t, args)
                    t.same("cache", split_result(t.call(*args.values()), names, cache)[1], expected, tolerance)

    def compare_edge(t, args):
        compare(t, args, tolerance, depends=dependence(t, args))
        t.own_arrays(*args.values(), results=len(names))

    _edges(task, edges, compare_edge)

    @prop(task, weight=1)
    def types(t):
        """float32 goes in and comes out"""
        args = single_arguments(draw(t.rng))
        compare(t, {key: double(value) for key, value in args.items()}, FLOAT32, np.float32, given=args)

    @prop(task, weight=1)
    def strides(t):
        """inputs may be transposed, reversed, or every second element of something else"""
        for layout in LAYOUTS:
            args = draw(t.rng)
            compare(t, args, tolerance, given={key: laid_out(value, layout) for key, value in args.items()})

    @prop(task, weight=1)
    def untouched(t):
        """no input is changed, and no result is the memory of one"""
        args = draw(t.rng)
        expected, _ = right(t, args)
        result, after = t.call_keeping(*args.values())
        equal(names[0], split_result(result, names, cache)[0][0], expected[0], tolerance)
        t.unchanged(args, args.values(), after)
        t.own_arrays(*args.values(), results=len(names))

    def compare_sums(t, seconds=None):
        """Sums with random factors for each result: a recording of whole arrays would be too large"""
        for dtype, limit in ((np.float64, tolerance), (np.float32, large_float32)):
            args = large(t.rng)
            given = args if dtype is np.float64 else single_arguments(args)
            args, seed = {key: double(value) for key, value in given.items()}, int(t.rng.integers(2**31))

            def of_reference(args=args, seed=seed):
                results = split(reference(t.task.function)(**live(args)), names, cache)[0]
                return [[list(np.shape(y)), random_sums(y, seed)] for y in results]

            expected = t.expected(of_reference)
            results, _ = split_result(t.call_within(*given.values(), seconds=seconds), names, cache)
            for name, y, (shape, sums) in zip(names, results, expected, strict=True):
                _is_number(name, y, None if shape else 0.0)
                right = isinstance(y, (np.ndarray, float)) and list(np.shape(y)) == shape
                t.require(right, f"{name} is not an array of shape {tuple(shape)}", name)
                scale = float(np.linalg.norm(np.asarray(y, np.float64)))  # a sum of so many random terms is about this
                error = np.abs(np.array(random_sums(y, seed)) - sums).max()
                if not error <= limit * max(scale, np.abs(sums).max()):
                    text = (
                        f"right for small sizes, wrong for a larger one in {np.dtype(dtype)}: a sum that loses digits?"
                    )
                    raise Different(name, (), text, certainty=0)

    if large is not None:

        @prop(task, weight=1)
        def larger(t):
            """a larger input, in float64 and float32: no digits are lost in long sums, and no memory is wasted"""
            compare_sums(t)

        if timed:
            _in_time(task, lambda t: compare_sums(t, SECONDS))


def backward_properties(
    task, draw, *, forward, wrt, edges=(), large=None, kinks=None, outputs=1, tolerance=EXACT,
    arguments=lambda dy, cache, args: (dy, cache),
):  # fmt: skip
    """Register the properties of a backward pass.

    forward: "file.py:function" of the forward pass; wrt: the arguments with a gradient, in the order of the backward
    kinks: as in check_gradients, but with keyword arguments; outputs: the number of results before the cache
    arguments(dy, cache, args) -> the arguments of the backward
    """
    names = [f"d{key}" for key in wrt]
    BACKWARDS[task] = Backward(draw, forward, wrt, outputs, arguments)

    def passed(t, args):
        """-> a random upstream gradient, the reference's cache"""
        ran = t.expected(lambda: run_forward(forward, args, outputs), _arrays(args))
        drawn = [t.rng.standard_normal(shape) for shape in ran["shapes"]]
        drawn = [dy if dy.ndim else float(dy) for dy in drawn]
        return (drawn[0] if outputs == 1 else tuple(drawn)), ran["cache"]

    def gradients_from(t, given):
        return gradients_of(t.call(*given), names)

    def right(t, dy, cache, args):
        def compute():
            ran = run_forward(forward, args, outputs)
            gradients = as_tuple(reference(t.task.function)(*arguments(dy, ran["cache"], args)))
            return list(gradients[: len(wrt)])

        return t.expected(compute)

    def compare(t, args, tolerance, change=lambda given: given, dtype=np.float64, probes=False):
        dy, cache = passed(t, args)
        expected = right(t, dy, cache, args)
        depends = dependence(t, dy, cache, args) if probes else None
        results = gradients_from(t, change(arguments(dy, cache, args)))
        t.known = dataclasses.replace(t.known, depends=depends)
        _compare_all(t, names, results, expected, tolerance, dtype)
        return arguments(dy, cache, args)

    @prop(task, weight=4, essential=True)
    def gradients(t):
        """the gradients agree with central differences, under a random upstream gradient"""
        for _ in range(DRAWS):
            args = draw(t.rng)
            dy, cache = passed(t, args)
            slopes = t.expected(lambda args=args, dy=dy: slopes_of(forward, args, wrt, dy, outputs, kinks))
            given = arguments(dy, cache, args)
            depends = dependence(t, dy, cache, args)
            results = gradients_from(t, given)
            other = 2.0 * dy if outputs == 1 and np.ndim(dy) == 0 else _other(t.rng, dy)
            again = gradients_from(t, arguments(other, cache, args))
            t.known = dataclasses.replace(t.known_of(given), depends=depends)
            against_slopes(t, wrt, results, again, args, dy, slopes)

    def dependence(t, dy, cache, args):
        def call_reference(*given):
            return as_tuple(reference(t.task.function)(*given))[: len(wrt)]

        def named(cache):
            return t.with_names(arguments(dy, cache, args))

        right_ones = t.expected(lambda: degrees(call_reference, named(run_forward(forward, args, outputs)["cache"])))
        given = named(cache)
        return Dependence(
            lambda *given: gradients_of(t.probe(*given), names), given, right_ones, wrt, next(iter(given))
        )

    @prop(task, weight=1)
    def exactly(t):
        """the gradients are right to ten digits, which differences are not"""
        for _ in range(DRAWS):
            compare(t, draw(t.rng), tolerance)

    def compare_edge(t, args):
        given = compare(t, args, tolerance, probes=True)
        t.own_arrays(*given, results=len(names))

    _edges(task, edges, compare_edge)

    @prop(task, weight=1)
    def types(t):
        """float32 goes in and comes out"""
        args = {key: double(single_arguments({key: value})[key]) for key, value in draw(t.rng).items()}
        compare(t, args, FLOAT32, change=single_all, dtype=np.float32)

    @prop(task, weight=1)
    def strides(t):
        """upstream gradients may be transposed, reversed, or every second element of something else"""
        for layout in LAYOUTS:
            compare(t, draw(t.rng), tolerance, change=lambda given, layout=layout: laid_out_all(given, layout))

    @prop(task, weight=1)
    def untouched(t):
        """neither the upstream gradient nor the cache is changed, and no gradient is the memory of one of them"""
        args = draw(t.rng)
        dy, cache = passed(t, args)
        expected = right(t, dy, cache, args)
        given = arguments(dy, cache, args)
        result, after = t.call_keeping(*given)
        _compare_all(t, names, gradients_of(result, names), expected, tolerance, np.float64)
        t.unchanged(["dy", "cache", *(f"argument {i}" for i in range(3, len(given) + 1))][: len(given)], given, after)
        t.own_arrays(*given, results=len(names))

    if large is not None:

        def check(t):
            args = large(t.rng)
            dy, cache = passed(t, args)
            directions = [t.rng.standard_normal(np.shape(args[key])) for key in wrt]

            def compute():
                ran = run_forward(forward, args, outputs)
                found = as_tuple(reference(t.task.function)(*arguments(dy, ran["cache"], args)))
                return [float((a * b).sum()) for a, b in zip(found, directions, strict=False)]

            expected = t.expected(compute)
            results = gradients_of(t.call_within(*arguments(dy, cache, args), seconds=SECONDS), names)
            for name, found, direction, along in zip(names, results, directions, expected, strict=True):
                is_array(name, found, direction.shape)
                scale = float(np.linalg.norm(direction) * np.linalg.norm(found)) / max(found.size, 1) ** 0.5
                if not abs(float((found * direction).sum()) - along) <= 1e-8 * max(scale, abs(along)):
                    text = "right for small sizes, wrong for a larger one: a size written as a number?"
                    raise Different(name, (), text, certainty=0)  # or wrong for all, which another property says

        _in_time(task, check)


def _is_number(name, found, wanted):
    """Different where a Python float is expected and a number of NumPy's in another type is found, such as its sum"""
    if isinstance(wanted, float) and isinstance(found, (np.generic, np.ndarray)) and not isinstance(found, float):
        what = f"an array of shape {found.shape}" if np.ndim(found) else f"a {found.dtype} of NumPy's"
        raise Different(name, (), f"{name} is {what}, expected a Python float: float(...)")


def random_sums(y, seed):
    """Eight sums of all numbers with random factors"""
    drawn = np.random.default_rng(seed).standard_normal((8, np.size(y)))
    return (drawn @ np.asarray(y, np.float64).ravel()).tolist()


def _in_time(task, check):
    @prop(task, weight=1, essential=True)
    def in_time(t):
        """a larger input takes no longer, and no more memory, than a formula needs"""
        check(t)


def _edges(task, edges, compare):
    if edges:

        @prop(task, weight=1)
        def sizes(t):
            """sizes 0 and 1, optional arguments, and other borders"""
            for edge in edges:
                args = edge(t.rng)
                with t.case(_words(edge, args)):
                    compare(t, args)


def _words(edge, args):
    """with_residual -> "with residual"; for a lambda the shapes that it draws: "x (0, 3), weight (4, 3)" """
    name = getattr(edge, "__name__", "<lambda>")
    if name == "<lambda>":
        return ", ".join(f"{key} {value.shape}" for key, value in args.items() if isinstance(value, np.ndarray))
    return name.replace("_", " ")


def _compare_all(t, names, results, expected, tolerance, dtype):
    for name, found, wanted in zip(names, results, expected, strict=True):
        if wanted is None:
            t.require(found is None, f"{name} is given though there is nothing to have a gradient: expected None", name)
        else:
            t.equal(name, found, wanted, tolerance, dtype)


def _arrays(args):
    return [value for value in args.values() if isinstance(value, np.ndarray)]


def _other(rng, dy):
    if isinstance(dy, tuple):
        return tuple(_other(rng, part) for part in dy)
    drawn = rng.standard_normal(np.shape(dy))
    return drawn if drawn.ndim else float(drawn)

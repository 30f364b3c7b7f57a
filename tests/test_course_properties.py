"""Properties on other tasks than the course's: lists, dicts, drivers, call-backs, generators; and what failures say."""

import copy
import dataclasses

import numpy as np
import pytest

from minimobilebert.course.sandbox.host import Worker
from minimobilebert.course.sandbox.wire import Seeded
from minimobilebert.course.shared import bundles, comparison, properties
from minimobilebert.course.shared.bundles import _words
from minimobilebert.course.shared.checking import FAILED, NOT_WRITTEN, PASSED, format_result, run_task
from minimobilebert.course.shared.comparison import Different
from minimobilebert.course.shared.manifest import ROOT, Task, load
from minimobilebert.course.shared.properties import Property, load_properties, prop
from minimobilebert.course.shared.trial import Live, Recorder, Replay, reference


@pytest.fixture(scope="module")
def worker():
    """The project itself as the student's code; functions put into it are taken out again."""
    with Worker(ROOT) as worker:
        worker.start()
        yield worker


def task(function, points=8):
    return Task("42.1", "Some task", function, points, ("a", "b", "c"), "well done", 5, lesson="42")


def of(*checks, essential=True):
    return [Property("42.1", check.__name__, check.__doc__ or "a title", 1, essential and i == 0, check)
            for i, check in enumerate(checks)]  # fmt: skip


def run(worker, function, *checks, oracle=None, seed=1, code=None):
    """Run checks on the project's function, or on `code` in its place."""
    if code is None:
        return run_task(task(function), of(*checks), worker, oracle or Live(), seed)
    with Worker(ROOT) as other:
        other.install(function, code)
        return run_task(task(function), of(*checks), other, oracle or Live(), seed)


def test_a_function_on_dicts(worker):
    def clips(t):
        gradients = {"a": t.rng.normal(size=(2, 3)), "b": t.rng.normal(size=4)}
        right = t.expected(lambda: reference(t.task.function)(gradients, 0.5))
        t.same("norm and factor", t.call(gradients, 0.5), right)

    function = "minimobilebert/training/clipping.py:clip_by_global_norm"
    assert run(worker, function, clips).passed
    wrong = run(worker, function, clips, code="def clip_by_global_norm(gradients, max_norm):\n    return 1.0, 1.0")
    assert wrong.state == FAILED and wrong.score == 0 and "norm and factor[0] is wrong" in wrong.outcomes[0].headline


def test_a_failure_names_its_case_and_an_error_the_way_to_it(worker):
    def cases(t):
        """a title"""
        for words, x in (("good", 1.0), ("bad", np.ones(2))):
            with t.case(words):
                t.equal("y", t.call(x), np.asarray(x))

    function = "minimobilebert/ops/dropout.py:dropout_backward"
    wrong = run(
        worker,
        function,
        cases,
        code="def dropout_backward(x, cache=None):\n    return x if isinstance(x, float) else 2.0 * x",
    )
    assert wrong.outcomes[0].lines[0] == ("case", "bad")
    code = "def dropout_backward(x, cache=None):\n    def inner(x):\n        return x / None\n    return inner(x)"
    (outcome,) = run(worker, function, cases, code=code).outcomes
    assert dict(outcome.lines) == {
        "case": "good",
        "where": "line 4 of dropout_backward, line 3 of inner: return x / None",
    }


def test_each_function_of_a_task_gets_its_share():
    """One that is not written, or wrong, does not stop the checks of the other, and costs its own points only."""
    file = "minimobilebert/ops/nonorm.py"
    both = dataclasses.replace(task(f"{file}:nonorm_forward"), also_write=(f"{file}:nonorm_backward",))

    def forward(t):
        t.equal("y", t.call(np.ones((2, 3)), np.arange(3.0), np.ones(3))[0], np.tile(np.arange(1.0, 4.0), (2, 1)))

    def backward(t):
        cache = t.expected(lambda: reference(f"{file}:nonorm_forward")(np.ones((2, 3)), np.arange(3.0), np.ones(3))[1])
        t.equal("dbias", t.call(np.ones((2, 3)), cache)[2], np.full(3, 2.0))

    checks = [Property("42.1", "forward", "y", 3, True, forward),
              Property("42.1", "backward", "dbias", 1, True, backward, "nonorm_backward")]  # fmt: skip
    for name, code, score, text in (
        ("nonorm_forward", "raise NotImplementedError('task 42.1')", 2.0, "task 42.1  nonorm_forward: not written yet"),
        (
            "nonorm_backward",
            "raise NotImplementedError('task 42.1')",
            6.0,
            "task 42.1  nonorm_backward: not written yet",
        ),
        ("nonorm_forward", "return x, None", 2.0, "task 42.1  nonorm_forward: y is wrong"),
        ("nonorm_backward", "return None, None, dy.mean(0)", 6.0, "task 42.1  nonorm_backward: dbias is wrong"),
    ):
        with Worker(ROOT) as worker:
            arguments = "x, weight, bias" if name == "nonorm_forward" else "dy, cache"
            worker.install(f"{file}:{name}", f"def {name}({arguments}):\n    {code}")
            result = run_task(both, checks, worker, Live(), 1)
        assert result.score == score and format_result(result, "x").startswith(text), format_result(result, "x")
        assert sum(outcome.state == PASSED for outcome in result.outcomes) == 1


def three_steps(parameters, gradients):
    from minimobilebert.training.adamw import AdamW

    optimiser = AdamW(parameters)
    for gradient in gradients:
        optimiser.step(parameters, gradient, 0.01)
    return parameters, optimiser.state()


def test_a_method_through_a_driver(worker):
    def updates(t):
        given = {"a.weight": t.rng.normal(size=(2, 3))}, [{"a.weight": t.rng.normal(size=(2, 3))} for _ in range(3)]
        t.same("parameters", t.run(three_steps, *given), t.expected(lambda: three_steps(*copy.deepcopy(given))))

    assert run(worker, "minimobilebert/training/adamw.py:AdamW.step", updates).passed
    code = "def step(self, params, gradients, learning_rate, multipliers=None, factor=1.0):\n    pass"
    assert not run(worker, "minimobilebert/training/adamw.py:AdamW.step", updates, code=code).passed


def test_a_function_that_calls_back_and_how_often(worker):
    """A task may get a function; the calls arrive here and can be counted."""

    def differences(t):
        calls = []

        def square(x):
            calls.append(x.copy())
            return float((x * x).sum())

        x = t.rng.normal(size=3)
        t.equal("slope", t.call(square, x), 2 * x, tolerance=1e-6)
        t.require(len(calls) == 6, f"{len(calls)} evaluations, expected two for each of 3 entries")

    code = """def clip_by_global_norm(gradients, max_norm):
    import numpy as np
    slope = np.zeros_like(max_norm)
    for i in range(max_norm.size):
        e = np.zeros_like(max_norm); e[i] = 1e-4
        slope[i] = (gradients(max_norm + e) - gradients(max_norm - e)) / 2e-4
    return slope"""
    function = "minimobilebert/training/clipping.py:clip_by_global_norm"
    assert run(worker, function, differences, code=code).passed
    lazy = code.replace("(gradients(max_norm + e) - gradients(max_norm - e)) / 2e-4", "2 * max_norm[i]")
    assert "0 evaluations" in run(worker, function, differences, code=lazy).outcomes[0].looks_like


def test_a_generator_is_made_anew_there(worker):
    def dropout(t):
        x = t.rng.normal(size=(3, 4))
        right = t.expected(lambda: reference(t.task.function)(x, 0.5, np.random.default_rng(7)))
        t.same("dropout", t.call(x, 0.5, Seeded(7)), right)

    assert run(worker, "minimobilebert/ops/dropout.py:dropout_forward", dropout).passed


def test_text_and_classes_cross_over(worker):
    def pieces(t):
        words = t.run(wordpieces, ["[UNK]", "un", "##able", "##a"], "unable")
        t.same("pieces", words, ["un", "##able"])

    assert run(worker, "minimobilebert/text/wordpiece.py:WordPieceTokenizer.tokenize", pieces).passed


def wordpieces(vocabulary, text):
    from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

    return WordPieceTokenizer([*SPECIAL_TOKENS, *(v for v in vocabulary if v not in SPECIAL_TOKENS)]).tokenize(text)


NONORM = "minimobilebert/ops/nonorm.py"
BACKWARD = """def nonorm_backward(dy, cache):
    tokens = tuple(range(dy.ndim - 1))
    {before}
    return {dx}, {dweight}, {dbias}"""
RIGHT = {"dx": "dy * cache.weight", "dweight": "(dy * cache.x).sum(axis=tokens)", "dbias": "dy.sum(axis=tokens)",
         "before": "pass"}  # fmt: skip

LOOKS = {
    "zeros": ({"dx": "0 * dy"}, "dx is wrong", "zeros: is the result written"),
    "sign": ({"dweight": "-(dy * cache.x).sum(axis=tokens)"}, "dweight is wrong", "opposite sign"),
    "factor": ({"dx": "2 * dy * cache.weight"}, "dx is wrong", "a constant factor 2"),
    "mean": ({"dbias": "dy.mean(axis=tokens)"}, "dbias is wrong", "an average where a sum is meant"),
    "no dy": ({"dx": "0 * dy + cache.weight"}, "dx is wrong", "it is the same for every dy"),
    "not summed": ({"dbias": "dy.sum(axis=0)"}, "dbias is wrong", "not summed over axis"),
    "swapped": ({"dweight": RIGHT["dbias"], "dbias": RIGHT["dweight"]}, "dweight is wrong", "the gradient of bias"),
    "dtype": ({"dx": "(dy * cache.weight).astype('f4')"}, "dx is wrong", "dx is float32 though everything"),
    "missing": ({"dbias": "None"}, "dbias is wrong", "dbias is NoneType, expected an array"),
    "raises": ({"dx": "dy / undefined"}, "nonorm_backward raised NameError", "name 'undefined' is not defined"),
    "NaN": ({"dx": "dy * float('nan')"}, "dx is wrong", "NaN or infinity"),
}  # fmt: skip


@pytest.fixture(scope="module")
def nonorm_properties():
    return load_properties(load(), ["03.5"])["03.5"]


@pytest.mark.parametrize("name", LOOKS)
def test_what_a_wrong_gradient_looks_like(name, nonorm_properties):
    change, headline, words = LOOKS[name]
    with Worker(ROOT) as worker:
        worker.install(f"{NONORM}:nonorm_backward", BACKWARD.format(**{**RIGHT, **change}))
        result = run_task(load().task("03.5"), nonorm_properties, worker, Live(), 1)
    first = result.outcomes[0]
    assert first.state == FAILED and first.headline == headline and words in first.looks_like


def test_the_report_names_everything_a_student_needs(nonorm_properties):
    with Worker(ROOT) as worker:
        worker.install(f"{NONORM}:nonorm_backward", BACKWARD.format(**{**RIGHT, "dx": "2.0 * dy * cache.weight"}))
        result = run_task(load().task("03.5"), nonorm_properties, worker, Live(), 1187)
    lines = format_result(result, "lessons/03_normalisation").splitlines()
    assert lines[0] == "task 03.5  nonorm_backward: dx is wrong"
    found = {line.split(maxsplit=1)[0]: line for line in lines[1:]}
    assert "dx[" in found["where"] and "the worst of 30 entries; 30 of them wrong" in found["where"]
    assert "finite difference" in found["analytic"] and "ratio 2 on every entry" in found["analytic"]
    assert "dtype float64 ok" in found["shapes"]
    assert found["right"].endswith("dweight, dbias")
    assert "a constant factor 2. Is it one path counted twice" in found["looks"]
    assert "gradients, exactly, sizes, types, strides, untouched, in_time" in found["fails"]
    assert "make check T=03.5 SEED=1187" in found["replay"] and "lessons/03_normalisation/README.md" in found["replay"]


def test_a_border_that_has_a_name_is_named():
    code = """def linear_forward(x, weight, bias, residual=None):
    y = x @ weight.T + (0.0 if bias is None else bias)
    return y, LinearCache(x, weight, bias is not None)"""
    with Worker(ROOT) as worker:
        worker.install("minimobilebert/ops/linear.py:linear_forward", code)
        result = run_task(load().task("02.1"), load_properties(load(), ["02.1"])["02.1"], worker, Live(), 1)
    failed = [outcome for outcome in result.outcomes if outcome.state == FAILED]
    assert [outcome.name for outcome in failed] == ["sizes", "larger"] and failed[0].lines[0] == (
        "case",
        "with residual",
    )


def test_partial_credit_by_weight_and_none_without_the_essential(nonorm_properties):
    """Writing into dy fails `untouched` alone: one weight of ten."""
    task = load().task("03.5")
    for change, score in (({"before": "dy_ = dy.copy(); dy[...] = 0; dy = dy_"}, 3.6), ({"dx": "dy"}, 0.0), ({}, 4.0)):
        with Worker(ROOT) as worker:
            worker.install(f"{NONORM}:nonorm_backward", BACKWARD.format(**{**RIGHT, **change}))
            result = run_task(task, nonorm_properties, worker, Live(), 1)
        assert result.score == score, [(o.name, o.state, o.looks_like) for o in result.outcomes]


def test_not_written_stops_the_task_and_names_the_missing_one(worker):
    def calls(t):
        t.call(np.ones((2, 3)), np.ones(3), np.ones(3))

    function = f"{NONORM}:nonorm_forward"
    code = "def nonorm_forward(x, weight, bias):\n    raise NotImplementedError({!r})"
    result = run(worker, function, calls, calls, code=code.format("task 42.1 (Some task): write it"))
    assert [o.state for o in result.outcomes] == [NOT_WRITTEN, "not run"] and result.state == NOT_WRITTEN
    assert "not written yet\n  write   minimobilebert/ops/nonorm.py:nonorm_forward" in format_result(result, "x")
    other = run(worker, function, calls, code=code.format("task 02.1 (Other): write it"))
    assert other.outcomes[0].headline == "needs task 02.1, which is not written yet"
    later = run(worker, function, calls, code=code.format("task 43.1 (Later): write it"))
    assert later.state == FAILED and "calls the function of task 43.1" in later.outcomes[0].headline


def test_memory_beyond_what_a_formula_needs_is_seen(worker):
    def large(t):
        x = t.rng.normal(size=(4, 1500))
        t.equal("y", t.call_within(x, x[0], x[1], seconds=5.0)[0], x * x[0] + x[1])

    function, head = f"{NONORM}:nonorm_forward", "def nonorm_forward(x, weight, bias):\n    "
    assert run(worker, function, large).passed
    wasteful = run(worker, function, large, code=f"{head}return x @ np.diag(weight) + bias, NoNormCache(x, weight)")
    assert "times the memory of its arguments and results" in wasteful.outcomes[0].looks_like
    in_place = run(worker, function, large, code=f"{head}x *= weight\n    return x + bias, NoNormCache(x, weight)")
    assert "x was changed in place" in in_place.outcomes[0].looks_like


def test_an_edge_without_a_name_is_described_by_its_shapes():
    assert _words(lambda rng: {}, {"x": np.zeros((0, 3)), "eps": 1.0, "w": np.zeros(3)}) == "x (0, 3), w (3,)"


def test_a_recording_answers_as_the_reference_did(worker, nonorm_properties):
    task, recorder = load().task("03.5"), Recorder()
    assert run_task(task, nonorm_properties, worker, recorder, 5).passed
    replay = Replay(recorder.answers, [5])
    assert run_task(task, nonorm_properties, worker, replay, 5).passed
    with pytest.raises(ValueError, match="seed: found 6, expected 5"):
        run_task(task, nonorm_properties, worker, replay, 6)
    arrays = sum(array.nbytes for _, parts in recorder.answers.values() for array in parts)
    assert arrays < 20_000  # what was drawn is drawn again, not recorded


def test_draws_depend_on_seed_task_and_property(worker):
    drawn = []

    def first(t):
        drawn.append(t.rng.random())

    def second(t):
        drawn.append(t.rng.random())

    for seed in (1, 1, 2):
        run(worker, f"{NONORM}:nonorm_forward", first, second, seed=seed)
    assert drawn[:2] == drawn[2:4] and len(set(drawn)) == 4


# --- comparing


SAME = [
    1,
    2.5,
    "a",
    None,
    True,
    [1, (2, 3)],
    {"a": np.ones(3), 2: [np.float32(1)]},
    {1, 2},
    np.array(["x"]),
    np.int64(3),
]


@pytest.mark.parametrize("value", SAME, ids=repr)
def test_equal_things_are_the_same(value):
    comparison.same("it", copy.deepcopy(value), value, 1e-12)


DIFFERENT = [
    (1, 2, "another value"), (1, True, "another value"), (True, 1.0, "another value"), ("a", "b", "another value"),
    ([1, 2], [1, 2, 3], "a list of 2, expected a list of 3"), ({"a": 1}, {"b": 1}, "keys of it: no 'b'; unexpected 'a'"),
    (None, np.ones(2), "it is None, expected an array float64[2]"), (np.ones(2), [1.0, 1.0], "expected a list of 2"),
    (np.ones(2, np.float32), np.ones(2), "float32 where float64 is expected"), (np.ones((2, 3)).T, np.ones((2, 3)), "transpose"),
    (np.array([1, 2]), np.array([1, 3]), "other values"), (np.array([np.nan]), np.array([1.0]), "NaN or infinity"),
    (np.array(["a"]), np.array([1.0]), "expected an array float64[1]"), (1j * np.ones(1), np.ones(1), "expected an array"),
    ({"a": {"b": [1.0]}}, {"a": {"b": [1.1]}}, ""),
    # one number is always some factor times another; zeros at padding are right under many wrong formulas
    (1.7, 1.0, "no common mistake"), (2.0, 1.0, "counted twice"),
    (np.array([0.0, 0.0, 1.0, 5.0]), np.array([0.0, 0.0, 3.0, 4.0]), "only zeros are right"),
    (np.array([0.0, 0.0, 3.0, 5.0]), np.array([0.0, 0.0, 3.0, 4.0]), "wrong only at the last index"),
    (np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.5, 3.5, 4.0]), "2 of 4 entries are right"),
    (np.array([-1e9, 1.0, 2.0]), np.array([-np.inf, 1.0, 2.0]), "a number where -inf is expected"),
    (np.array([-np.inf, 2.0, 4.0]), np.array([-np.inf, 1.0, 2.0]), "a constant factor 2"),
    (np.array([-np.inf, -np.inf, 2.0]), np.array([-np.inf, 1.0, 2.0]), "-inf where a number is expected"),
    (0.0, 1.0, "0 where another number"), (np.array([-np.inf, 1.0, np.inf]), np.array([-np.inf, 1.0, 2.0]), "NaN or infinity"),
]  # fmt: skip


@pytest.mark.parametrize(("yours", "expected", "words"), DIFFERENT, ids=lambda value: repr(value)[:20])
def test_different_things_are_said_to_be(yours, expected, words):
    with pytest.raises(Different) as caught:
        comparison.same("it", yours, expected, 1e-12)
    assert words in caught.value.looks_like


def test_the_path_to_a_difference_is_its_name():
    with pytest.raises(Different) as caught:
        comparison.same("it", {"a": [0, {"b": 1.0}]}, {"a": [0, {"b": 2.0}]}, 1e-12)
    assert caught.value.tensor == "it['a'][1]['b']" and [label for label, _ in caught.value.lines] == ["found"]


def test_a_long_key_is_abbreviated():
    with pytest.raises(Different) as caught:
        comparison.same("cuts", {"a" * 100: [1]}, {"a" * 100: [1, 2]}, 1e-12)
    assert caught.value.tensor == "cuts['aaaaaaaaaaaaaaaa...' (100 characters)]"
    with pytest.raises(Different) as caught:
        comparison.same("cuts", {}, {"b" * 100: 1}, 1e-12)
    assert caught.value.looks_like == "keys of cuts: no 'bbbbbbbbbbbbbbbb...' (100 characters)"


def test_a_special_case_s_dependence_gives_way_to_the_main_property(worker):
    """At a border a result depends on less, and a few numbers are others in another order."""

    def main(t):
        raise Different("y", (), "no common mistake", certainty=0, kind="other")

    def border(kind):
        def check(t):
            raise Different("y", (), f"a {kind}", certainty=2, kind=kind)

        return check

    task_ = task(f"{NONORM}:nonorm_forward")
    for kind, name in (("depends", "main"), ("permuted", "main"), ("constant factor", "border")):
        checks = [
            Property("01.1", "main", "main", 1, True, main),
            Property("01.1", "border", "border", 1, False, border(kind)),
        ]
        assert run_task(task_, checks, worker, Live(), 1).shown.name == name


def test_a_usual_mistake_is_named_and_never_a_right_result(worker):
    """A mistake may give the right numbers by chance, such as |average| where all numbers have one sign."""

    def given(found):
        def check(t):
            t.equal("y", found, np.ones(3), mistakes={"by chance": np.ones(3), "doubled": 2.0 * np.ones(3)})

        return check

    for value, words in (
        (np.ones(3), ""),
        (2.0 * np.ones(3), "doubled"),
        (np.arange(3.0), "wrong only at"),
        (None, "None"),
    ):
        outcome = run(worker, f"{NONORM}:nonorm_forward", given(value)).outcomes[0]
        assert words in outcome.looks_like and (outcome.state == PASSED) == (not words)
        assert (outcome.certainty == 2) == (words == "doubled") or not words


@pytest.mark.parametrize(("value", "words"), [
    ("np.float32(2.0)", "a float32 of NumPy's, expected a Python float"), ("np.array([2.0])", "an array of shape (1,)"),
])  # fmt: skip
def test_a_loss_is_a_python_float(value, words):
    code = f"def feature_map_transfer_forward(student, teacher, mask):\n    return {value}, None"
    function = "minimobilebert/distillation/feature_map_transfer.py:feature_map_transfer_forward"
    with Worker(ROOT) as worker:
        worker.install(function, code)
        result = run_task(load().task("11.1"), load_properties(load(), ["11.1"])["11.1"], worker, Live(), 1)
    assert words in " ".join(outcome.looks_like for outcome in result.outcomes)


def test_infinity_and_nan_may_be_expected():
    comparison.equal("y", np.array([np.inf, -np.inf, np.nan, 1.0]), np.array([np.inf, -np.inf, np.nan, 1.0]), 1e-12)
    with pytest.raises(Different):
        comparison.equal("y", np.array([np.inf, 1.0]), np.array([-np.inf, 1.0]), 1e-12)


# --- mistakes of an author


def test_an_author_s_mistakes_are_one_clear_line(tmp_path):
    course = load()
    lesson = course.lesson("03")
    folder = tmp_path / "lessons" / lesson.folder
    folder.mkdir(parents=True)
    import dataclasses

    here = dataclasses.replace(course, root=tmp_path, lessons=(lesson,))
    path = folder / "properties.py"
    with pytest.raises(ValueError, match="found no file, expected the properties of lesson 03"):
        load_properties(here)
    begin = "from minimobilebert.course.shared.properties import prop\n"
    for text, words in (
        ('@prop("09.9")\ndef f(t):\n    "x"', "f: found task '09.9', expected one of 03"),
        ('@prop("03.5")\ndef f(t):\n    pass', "f: found no docstring"),
        ('@prop("03.5")\ndef f(t):\n    "x"\n@prop("03.5")\ndef f(t):\n    "x"', "task 03.5: found f twice"),
        ('@prop("03.5")\ndef f(t):\n    "x"', "found no essential property"),
    ):
        path.write_text(begin + text + "\n")
        with pytest.raises(ValueError, match=words):
            load_properties(here)


def test_a_bundle_collects_the_usual_properties(monkeypatch):
    monkeypatch.setattr(bundles, "BACKWARDS", {})
    properties._collected.clear()
    bundles.forward_properties("01.1", lambda rng: {}, edges=[lambda rng: {}])
    bundles.backward_properties("01.2", lambda rng: {}, forward="f", wrt=(), large=lambda rng: {})
    prop("01.3", weight=3)(len)
    names = [(each.task, each.name) for each in properties._collected]
    properties._collected.clear()
    assert names == [
        *(("01.1", name) for name in ("values", "cache_kept", "sizes", "types", "strides", "untouched")),
        *(("01.2", name) for name in ("gradients", "exactly", "types", "strides", "untouched", "in_time")),
        ("01.3", "len"),
    ]


def test_the_states_are_words():
    assert (PASSED, FAILED, NOT_WRITTEN) == ("passed", "failed", "not written")


# --- what a call does besides returning its result

SIDE_EFFECTS = "def nonorm_backward(dy, cache):\n    t = tuple(range(dy.ndim - 1))\n    {}\n    return {}, (dy * cache.x).sum(t), {}"


@pytest.mark.parametrize(("line", "dx", "dbias", "words"), [
    ("pass", "dy * cache.weight", "dy.sum(t) if t else dy", "result 3 is the memory of dy: a change of one changes both"),
    ("if dy.ndim == 1: cache.x[...] = 2 * cache.x", "dy * cache.weight", "dy.sum(t)", "cache.x was changed in place"),
    ("dy *= 2; dy /= 2; dy[dy == 7] = 8; dy += 1e-300 * dy.size", "dy * cache.weight", "dy.sum(t)", None),
])  # fmt: skip
def test_side_effects_at_a_special_case_are_seen(line, dx, dbias, words, nonorm_properties):
    with Worker(ROOT) as worker:
        worker.install("minimobilebert/ops/nonorm.py:nonorm_backward", SIDE_EFFECTS.format(line, dx, dbias))
        result = run_task(load().task("03.5"), nonorm_properties, worker, Live(), 1)
    if words is None:  # the same bits as before are no change
        assert result.passed, format_result(result, "x")
    else:
        assert words in format_result(result, "x") and 0.0 < result.score < result.task.points or "wrong" in words


def test_inputs_changed_beside_right_values_cost_the_untouched_property(worker):
    def values(t):
        x = t.rng.normal(size=4)
        t.equal("dx", t.call(x, None), x)

    def untouched(t):
        """nothing is changed"""
        t.equal("dx", t.call(np.ones(1), None), np.ones(1))

    function = "minimobilebert/ops/dropout.py:dropout_backward"
    code = "def dropout_backward(dy, cache):\n    y = dy.copy()\n    if dy.size > 1: dy *= 3\n    return y"
    result = run(worker, function, values, untouched, code=code)
    assert [outcome.state for outcome in result.outcomes] == ["passed", "failed"]
    assert "dy was changed in place" in result.outcomes[1].looks_like


def test_a_generator_s_next_number_and_changes_beside_it_are_seen(worker):
    def dropout(t):
        x = t.rng.normal(size=(3, 4))
        t.call(x, 0.5, Seeded(7))
        rng = np.random.default_rng(7)
        t.expected(lambda: reference(t.task.function)(x, 0.5, rng))
        t.require(t.drawn_next == [int(rng.bit_generator.random_raw())], "another state")
        assert t.changed == changed

    function, changed = "minimobilebert/ops/dropout.py:dropout_forward", ""
    assert run(worker, function, dropout).passed
    code = "def dropout_forward(x, rate, rng):\n    rng.random()\n    {}return x, None"
    assert run(worker, function, dropout, code=code.format("")).outcomes[0].looks_like == "another state"
    changed = "x was changed in place: write to a new array, or to a copy"
    run(worker, function, dropout, code=code.format("x += 1\n    "))


def test_entries_added_or_removed_are_a_change():
    for after, words in (({"a": 1.0, "b": 2.0}, "was added to"), ({}, "was removed from")):
        with pytest.raises(Different, match=words):
            comparison.unchanged("grads", {"a": 1.0}, after)

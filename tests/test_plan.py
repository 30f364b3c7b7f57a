"""`plan`: its equations against simulations, message by message, and against what distributed/reduction.py sends."""

import json
import math

import numpy as np
import pytest
from fine_tuning_data import MOBILE, no_dropout, write_model
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import CONFIGS

from minimobilebert.bench import plan as plans
from minimobilebert.bench.plan import Request, algorithms, job_of, make_plan, memory_of_rank, numbers_of
from minimobilebert.bench.step_cost import (
    Job,
    Step,
    StepTimes,
    efficiency,
    powers_of_two,
    seconds_of_part,
    step,
    stops_scaling,
)  # fmt: skip
from minimobilebert.bench.step_times import Silent, measure_step, part_rows, seconds_of_sums
from minimobilebert.cli import main
from minimobilebert.commands.plan import _REDUCTIONS
from minimobilebert.config import preset
from minimobilebert.distributed import cost, reduction
from minimobilebert.distributed.communicator import current
from minimobilebert.distributed.fixed_tree import nodes_inside, tree_sum
from minimobilebert.distributed.reduction import Numbers, Reduction, parts_of_rank
from minimobilebert.distributed.threads import run_ranks
from minimobilebert.model.parameters import parameter_shapes
from minimobilebert.model.parts import bounds
from minimobilebert.support import quantities

NETWORK = cost.Network(1e6, 3e-3, 2e-4)


# Simulations: each message is an event. A port sends one message at a time, and receives one at a time.


class Ports:
    """The network of N ranks; times in seconds."""

    def __init__(self, ranks, network):
        self.sends, self.receives, self.network = [0.0] * ranks, [0.0] * ranks, network

    def send(self, source, target, size, ready):
        """A message that the sender has at `ready` -> when the receiver has it"""
        travel = size / self.network.bandwidth
        self.sends[source] = max(self.sends[source], ready) + self.network.overhead + travel
        arrives = self.sends[source] + self.network.latency
        self.receives[target] = max(self.receives[target] + travel, arrives)
        return self.receives[target]


def simulated_ring(ranks, size, network):
    ports, ready = Ports(ranks, network), [0.0] * ranks
    for _ in range(2 * (ranks - 1)):
        ready = [ports.send((rank - 1) % ranks, rank, size / ranks, ready[rank - 1]) for rank in range(ranks)]
    return max(ready)


def simulated_direct(ranks, size, network):
    ready = [0.0] * ranks
    for _ in ("reduce-scatter", "all-gather"):
        ports, arrived = Ports(ranks, network), list(ready)
        for distance in range(1, ranks):  # each rank begins with its neighbour, so that no port has a queue
            for rank in range(ranks):
                target = (rank + distance) % ranks
                arrived[target] = max(arrived[target], ports.send(rank, target, size / ranks, ready[rank]))
        ready = arrived
    return max(ready)


def simulated_halving(ranks, size, network):
    """For powers of two"""
    ready, distance, pieces = [0.0] * ranks, ranks // 2, []
    while distance:
        size /= 2
        pieces.append((distance, size))
        distance //= 2
    for distance, piece in [*pieces, *reversed(pieces)]:
        ports = Ports(ranks, network)
        ready = [ports.send(rank ^ distance, rank, piece, ready[rank ^ distance]) for rank in range(ranks)]
    return max(ready)


def simulated_tree(ranks, size, network):
    """For powers of two: up in rounds of distance 1, 2, 4 ..., and down in the opposite order"""
    ports, ready = Ports(ranks, network), [0.0] * ranks
    distances = [1 << level for level in range((ranks - 1).bit_length())]
    for distance in distances:
        for rank in range(0, ranks, 2 * distance):
            ready[rank] = max(ready[rank], ports.send(rank + distance, rank, size, ready[rank + distance]))
    for distance in reversed(distances):
        for rank in range(0, ranks, 2 * distance):
            ready[rank + distance] = ports.send(rank, rank + distance, size, ready[rank])
    return max(ready)


SIMULATIONS = {"direct": simulated_direct, "ring": simulated_ring, "halving": simulated_halving, "tree": simulated_tree}


@pytest.mark.parametrize("network", [NETWORK, cost.Network(1e9, 1e-2, 0.0), cost.Network(1e5, 0.0, 0.0)])
@pytest.mark.parametrize("ranks", [1, 2, 4, 8, 32])
@pytest.mark.parametrize("algorithm", SIMULATIONS)
def test_equations_are_what_a_simulation_of_each_message_finds(algorithm, ranks, network):
    assert set(SIMULATIONS) == set(cost.ALGORITHMS)
    expected = SIMULATIONS[algorithm](ranks, 4e5, network)
    found = cost.seconds_of(cost.ALGORITHMS[algorithm](ranks, 4e5), network)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("ranks", [3, 5, 6, 13])
@pytest.mark.parametrize("algorithm", ["direct", "ring"])
def test_equations_with_any_number_of_ranks(algorithm, ranks):
    found = cost.seconds_of(cost.ALGORITHMS[algorithm](ranks, 4e5), NETWORK)
    assert found == pytest.approx(SIMULATIONS[algorithm](ranks, 4e5, NETWORK), rel=1e-9)


def test_which_algorithm_is_the_fastest():
    """Long arrays: a tree is the slowest. One number: it is the fastest, where messages cost processor time."""
    network = cost.Network(1e9, 0.0, 1e-4)
    long, short = (
        {name: cost.seconds_of(traffic(64, size), network) for name, traffic in cost.ALGORITHMS.items()}
        for size in (1e9, 4)
    )
    assert max(long, key=long.get) == "tree"
    assert short["tree"] == pytest.approx(short["halving"], rel=1e-3) and short["tree"] < short["direct"] / 5


# The real reduction, whose messages are counted


def _recorded(ranks, parts, length, how="deterministic"):
    """What each rank sends and receives -> [rank] of lists, by exchange, of (messages, bytes sent, bytes received)"""

    def run():
        communicator, log = current(), []
        start = communicator.start

        def recorded(outgoing, incoming, tag):
            log.append((len(outgoing), sum(a.nbytes for _, a in outgoing), sum(a.nbytes for _, a in incoming)))
            return start(outgoing, incoming, tag)

        communicator.start = recorded
        own = parts_of_rank(communicator.rank, ranks, parts)
        leaf = lambda low, high: np.ones(length, np.float32) if high - low == 1 else None  # noqa: E731
        nodes = {node: tree_sum(*node, leaf) for node in nodes_inside(*own, 0, parts)}
        Reduction(communicator, nodes, Numbers(length, np.dtype(np.float32), parts, how)).wait()
        return log

    return run_ranks(ranks, run)


@settings(max_examples=30, deadline=None)
@given(ranks=st.integers(2, 6), more=st.integers(0, 9))
def test_the_traffic_of_the_real_reduction_is_the_one_of_the_equations(ranks, more):
    parts, length = ranks + more, 60  # which every number of ranks divides
    logs = _recorded(ranks, parts, length)
    traffic = cost.direct(ranks, 4 * length, parts)
    assert {len(log) for log in logs} == {traffic.rounds}
    assert max(sum(messages for messages, _, _ in log) for log in logs) == traffic.messages
    busiest = sum(max(max(log[phase][1:]) for log in logs) for phase in range(traffic.rounds))
    assert busiest == traffic.bytes


@pytest.mark.parametrize(("ranks", "parts"), [(2, 2), (3, 7), (5, 16)])
def test_the_traffic_of_the_real_ring(ranks, parts):
    logs, traffic = _recorded(ranks, parts, 60, "ring"), cost.traffic_of("ring", ranks, 240, parts)
    for log in logs:
        assert (len(log), sum(messages for messages, _, _ in log)) == (traffic.rounds, traffic.messages)
        assert sum(sent for _, sent, _ in log) == traffic.bytes


def test_the_command_knows_every_reduction():
    assert _REDUCTIONS == reduction.REDUCTIONS


def test_bfloat16_sends_half():
    logs = _recorded(4, 4, 60, "bfloat16")
    sent = sum(bytes for _, bytes, _ in logs[0])
    assert sent == cost.traffic_of("bfloat16", 4, 240, 4).bytes == cost.traffic_of("deterministic", 4, 240, 4).bytes / 2


@pytest.mark.parametrize(("ranks", "parts"), [(2, 2), (3, 7), (4, 4), (4, 6), (5, 16)])
def test_additions_of_the_real_reduction(ranks, parts, monkeypatch):
    counted, tree = [], reduction.tree_sum

    def add(a, b):
        counted.append(len(b))
        return a + b

    length, own = 60, parts_of_rank(0, ranks, parts)
    nodes = {node: np.ones(length, np.float32) for node in nodes_inside(*own, 0, parts)}
    monkeypatch.setattr(reduction, "tree_sum", lambda low, high, known: tree(low, high, known, add))
    Reduction(Silent(ranks), nodes, Numbers(length, np.dtype(np.float32), parts)).wait()
    assert sum(counted) == cost.additions(ranks, parts) * length


# Steps


TIMES = StepTimes({1: 1.0, 2: 1.5, 4: 2.5, 8: 5.0}, update=0.25, batch=0.5, sums={0.5: 0.1, 1.0: 0.2})
JOB = Job(numbers=250_000, batch=64, part=8)


def test_a_step_on_four_ranks_by_hand():
    """8 parts of 8 rows, two on each rank; 1 MB; three quarters of a number are added for each number."""
    found = step(JOB, 4, TIMES, NETWORK)
    network = 2 * 3e-3 + 6 * 2e-4 + 1.5e6 / 1e6 + 2 * (3e-3 + 3 * 2e-4)
    assert found == pytest.approx(Step(gradients=10.0, sums=0.15, network=network, fixed=0.75))
    assert found.seconds == pytest.approx(10.9 + network)
    assert found.communication == pytest.approx((0.15 + network) / found.seconds)


def test_a_step_on_one_rank_has_no_network():
    assert step(JOB, 1, TIMES, NETWORK) == pytest.approx((40.0, 0.0, 0.0, 0.75))


@pytest.mark.parametrize("ranks", [1, 2, 3, 5, 8, 13, 40, 64])
def test_the_busiest_rank_by_enumeration(ranks):
    """Parts of one batch, by the functions that training uses"""
    parts = JOB.parts(ranks)
    rows = np.diff(bounds(JOB.batch, parts))
    loads = [
        sum(seconds_of_part(int(rows[part]), TIMES.gradients) for part in range(*parts_of_rank(rank, ranks, parts)))
        for rank in range(ranks)
    ]
    assert step(JOB, ranks, TIMES, NETWORK).gradients == pytest.approx(max(loads))
    assert max(rows) <= JOB.part and parts >= ranks


def test_times_between_measured_numbers_of_rows():
    assert seconds_of_part(3, TIMES.gradients) == pytest.approx(2.0)
    assert seconds_of_part(8, TIMES.gradients) == 5.0
    assert seconds_of_part(16, {8: 5.0}) == 10.0 and seconds_of_part(1, {8: 4.0}) == 0.5


@pytest.mark.parametrize(("bandwidth", "expected"), [(1e5, 15.0 - 10 / 3), (1e9, 0.0)])
def test_overlap_hides_two_thirds_of_the_last_part_and_no_more(bandwidth, expected):
    """1.5 MB of traffic on four ranks; the last part takes 5 s"""
    network = cost.Network(bandwidth, 0.0)
    found = step(JOB._replace(overlap=True), 4, TIMES, network)
    assert found.network == pytest.approx(expected, abs=1e-2)
    assert found.gradients == step(JOB, 4, TIMES, network).gradients


def test_what_is_no_layer_s_own_is_not_hidden():
    """1.5 s of network and 10/3 s of backward: a tenth travels at the end."""
    found = step(JOB._replace(overlap=True, rest=0.1), 4, TIMES, cost.Network(1e6, 0.0))
    assert found.network == pytest.approx(0.15)


def test_buckets_cost_messages():
    network = cost.Network(1e15, 0.0, 1e-3)
    one, five = (step(JOB._replace(overlap=True, rest=1.0, buckets=buckets), 4, TIMES, network) for buckets in (1, 5))
    assert five.network - one.network == pytest.approx(4 * 6 * 1e-3)


def test_the_buckets_of_a_job_are_those_that_travel():
    job = job_of(CONFIGS["bert"], 8, 2)
    shapes = parameter_shapes(CONFIGS["bert"], "pretraining")
    rest = sum(math.prod(shape) for name, shape in shapes.items() if ".encoder.layer." not in name)
    assert job.rest == pytest.approx(rest / job.numbers) and 0.0 < job.rest < 1.0 and job.buckets == 2
    assert job_of(preset("mobilebert"), 8, 2).buckets > 20


def test_efficiency_and_where_it_falls_below_a_half():
    first = step(JOB, 1, TIMES, NETWORK)
    by_hand = [efficiency(first, step(JOB, ranks, TIMES, NETWORK), ranks) for ranks in powers_of_two(64)]
    assert by_hand[0] == 1.0 and by_hand[1] > 0.5 > by_hand[-1]
    expected = next(ranks for ranks, each in zip(powers_of_two(64), by_hand, strict=True) if each < 0.5)
    assert stops_scaling(JOB, TIMES, NETWORK) == expected
    assert stops_scaling(JOB, StepTimes({8: 5.0}), cost.Network(1e15, 0.0)) is None


def test_more_ranks_than_rows_are_refused():
    with pytest.raises(ValueError, match="found 65 with a batch of 64 rows, expected at most one for each row"):
        step(JOB, 65, TIMES, NETWORK)


def test_powers_of_two():
    assert (powers_of_two(1), powers_of_two(8), powers_of_two(12)) == ([1], [1, 2, 4, 8], [1, 2, 4, 8, 12])
    assert (part_rows(1), part_rows(6)) == ([1], [1, 2, 4, 6])


# The plan


CONFIG = CONFIGS["mobilebert"]


def _request(ranks=4, **changes):
    job = Job(numbers_of(CONFIG), 64, 8)._replace(**changes)
    return Request("tiny", CONFIG, job, 9, 3_600 * 64 * 9, ranks, NETWORK)


def test_an_epoch_is_as_many_steps_as_its_tokens():
    rows = make_plan(_request(), TIMES).rows
    assert [row["ranks"] for row in rows] == [1, 2, 4]
    for row in rows:
        assert row["epoch_hours"] == pytest.approx(row["seconds"])  # 3,600 steps
        assert row["seconds"] == pytest.approx(row["gradients"] + row["sums"] + row["network"] + row["fixed"])


def test_the_corpus_is_the_one_of_the_bert_paper():
    """1,000,000 steps of 256 x 512 tokens are about 40 epochs of 3.3 billion words."""
    assert 1_000_000 * 256 * 512 / 40 == pytest.approx(plans.CORPUS_TOKENS, rel=0.01)


def test_memory_of_a_rank():
    """Weights, gradients and two moments of the same size; partial sums of 8, 4 and 2 parts, and what arrives."""
    weights = 4 * numbers_of(CONFIG)
    alone, four, eight = (memory_of_rank(_request(), ranks) for ranks in (1, 4, 8))
    for found in (alone, four, eight):
        assert (found["parameters"], found["gradients"], found["moments"]) == (weights, weights, 2 * weights)
        kinds = ("parameters", "gradients", "moments", "activations", "sums")
        assert found["total"] == sum(found[kind] for kind in kinds)
    assert alone["sums"] == 4 * weights and alone["sharded"] == alone["total"]
    assert four["sums"] == 2 * weights
    saved = four["total"] - four["sharded"]
    assert 0.6 * 2 * weights < saved <= 0.75 * 2 * weights  # whole parameters have one owner
    assert memory_of_rank(_request(batch=8), 1)["sums"] == 0  # one part is not added to anything


def test_every_algorithm_has_a_time_for_each_number_of_ranks():
    found = algorithms(_request())
    assert set(found) == set(cost.ALGORITHMS) and {len(seconds) for seconds in found.values()} == {3}
    for name, seconds in found.items():
        assert seconds[0] == 0.0 and seconds == sorted(seconds), name


# Measuring


def test_a_step_is_measured_for_each_number_of_rows(capfd):
    times = measure_step(CONFIG, 64, 3, 9, "bfloat16", repeats=1)
    assert list(times.gradients) == [1, 2, 3] and list(times.sums) == [0.5, 15 / 16]
    for seconds in (*times.gradients.values(), times.update, times.batch, *times.sums.values()):
        assert 0.0 < seconds < 60.0


@pytest.mark.parametrize("reduction", _REDUCTIONS)
def test_sums_take_longer_with_more_numbers(reduction):
    short, long = (
        seconds_of_sums({"w": np.zeros(numbers, np.float32)}, reduction, 4) for numbers in (1_000, 3_000_000)
    )
    assert 0.0 < short < long


# The command


def _run(capsys, *words):
    code = main(["plan", "--model", "classroom-1", "--length", "64", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


GIVEN = ("--ranks", "16", "--network", "10Gbit", "--step-seconds", "0.05", "--update-seconds", "0.002")


def test_the_table_and_its_json_say_the_same(capsys):
    code, out, _ = _run(capsys, *GIVEN, "--batch", "64")
    assert code == 0
    code, as_json, _ = _run(capsys, *GIVEN, "--batch", "64", "--json")
    found = json.loads(as_json)
    assert code == 0 and [row["ranks"] for row in found["rows"]] == [1, 2, 4, 8, 16]
    lines = [line.split() for line in out.splitlines()]
    for row in found["rows"]:
        cells = next(line for line in lines if line[:1] == [str(row["ranks"])])
        assert cells[1] == f"{row['seconds']:.4g}" and f"{row['efficiency']:.1%}" in cells
    assert found["network"] == {"bandwidth": 1.25e9, "latency": 5e-5, "overhead": 5e-6}
    assert "3,300,000,000 tokens" in out and "BooksCorpus" in out and "ZeRO stage 1" in out
    assert f"stops scaling at {found['stops_scaling']}" in out or found["stops_scaling"] is None


def test_overlap_is_never_slower(capsys):
    slow = [json.loads(_run(capsys, *GIVEN, "--network", "1Gbit", "--json", *more)[1]) for more in ((), ("--overlap",))]
    for plain, overlapped in zip(*(found["rows"] for found in slow), strict=True):
        assert overlapped["seconds"] <= plain["seconds"]
    assert slow[1]["rows"][-1]["seconds"] < slow[0]["rows"][-1]["seconds"]


def test_it_measures_where_no_seconds_are_given(capsys):
    words = ("--ranks", "4", "--network", "1Gbit", "--batch", "8", "--part", "2", "--threads", "1", "--tokens", "51200")
    code, out, _ = _run(capsys, *words)
    assert code == 0 and "measured on this machine, 1 thread a rank" in out and "51,200 tokens\n(--tokens)" in out


def test_the_chart(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="needs the extra plots: make setup")
    code, *_ = _run(capsys, *GIVEN, "--svg", str(tmp_path / "plan.svg"))
    text = (tmp_path / "plan.svg").read_text(encoding="utf-8")
    assert code == 0 and text.startswith("<svg") and "efficiency, %" in text and "seconds a step" in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--network", "10"), "--network: found '10', expected a number above 0 with one of the units kbit, Mbit"),
        (("--network", "0Gbit"), "--network: found '0Gbit', expected a number above 0 with one of the units"),
        (("--latency", "5 parsecs"), "--latency: found '5 parsecs', expected a number with one of the units ns, us,"),
        (("--ranks", "8192"), "--ranks: found 8192, expected at most the 4096 rows of --batch"),
        (("--length", "65"), "--length: found 65, expected at most 64: classroom-1 has no more positions"),
        (("--model", "no-such-model"), "no-such-model"),
    ],
)
def test_what_is_refused(capsys, words, expected):
    code, out, err = _run(capsys, *GIVEN, *words)
    assert (code, out) == (2, "") and expected in err and err.count("\n") == 1


def test_seconds_of_an_update_need_those_of_a_step(capsys):
    code, _, err = _run(capsys, "--ranks", "2", "--network", "1Gbit", "--update-seconds", "1")
    assert code == 2 and "--update-seconds: found it without --step-seconds" in err


def test_quantities():
    assert quantities.bandwidth("10Gbit", "n") == 1.25e9 and quantities.bandwidth("8mbit", "n") == 1e6
    assert quantities.seconds("50us", "n") == 5e-5 and quantities.seconds("0s", "n") == 0.0
    for text in ("", "us", "5", "-5us", "1e3us", "5us5", "nanus", "infs"):
        with pytest.raises(ValueError, match="n: found"):
            quantities.seconds(text, "n")


def test_a_folder_is_a_model_too(tmp_path, capsys):
    config = no_dropout(MOBILE)
    write_model(tmp_path / "mobile", config, head="pretraining")
    words = ("--length", "9", "--batch", "16")
    code, out, _ = _run(capsys, *GIVEN, "--model", str(tmp_path / "mobile"), *words)
    assert code == 0 and f"{numbers_of(config):,} parameters with heads" in out

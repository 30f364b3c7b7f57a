"""What lesson 22's functions must do.

The ring runs in the student's process on ranks that are neither threads nor processes: see `on_ranks`.
"""

import itertools

import numpy as np

from minimobilebert.course.shared.properties import prop
from minimobilebert.distributed.ring import segments_of
from minimobilebert.model.parts import bounds
from minimobilebert.tasks.classification_batches import ClassificationBatch
from minimobilebert.text.batches import PretrainingBatch

FLOAT = np.float32
NAMES = ("examples", "tokens", "words", "pairs")


# --- 22.1


def texts(rng, lengths, masked):
    """A pre-training batch of texts with these lengths; masked: how many masked words each of them has"""
    mask = np.arange(max(lengths) + 1) < np.array(lengths)[:, None]  # a column of padding behind the longest
    positions = [
        row * mask.shape[1] + np.sort(rng.choice(length, count, replace=False))
        for row, (length, count) in enumerate(zip(lengths, masked, strict=True))
    ]
    positions = np.concatenate(positions).astype(np.int64)
    return PretrainingBatch(
        rng.integers(5, 90, mask.shape), rng.integers(0, 2, mask.shape), mask, positions,
        rng.integers(5, 90, len(positions)), rng.integers(0, 2, len(lengths)),
    )  # fmt: skip


def cut(t, batch, parts):
    """-> list of (batch, shares {name: number})"""
    found = t.call(batch, parts)
    t.require(isinstance(found, list), f"found {type(found).__name__}, expected a list of Part", "parts")
    for each in found:
        right = hasattr(each, "shares") and hasattr(each, "batch") and hasattr(each.shares, "pairs")
        t.require(right, "expected Part(batch, Shares(...))", "parts")
    return [(each.batch, {name: float(getattr(each.shares, name)) for name in NAMES}) for each in found]


def compare_means(t, batch, parts):
    """Means of random numbers over the parts' examples, tokens and words add up to those over the batch"""
    found = cut(t, batch, parts)
    edges = bounds(len(batch.input_ids), parts)
    t.require(len(found) == len(edges) - 1, f"found {len(found)}, expected {len(edges) - 1}", "number of parts")
    for name, rows, count in (
        ("examples", np.arange(len(batch.input_ids)), len(batch.input_ids)),
        ("tokens", np.nonzero(batch.attention_mask)[0], int(batch.attention_mask.sum())),
        ("words", batch.masked_positions // batch.input_ids.shape[1], len(batch.masked_positions)),
    ):
        losses = t.rng.normal(size=count) + 2.0  # one for each example, token or masked word
        total = 0.0
        for part, (_, shares) in enumerate(found):
            inside = (rows >= edges[part]) & (rows < edges[part + 1])
            total += shares[name] * losses[inside].mean() if inside.any() else 0.0
        t.equal(f"sum of share times mean, {name}", np.array(total), losses.mean())
        shares = np.array([shares[name] for _, shares in found])
        counts = np.histogram(rows, edges)[0]
        t.equal(f"shares of {name}", shares, counts / counts.sum())


@prop("22.1", weight=4, essential=True)
def means(t):
    """the parts' means, weighted with their shares, add up to the mean of the batch: for examples, tokens and words"""
    for lengths, masked, parts in (
        ((9, 4, 7, 3, 8), (3, 1, 2, 1, 4), 2),
        ((2, 8, 5, 6, 3, 7, 4), (1, 4, 0, 2, 1, 3, 1), 3),
        ((5, 2, 6), (2, 1, 3), 3),
    ):
        with t.case(f"{len(lengths)} texts in {parts} parts"):
            compare_means(t, texts(t.rng, lengths, masked), parts)


@prop("22.1", weight=2, essential=True)
def rows(t):
    """each part has its rows, in order, and its own masked words"""
    batch, parts = texts(t.rng, (6, 3, 5, 7, 4), (2, 1, 1, 3, 2)), 3
    found = cut(t, batch, parts)
    edges = bounds(5, parts)
    length = batch.input_ids.shape[1]
    for part, (piece, _) in enumerate(found):
        inside = slice(edges[part], edges[part + 1])
        for name in ("input_ids", "token_type_ids", "attention_mask", "next_sentence_labels"):
            t.equal(f"{name} of part {part}", getattr(piece, name), getattr(batch, name)[inside], 0.0)
        row = batch.masked_positions // length
        masked = (row >= edges[part]) & (row < edges[part + 1])
        positions = batch.masked_positions[masked] - edges[part] * length
        t.equal(f"masked_positions of part {part}", piece.masked_positions, positions, 0.0)
        t.equal(f"masked_labels of part {part}", piece.masked_labels, batch.masked_labels[masked], 0.0)


@prop("22.1", weight=2)
def pairs(t):
    """pairs are those of texts inside of one part: n (n - 1) of n texts"""
    for texts_in_all, parts in ((7, 3), (5, 4), (6, 2)):
        batch = texts(t.rng, [3] * texts_in_all, [1] * texts_in_all)
        counts = np.diff(bounds(texts_in_all, parts))
        right = counts * (counts - 1) / (counts * (counts - 1)).sum()
        with t.case(f"{texts_in_all} texts in {parts} parts"):
            t.equal("shares of pairs", np.array([shares["pairs"] for _, shares in cut(t, batch, parts)]), right)


@prop("22.1", weight=2)
def nothing_to_count(t):
    """where a batch has none of a thing, its shares are 0; so are those of a part that has none"""
    for words, masked, right in (("one part without masked words", (0, 0, 2, 1), [0.0, 1.0]),
                                 ("no masked words at all", (0, 0, 0, 0), [0.0, 0.0])):  # fmt: skip
        with t.case(words):
            found = cut(t, texts(t.rng, (4, 3, 6, 5), masked), 2)
            t.equal("shares of words", np.array([shares["words"] for _, shares in found]), right)
    with t.case("every text a part of its own: no pairs"):
        found = cut(t, texts(t.rng, (4, 3, 6), (1, 1, 2)), 3)
        t.equal("shares of pairs", np.array([shares["pairs"] for _, shares in found]), np.zeros(3))
    with t.case("a batch without masked words in its fields"):
        mask = np.arange(5) < np.array([[5], [2], [4]])
        batch = ClassificationBatch(t.rng.integers(5, 90, mask.shape), np.zeros(mask.shape, int), mask, np.arange(3))
        found = cut(t, batch, 2)
        t.equal("shares of words", np.array([shares["words"] for _, shares in found]), np.zeros(2))
        t.equal("shares of tokens", np.array([shares["tokens"] for _, shares in found]), np.array([5, 6]) / 11)
        t.equal("labels", np.concatenate([piece.labels for piece, _ in found]), np.arange(3), 0.0)


@prop("22.1", weight=1)
def whole(t):
    """one part is the batch, with shares of 1; there are no more parts than rows"""
    batch = texts(t.rng, (5, 3, 4), (1, 2, 1))
    single = texts(t.rng, (5,), (0,))
    for words, given, parts in (("one part", batch, 1), ("one row", single, 4)):
        with t.case(words):
            found = cut(t, given, parts)
            t.require(len(found) == 1, f"found {len(found)}, expected 1", "number of parts")
            t.equal("input_ids", found[0][0].input_ids, given.input_ids, 0.0)
            t.equal("shares", np.array([found[0][1][name] for name in NAMES]), np.ones(4))
    with t.case("more parts than rows"):
        compare_means(t, batch, 8)


# --- 22.2


def added(low, high, leaves, stored):
    """tree_sum(low, high, known) of leaves {part: array}, with `stored` {(low, high): array} known as well

    -> the sum; which nodes were asked for; how many of the leaves were alive at the same time, at most
    """
    import weakref

    from minimobilebert.distributed.fixed_tree import tree_sum

    asked, made, alive = [], [], [0]

    def known(a, b):
        asked.append((a, b))
        if (a, b) in stored:
            return stored[a, b].copy()
        if b - a != 1:
            return None
        array = leaves[a].copy()
        made.append(weakref.ref(array))
        alive.append(sum(each() is not None for each in made))
        return array

    return tree_sum(low, high, known), asked, max(alive)


def written_out(low, high):
    """tree_sum of texts: the formula by which parts are added, such as ((0+1)+2)"""
    from minimobilebert.distributed.fixed_tree import tree_sum

    return tree_sum(low, high, lambda a, b: str(a) if b - a == 1 else None, lambda left, right: f"({left}+{right})")


def untouched(leaves):
    """The sum of arrays that belong to somebody else -> the sum, the arrays afterwards"""
    from minimobilebert.distributed.fixed_tree import tree_sum

    return tree_sum(0, len(leaves), lambda a, b: leaves[a] if b - a == 1 else None), leaves


def unequal(rng, parts, length=6):
    """Numbers of very different sizes, so that each order of additions has other bits -> {part: [length] float32}"""
    numbers = rng.normal(size=(parts, length)) * 10.0 ** rng.integers(-3, 4, (parts, length))
    return {part: row.astype(FLOAT) for part, row in enumerate(numbers)}


def compare_tree(t, low, high, leaves, stored=()):
    stored = dict(stored)
    right = t.expected(lambda: added(low, high, leaves, stored)[0])
    found, asked, alive = t.run(added, low, high, leaves, stored)
    t.require(isinstance(found, np.ndarray), f"found {type(found).__name__}, expected an array", "sum")
    t.equal(f"sum of node ({low}, {high})", found, right, 0.0, dtype=right.dtype)
    return asked, alive


@prop("22.2", weight=4, essential=True)
def order(t):
    """the parts are added along the tree that is drawn, bit for bit"""
    for parts in (1, 2, 3, 5, 6, 7, 11):
        with t.case(f"{parts} parts"):
            compare_tree(t, 0, parts, unequal(t.rng, parts, 20))
    with t.case("a node in the middle"):
        compare_tree(t, 3, 10, unequal(t.rng, 10, 20))


@prop("22.2", weight=3, essential=True)
def known_nodes(t):
    """a node that is known is taken as it is, and nothing below it is asked for"""
    leaves = unequal(t.rng, 9)
    for node in ((0, 4), (4, 6), (6, 9), (0, 9)):
        with t.case(f"node {node} of nine parts"):
            stored = {node: t.rng.normal(size=6).astype(FLOAT)}  # no sum of leaves: only who asks for it sees it
            asked, _ = compare_tree(t, 0, 9, leaves, stored)
            inside = [each for each in asked if node[0] <= each[0] and each[1] <= node[1] and each != node]
            t.require(not inside, f"found {inside[:1]} below the known node {node}", "asked for")


@prop("22.2", weight=2, essential=True)
def once(t):
    """each part is asked for once, from the first to the last: asking is what computes its gradients"""
    for parts in (5, 8):
        asked, _ = compare_tree(t, 0, parts, unequal(t.rng, parts))
        leaves = [a for a, b in asked if b - a == 1]
        t.require(leaves == list(range(parts)), f"found {leaves}, expected each of {parts} parts once", "asked for")


@prop("22.2", weight=2, essential=True)
def any_sum(t):
    """whatever is added, it is added by add(left, right), in every node"""
    for low, high in ((0, 2), (0, 7), (5, 11)):
        with t.case(f"texts, node ({low}, {high})"):
            right = t.expected(lambda low=low, high=high: written_out(low, high))
            t.same("formula", t.run(written_out, low, high), right)


@prop("22.2", weight=2)
def memory(t):
    """of 32 parts at most seven are in memory at the same time: a sum is kept, its parts are not"""
    _, alive = compare_tree(t, 0, 32, unequal(t.rng, 32))
    t.require(alive <= 7, f"found {alive} of 32 alive at the same time, expected at most 7", "parts")


@prop("22.2", weight=1)
def types(t):
    """float32 stays float32, arrays may have any shape, and what known() returns is left as it is"""
    compare_tree(t, 0, 3, {part: t.rng.normal(size=(2, 3)).astype(FLOAT) for part in range(3)})
    with t.case("float64"):
        compare_tree(t, 0, 5, {part: t.rng.normal(size=4) for part in range(5)})
    with t.case("integers beyond 2^53"):
        compare_tree(t, 0, 3, {part: t.rng.integers(2**60, 2**61, 3) for part in range(3)})
    with t.case("arrays of somebody else"):
        leaves = [t.rng.normal(size=4) for _ in range(5)]
        total, after = t.run(untouched, leaves)
        t.equal("sum", total, sum(leaves))
        t.unchanged([f"part {part}" for part in range(5)], leaves, after)


# --- 22.3 and 22.4


def on_ranks(name, arrays):
    """Run a function of ring.py on one rank for each array, without threads and without MPI

    Where a rank would have to wait for another, it is stopped, and later run again from its first line: what it has
    sent and received already is then sent and received at once. As in MPI, a message is through when BOTH sides are at
    it, so ranks that all send first and receive later wait for ever.

    -> the arrays afterwards; for each rank the list of (receiver, how many numbers, segment), in the order of sending;
    segment: its number, or None if what was sent is no segment of the rank's array
    """
    import numpy as np

    from minimobilebert.distributed import ring

    size = len(arrays)
    segments = ring.segments_of(len(arrays[0]), size)
    log = [[] for _ in arrays]
    sent = {(a, b): [] for a in range(size) for b in range(size)}  # what was sent so far, in order
    wanted = {(a, b): 0 for a in range(size) for b in range(size)}  # how often b has asked for something of a

    class Waits(BaseException):
        """This rank cannot go on yet."""

    class Messages:
        """What one call has started"""

        def __init__(self, rank, outgoing, incoming):
            self._rank, self._outgoing, self._incoming = rank, outgoing, incoming

        def wait(self):
            rank = self._rank
            if any(number >= wanted[rank, other] for other, number in self._outgoing):
                raise Waits
            if any(number >= len(sent[other, rank]) for other, number, _ in self._incoming):
                raise Waits
            for other, number, array in self._incoming:
                message = sent[other, rank][number]
                if (message.shape, message.dtype) != (array.shape, array.dtype):
                    turn = 1 + number
                    what = f"segment {log[other][number][2]}" if number < len(log[other]) else "a message"
                    raise ValueError(
                        f"turn {turn}: rank {other} sent {what}, {message.dtype} {message.shape}, and rank {rank}"
                        f" expected {array.dtype} {array.shape}: another segment, or another array to receive into?"
                    )
                array[...] = message

        def done(self):
            self.wait()
            return True

    class Rank:
        """One rank, in one run of its function"""

        is_launched, library = True, "none"

        def __init__(self, rank, array):
            self.rank, self.size, self.local, self._array = rank, size, size, array
            self._given, self._taken = [0] * size, [0] * size

        def _segment(self, part):
            """The number of the segment that these numbers are, or None"""
            first = part.__array_interface__["data"][0] - self._array.__array_interface__["data"][0]
            inside = part.size and np.may_share_memory(part, self._array)
            begins = [segment.start * part.itemsize == first for segment in segments if segment.stop > segment.start]
            return begins.index(True) if inside and any(begins) else None

        def start(self, outgoing, incoming, tag):
            for other, array in [*outgoing, *incoming]:
                if not isinstance(array, np.ndarray) or not array.flags.c_contiguous:
                    raise ValueError(f"rank {self.rank}: expected contiguous arrays to send and to receive into")
                if not 0 <= other < size or other == self.rank:
                    raise ValueError(f"rank {self.rank}: found a message to or from rank {other} of {size} ranks")
            if any(np.may_share_memory(a, b) for _, a in outgoing for _, b in incoming if a.size and b.size):
                raise ValueError(f"rank {self.rank}: found numbers that are sent and overwritten at the same time")
            given, taken = [], []
            for other, array in outgoing:
                given.append((other, self._given[other]))
                self._given[other] += 1
                if self._given[other] > len(sent[self.rank, other]):
                    sent[self.rank, other].append(array.copy())
                    log[self.rank].append((other, len(array), self._segment(array)))
            for other, array in incoming:
                taken.append((other, self._taken[other], array))
                self._taken[other] += 1
                wanted[other, self.rank] = max(wanted[other, self.rank], self._taken[other])
            return Messages(self.rank, given, taken)

        def start_all_reduce(self, array):
            raise ValueError("found a call of start_all_reduce, expected calls of exchange")

    finished = {}
    while len(finished) < size:
        before = sum(map(len, sent.values())), sum(wanted.values()), len(finished)
        for rank in range(size):
            if rank not in finished:
                array = arrays[rank].copy()
                try:
                    getattr(ring, name)(Rank(rank, array), array)
                    finished[rank] = array
                except Waits:
                    pass
        if before == (sum(map(len, sent.values())), sum(wanted.values()), len(finished)):
            waiting = [rank for rank in range(size) if rank not in finished]
            raise ValueError(f"all wait for each other: found rank {waiting[0]} in exchange, and nobody that answers")
    return [finished[rank] for rank in range(size)], log


def wrong_message(messages, own_first):
    """The first message that the ring does not have, in words, or None

    own_first: 1 if a rank sends its own segment in turn 1, 0 if it sends the one before
    """
    ranks = len(messages)
    for turn in range(ranks):
        for rank, sent in enumerate(messages):
            if (len(sent) > turn) != (turn < ranks - 1):
                return f"rank {rank} sent {len(sent)} messages, expected {ranks - 1}: one in each of N - 1 turns"
            if turn < len(sent):
                receiver, _, segment = sent[turn]
                right = (rank - turn - 1 + own_first) % ranks
                following = (rank + 1) % ranks
                if receiver != following:
                    return f"rank {rank} sent to rank {receiver} in turn {turn + 1}, expected to the next, {following}"
                if segment is not None and segment != right:
                    return f"rank {rank} sent segment {segment} in turn {turn + 1}, expected {right}"
    return None


def times(count):
    return {0: "not at all", 1: "once", 2: "twice"}[count]


def whose_numbers(found, summands):
    """How often each rank's numbers are in a sum, in words; None if that is not what it is"""
    for counts in itertools.product((0, 1, 2), repeat=len(summands)):
        total = sum(count * each for count, each in zip(counts, summands, strict=True))
        if len(found) and counts != (1,) * len(summands) and np.allclose(found, total, rtol=1e-6, atol=1e-9):
            rank = next(rank for rank, count in enumerate(counts) if count != 1)
            return f"the numbers of rank {rank} are in it {times(counts[rank])}, expected once"
    return None


def compare_ring(t, messages, length, left_out):
    """Every rank sends to the next one, N - 1 times, each segment but one: rank + left_out"""
    ranks, segments = len(messages), segments_of(length, len(messages))
    for rank, sent in enumerate(messages):
        others = sorted({receiver for receiver, _, _ in sent} - {(rank + 1) % ranks})
        t.require(not others, f"found rank {rank} sending to rank {others[:1]}, expected the next one", "messages")
        text = f"rank {rank} sent {len(sent)} messages, expected {ranks - 1}: one in each of N - 1 turns"
        t.require(len(sent) == ranks - 1, text, "messages")
        kept = segments[(rank + left_out) % ranks]
        right, numbers = length - (kept.stop - kept.start), sum(size for _, size, _ in sent)
        t.require(numbers == right, f"found {numbers} numbers from rank {rank}, expected {right}", "messages")


def compare_sums(t, arrays, tolerance=1e-10):
    found, messages = t.run(on_ranks, "ring_reduce_scatter", arrays)
    total = sum(arrays)
    for rank, segment in enumerate(segments_of(len(total), len(arrays))):
        part, right, name = found[rank][segment], total[segment], f"segment {rank} on rank {rank}"
        if part.dtype.kind == "f" and not np.allclose(part, right, rtol=1e-5):
            known = wrong_message(messages, 0) or whose_numbers(part, [array[segment] for array in arrays])
            t.require(known is None, known, name)
        t.equal(name, part, right, tolerance, dtype=total.dtype)
    return messages


@prop("22.3", weight=4, essential=True)
def sums(t):
    """rank r ends with segment r of the sum of all arrays"""
    for ranks, length in ((2, 7), (3, 10), (5, 23), (4, 8)):
        with t.case(f"{ranks} ranks, {length} numbers"):
            compare_sums(t, [t.rng.normal(size=length) for _ in range(ranks)])


@prop("22.3", weight=2, essential=True)
def around_the_ring(t):
    """every rank sends to the next one only, N - 1 times, and each number at most once"""
    for ranks, length in ((2, 9), (3, 11), (5, 13)):
        with t.case(f"{ranks} ranks, {length} numbers"):
            compare_ring(t, compare_sums(t, [t.rng.normal(size=length) for _ in range(ranks)]), length, 0)


@prop("22.3", weight=1)
def order_of_additions(t):
    """segment r is added in the order r + 1, r + 2, ..., r, bit for bit"""
    for ranks, length in ((3, 14), (5, 12)):
        with t.case(f"{ranks} ranks"):
            arrays = list(unequal(t.rng, ranks, length).values())
            right = t.expected(lambda arrays=arrays: on_ranks("ring_reduce_scatter", arrays)[0])
            found, _ = t.run(on_ranks, "ring_reduce_scatter", arrays)
            for rank, segment in enumerate(segments_of(length, ranks)):
                t.equal(f"segment {rank} on rank {rank}", found[rank][segment], right[rank][segment], 0.0)


@prop("22.3", weight=1)
def few_numbers(t):
    """fewer numbers than ranks, none at all, and one rank, which asks nobody"""
    for ranks, length in ((5, 3), (3, 1), (3, 0), (1, 4)):
        with t.case(f"{ranks} ranks, {length} numbers"):
            compare_sums(t, [t.rng.normal(size=length) for _ in range(ranks)])


@prop("22.3", weight=1)
def types_of_arrays(t):
    """float32 is added in float32, integers as integers"""
    compare_sums(t, [t.rng.normal(size=9).astype(FLOAT) for _ in range(4)], 2e-6)
    with t.case("integers beyond 2^53"):
        compare_sums(t, [t.rng.integers(2**58, 2**59, 7) for _ in range(3)], 0.0)


def compare_copies(t, ranks, length, dtype=np.float64):
    """Only segment r of rank r's array is good -> messages"""
    right = (t.rng.normal(size=length) * 1000).astype(dtype)
    arrays = []
    for segment in segments_of(length, ranks):
        array = np.full(length, -77.0).astype(dtype)
        array[segment] = right[segment]
        arrays.append(array)
    found, messages = t.run(on_ranks, "ring_all_gather", arrays)
    for rank, array in enumerate(found):
        for number, segment in enumerate(segments_of(length, ranks)):
            part, name = array[segment], f"segment {number} on rank {rank}"
            if np.array_equal(part, right[segment]):
                continue
            known = wrong_message(messages, 1)
            if known is None and np.all(part == -77):
                known = "what arrived is not in it: it is what it was before"
            if known is None and np.allclose(part, right[segment] - 77):
                known = "what arrived was added to it, expected a copy"
            t.require(known is None, known, name)
        t.equal(f"array of rank {rank}", array, right, 0.0, dtype=right.dtype)
    return messages


@prop("22.4", weight=4, essential=True)
def copies(t):
    """every rank ends with all segments, as their owners had them"""
    for ranks, length in ((2, 7), (3, 10), (5, 23), (4, 8)):
        with t.case(f"{ranks} ranks, {length} numbers"):
            compare_copies(t, ranks, length)


@prop("22.4", weight=2, essential=True)
def ring_of_copies(t):
    """every rank sends to the next one only, N - 1 times, each segment but the next one's"""
    for ranks, length in ((2, 9), (3, 11), (5, 13)):
        with t.case(f"{ranks} ranks, {length} numbers"):
            compare_ring(t, compare_copies(t, ranks, length), length, 1)


@prop("22.4", weight=1)
def few_copies(t):
    """fewer numbers than ranks, none at all, and one rank, which asks nobody"""
    for ranks, length in ((5, 3), (3, 1), (3, 0), (1, 4)):
        with t.case(f"{ranks} ranks, {length} numbers"):
            compare_copies(t, ranks, length)


@prop("22.4", weight=1)
def types_of_copies(t):
    """numbers keep their type and their bits"""
    for dtype in (FLOAT, np.int64):
        with t.case(np.dtype(dtype).name):
            compare_copies(t, 4, 11, dtype)

"""The paper's figures of its models, which `models` and `latency` print beside ours."""

# Parameters from Table 1 and operations from Table 4; None if the paper has no figure.
PAPER = {
    "bert-base": (109_000_000, 22.5e9),
    "bert-large": (334_000_000, None),
    "ib-bert-large": (293_000_000, None),
    "mobilebert": (25_300_000, 5.7e9),
    "mobilebert-paper": (25_300_000, 5.7e9),
    "mobilebert-no-opt": (25_300_000, 5.7e9),
    "mobilebert-tiny": (15_100_000, 3.1e9),
}

# Tables 4 and 7: milliseconds for one text of 128 tokens on a Pixel 4, four threads, TensorFlow Lite.
MILLISECONDS = {
    "mobilebert-no-opt": 192, "mobilebert-layernorm-relu": 167, "mobilebert-nonorm-gelu": 92, "mobilebert": 62,
    "mobilebert-tiny": 40, "bert-base": 342,
}  # fmt: skip

"""Advice for each command if memory was not enough."""

_TRAINING = "--set with a smaller batch_size or sequence_length"
_FINE_TUNING = "a smaller --batch or --max-length"
_SMALLER = {
    "train-tiny": _TRAINING,
    "seeds": _TRAINING,
    "ablate": _TRAINING,
    "sweep": "a run that was trained with a smaller batch_size or sequence_length",
    "finetune": _FINE_TUNING,
    "glue": _FINE_TUNING,
    "squad": _FINE_TUNING,
    "evaluate": "a smaller --max-length or --threads",
    "predict": "a smaller --max-length or --threads",
    "answer": "a shorter --passage or a smaller --top",
    "embed": "fewer or shorter texts at a time",
    "fill-mask": "a shorter text or a smaller model",
    "nsp": "shorter texts or a smaller model",
    "convert": "a smaller model, or close other programs",
    "models": "a smaller --tokens or --batch",
    "plan": "a smaller --part or --length",
    "bench": "fewer parts (--only) or --threads 1",
    "download": "fewer parts at a time (--only)",
}


def smaller(command):
    """The advice if `command` ran out of memory"""
    return _SMALLER.get(command, "less at a time")

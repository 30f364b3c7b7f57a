"""Into how many parts a batch is cut, if nobody says."""

from .communicator import current

USUAL = 4


def usual_parts():
    """1 in a process of its own; else USUAL, so that up to USUAL ranks get the same bits; else one for each rank"""
    size, launched = current().size, current().is_launched
    return max(USUAL, size) if launched else 1


def check_parts(parts):
    """ValueError if there are more ranks than parts."""
    size = current().size
    if parts < size:
        raise ValueError(f"parts: found {parts} with {size} ranks, expected at least one for each rank")

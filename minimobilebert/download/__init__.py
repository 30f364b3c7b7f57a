"""Data and weights from their publishers' addresses: fetched once, checked, unpacked with care."""

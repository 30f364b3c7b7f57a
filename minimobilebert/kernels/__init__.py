"""The hot loops: each file holds one Numba kernel family beside its NumPy twin."""

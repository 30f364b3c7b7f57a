"""Data-parallel training on several processes and machines, to the same bits: who they are, and how they add up."""

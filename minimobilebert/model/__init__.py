"""BERT, IB-BERT, MobileBERT and MobileBERT_TINY: one block with different settings (paper Section 3, Table 1)."""

"""BERT, IB-BERT, MobileBERT and MobileBERT_TINY out of one block with settings (paper Section 3, Table 1)."""

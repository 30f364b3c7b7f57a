"""Export to ONNX (extra `interop`): a graph is a list of operations, and here each of them is written by hand.

graph.py        nodes, stored arrays, and the ModelProto that holds both
operations.py   dense, norms, activations, attention, trigrams: equation and nodes
quantized.py    the dense layer and the word table in 8 bits
encoder.py      embeddings and blocks, in the order of model/
heads.py        what a model returns
comparison.py   the same inputs for ONNX Runtime and for this project
folder.py       the files that a model needs elsewhere
"""

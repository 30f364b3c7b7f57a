"""Export to ONNX (extra `interop`): a graph is a list of operations, and here each of them is written by hand.

graph.py        nodes and stored arrays, as plain data
interpreter.py  a small runtime: the operations in NumPy, and the loop that runs a graph
file_format.py  a graph as a ModelProto, the content of a file
operations.py   dense, norms, activations, attention, trigrams: equation and nodes
quantized.py    the dense layer and the word table in 8 bits
encoder.py      embeddings and blocks, in the order of model/
heads.py        what a model returns
comparison.py   the same inputs for a graph and for this project
folder.py       the files that a model needs elsewhere
"""

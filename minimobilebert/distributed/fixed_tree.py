"""A sum in one fixed order, whoever has the numbers.

Floating-point addition is not associative: (a + b) + c and a + (b + c) differ in their last bits. The parts 0 ... P - 1
of a batch are therefore always added along the same tree, which cuts its parts into halves:

                (0, 5)
              /        \\
          (0, 2)      (2, 5)            node (low, high): the sum of the parts low ... high - 1
          /   \\       /    \\           middle = (low + high) // 2
         0     1     2    (3, 5)
                           /  \\
                          3    4

A rank with the parts 2, 3 and 4 adds up node (2, 5) by itself, and whoever has node (0, 2) then gets the same bits as
one process with all five. A rank whose parts are no whole node, such as 1 and 2, keeps the largest nodes in them apart.
"""

import numpy as np


def halves(low, high):
    """The two nodes whose sum is node (low, high), which has at least two parts"""
    middle = (low + high) // 2
    return (low, middle), (middle, high)


def nodes_inside(first, stop, low, high):
    """The largest nodes below node (low, high) whose parts are all in first ... stop - 1 -> list of (low, high)"""
    if first <= low and high <= stop:
        return [(low, high)]
    if high <= first or stop <= low:
        return []
    return [node for half in halves(low, high) for node in nodes_inside(first, stop, *half)]


def tree_sum(low, high, known, add=np.add):
    """The sum of node (low, high); known(low, high) -> what is known of a node, or None to add it up

    add(left, right) -> their sum
    """
    array = known(low, high)
    if array is not None:
        return array
    left, right = halves(low, high)
    return add(tree_sum(*left, known, add), tree_sum(*right, known, add))

"""Which rank owns which parameter, where ranks share the state of the optimiser."""


def owners(sizes, ranks):
    """Which rank owns which parameter: the largest first, each to the rank with the fewest numbers so far

    sizes {name: numbers} -> {name: rank}, the same on all ranks
    """
    load, owner = [0] * ranks, {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        owner[name] = load.index(min(load))
        load[owner[name]] += sizes[name]
    return owner

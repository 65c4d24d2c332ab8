"""Where evaluations run: in this process, in others on this machine, on the ranks of torchrun, or on a cluster.

``protocol`` defines work; ``executors`` makes an ``Evaluate`` from the command line's options, and ``flights`` begins several
generations on one. ``pool`` manages processes of this machine, ``ranks`` those that torchrun has started, and ``torchrun`` the
commands that run in them. ``dask_cluster`` evaluates on Dask, ``cluster_spec`` reads a cluster's description and starts it,
``staging`` sends files along. ``main_guard`` ends processes that would begin a user's search again. Answers depend on
architectures alone, so they are the same everywhere.
"""

__all__ = [
    "cluster_spec",
    "dask_cluster",
    "executors",
    "flights",
    "gpus",
    "main_guard",
    "pool",
    "protocol",
    "ranks",
    "staging",
    "torchrun",
]

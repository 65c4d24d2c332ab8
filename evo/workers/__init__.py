"""Who evaluates: this process, others on this machine, the ranks of torchrun, or a cluster.

``protocol`` says what work is; ``executors`` gives an ``Evaluate`` for what the command line asks for. ``pool`` keeps processes
of this machine, ``ranks`` those that torchrun has started. ``dask_cluster`` uses Dask, ``cluster_spec`` reads which cluster is
meant and starts it, ``staging`` sends files along. An answer depends on its architecture alone, so none of this changes one.
"""

__all__ = ["cluster_spec", "dask_cluster", "executors", "gpus", "pool", "protocol", "ranks", "staging"]

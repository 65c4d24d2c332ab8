"""What architectures cost, known exactly without building them.

``table`` counts multiply-accumulates, parameters and latency, layer by layer. ``memory`` counts what a step keeps alive on a
device, and ``peaks`` reads an architecture's memory off its layers. ``cost_histogram`` counts how many architectures cost how
much, and ``sampling`` draws inside limits with it, uniformly or evenly over cost. ``benchmark_tables`` reads costs and
accuracies that others have published.
"""

__all__ = ["benchmark_tables", "cost_histogram", "memory", "peaks", "sampling", "table"]

"""Networks that others have trained, as architectures of a space with their weights.

``module_reader`` reads a module of torchvision or timm layer by layer; ``efficientnet_lite`` knows EfficientNet-Lite, for
which neither is needed; ``checkpoints`` reads files of weights and never runs what is in them; ``networks`` finds a network by
its name. ``cut_space`` makes a space of such a network; ``slices`` cuts what its operations begin with out of the network's
weights, where ``importance`` says which channels stay and ``refit`` fits again what reads them; ``streams`` lets stages give
fewer channels; ``nested`` lets all cuts share its weights while they are trained; ``single_cuts`` counts what measuring each by
itself takes; ``uniform`` knows what needs no search.
"""

__all__ = [
    "checkpoints",
    "cut_space",
    "efficientnet_lite",
    "importance",
    "module_reader",
    "nested",
    "networks",
    "refit",
    "single_cuts",
    "slices",
    "streams",
    "uniform",
]

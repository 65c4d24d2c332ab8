"""Networks that others have trained, as architectures of a space with their weights.

``module_reader`` reads a module of torchvision or timm layer by layer; ``efficientnet_lite`` knows EfficientNet-Lite, for
which neither is needed; ``checkpoints`` reads files of weights and never runs what is in them; ``networks`` finds a network by
its name. ``slices`` makes a space of such a network, and cuts what its operations begin with out of the network's weights.
"""

__all__ = ["checkpoints", "efficientnet_lite", "module_reader", "networks", "slices"]

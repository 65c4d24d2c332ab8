"""Networks that others have trained, as architectures of a space with their weights.

``module_reader`` reads a module of torchvision or timm layer by layer; ``efficientnet_lite`` knows EfficientNet-Lite, for
which neither is needed; ``checkpoints`` reads files of weights and never runs what is in them; ``networks`` finds a network by
its name. ``python -m spaces.pretrained NAME`` shows one, and writes it as a folder that ``load_network`` reads.
"""

__all__ = ["checkpoints", "efficientnet_lite", "module_reader", "networks"]

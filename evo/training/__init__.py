"""How a network or a supernet is trained, and kept on the disk.

``loop`` is the one training loop; ``data_parallel`` lets several processes train one model. ``checkpoints`` writes weights and
progress whole, and verifies them; ``identity`` names their files after everything that their content depends on, and
``legacy_names`` knows the names of release 0.1. ``precision`` says in which floats networks compute.
"""

__all__ = ["checkpoints", "data_parallel", "identity", "legacy_names", "loop", "precision"]

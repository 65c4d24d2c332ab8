"""Labelled images, from their files to batches on the device.

``datasets`` makes what a configuration names, ``raw`` checks it: arrays, files in class folders (``image_folders``), or items
of any data set of torch (``torch_datasets``). ``loading`` divides it into train, validation and test images, normalises
them, and gives ``source.Images``: tensors in memory, or images that are decoded batch by batch (``streaming``).
``augmentation`` changes batches; ``fingerprint`` tells whether data have changed; ``paths`` knows where files may lie. Other
processes are sent the name of a data set (``source.Origin``) and load it themselves.
"""

__all__ = [
    "augmentation",
    "datasets",
    "fingerprint",
    "image_folders",
    "loading",
    "paths",
    "raw",
    "source",
    "streaming",
    "torch_datasets",
]

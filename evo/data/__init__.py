"""Labelled images, from their files to batches on the device.

``datasets`` finds and reads what a configuration names; ``loading`` divides it into train, validation and test images,
normalises them, and gives ``source.Images``: tensors in memory, or, of large folders, files that are read batch by batch
(``image_folders``). ``augmentation`` changes batches of images; ``fingerprint`` tells whether data have changed; ``paths``
knows where files may lie. Other processes are sent the name of a data set (``source.Origin``) and load it themselves.
"""

__all__ = ["augmentation", "datasets", "fingerprint", "image_folders", "loading", "paths", "source"]

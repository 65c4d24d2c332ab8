"""Labelled images, from their files to batches on the device.

``datasets`` makes what a configuration names, ``raw`` checks it: ``arrays``; files in class folders
(``image_folders``: ``folders`` finds parts and classes, ``image_files`` opens files), or in other ``layouts``; or items of any
data set of torch (``torch_datasets``). ``class_names`` tells which look alike. ``loading`` divides it into train, validation
and test images, and gives ``source.Images``: tensors in memory, or images that are decoded batch by batch (``streaming``),
of which ``decoded`` keeps some. ``normalising`` turns bytes into floats, ``resized`` makes images smaller.
``inspection`` looks at it before anything runs, ``report`` says what it is. ``augmentation`` changes batches; ``fingerprint``
tells whether data have changed; ``paths`` knows where files may lie. Other processes are sent the name of a data set
(``source.Origin``) and load it themselves.
"""

__all__ = [
    "arrays",
    "augmentation",
    "class_names",
    "datasets",
    "decoded",
    "fingerprint",
    "folders",
    "image_files",
    "image_folders",
    "inspection",
    "layouts",
    "loading",
    "normalising",
    "paths",
    "raw",
    "report",
    "resized",
    "source",
    "streaming",
    "torch_datasets",
]

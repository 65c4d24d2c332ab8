"""Images in other layouts than class folders, with their labels beside them.

``reading`` finds out which layout lies at a path: ``csv_list`` (paths and labels in columns), ``shards`` (WebDataset tars),
``columns`` (parquet files, and data sets that Hugging Face ``datasets`` has saved), or ``array_maps`` (``.npy`` files). Each
gives the images and labels of its ``parts``, from which a ``RawDataset`` is made: ``labelling`` numbers the labels. Encoded
images that lie inside of larger files are ``stored`` pictures. ``npz_files`` are read by a name of their own, ``arrays``.
"""

__all__ = ["array_maps", "columns", "csv_list", "labelling", "npz_files", "parts", "reading", "shards", "stored"]

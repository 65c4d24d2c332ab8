"""A folder of images: which folders in it are parts of a data set, and which are classes.

``layout`` finds the parts, training, validation and test, by what ``part_names`` knows of their names; ``class_folders`` the
classes in each. ``unlabelled`` reads folders without classes. All look through ``entries``: what lies in a folder, what is
ignored of it, and which links are broken. No image is opened here.
"""

__all__ = ["class_folders", "entries", "layout", "part_names", "unlabelled"]

"""A data set of your own: any torch ``Dataset`` of (image, label), or four arrays. Images may be rectangular.

python examples/03_own_data_set.py
"""

from sklearn.datasets import load_digits
from torch.utils.data import Dataset

import evo
from evo import DataSettings, dataset


class NarrowSettings(DataSettings):
    """A key of ``[data]`` beside the usual ones."""

    cut: int = 1
    """Columns that are cut off at each side."""


class NarrowDigits(Dataset):
    """scikit-learn's digits without their margins: is the digit even or odd?"""

    classes = ("even", "odd")

    def __init__(self, cut):
        digits = load_digits()
        self.images = (digits.images[:, :, cut : 8 - cut] * 255 / 16).astype("uint8")
        self.labels = digits.target % 2

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, place):
        return self.images[place], int(self.labels[place])


@dataset("narrow_digits", settings=NarrowSettings)
def narrow_digits(section):
    """One data set: every sixth image is a test image. A pair of them is (train, test)."""
    return NarrowDigits(section.cut)


if __name__ == "__main__":
    settings = {
        "data": {"name": "narrow_digits", "cut": 1},
        "evaluator.epochs": 5,
        "search.evaluations": 24,
        "ground_truth.sample": 0,
    }
    run = evo.search("digits", rounds=1, run="own-data-set", plugins=[__file__], set=settings)
    print(run)
    print(run.front())

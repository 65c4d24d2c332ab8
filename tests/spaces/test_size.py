"""Height and width: one spelling of every size, and squares as they have always been."""

from __future__ import annotations

import json

import pytest

from spaces import size
from spaces.layer import Shape, Stem
from spaces.library.named_spaces import LIBRARY, load_space
from spaces.show.__main__ import as_json, table
from spaces.show.overview import make_overview
from spaces.space import SearchSpace


def test_equal_sides_are_one_number() -> None:
    assert size.as_size((8, 8)) == size.as_size([8, 8]) == 8
    assert size.as_size([24, 32]) == (24, 32)
    assert Shape(4, 8, 2, (8, 8)) == Shape(4, 8, 2, 8)
    assert Stem(8, size=(24, 24)) == Stem(8, size=24)


def test_a_stride_divides_both_sides_and_rounds_up() -> None:
    assert size.stride_size(9, 2) == 5
    assert size.stride_size((24, 33), 2) == (12, 17)
    assert Shape(4, 8, 2, (3, 4)).size_out == 2


def test_sizes_are_written_and_read() -> None:
    assert [size.as_text(each) for each in (8, (24, 32))] == ["8", "24x32"]
    assert [size.parse_size(text) for text in ("8", "24x32", "8x8")] == [8, (24, 32), 8]
    assert [size.size_text(each) for each in (8, (24, 32))] == ["8 x 8", "24 x 32"]
    assert [size.short_size(each) for each in (8, (24, 32))] == ["8²", "24 x 32"]
    for wrong in ("", "8x", "8x8x8", "-8", "a"):
        with pytest.raises(ValueError, match="expected pixels, e.g. 32, or height and width, e.g. 24x32"):
            size.parse_size(wrong)


def test_squares_are_spelled_as_before_rectangles_were_known() -> None:
    """Databases and names of files hold these texts."""
    assert repr(Shape(4, 8, 2, 8)) == "Shape(c_in=4, c_out=8, stride=2, size=8)"
    assert repr(Stem(8)) == "Stem(c_out=8, stride=2, kernel=3, activation='relu6', c_in=3, size=224)"
    space = json.loads(load_space("digits").to_json())
    assert space["layers"][0]["shape"] == {"c_in": 8, "c_out": 8, "stride": 1, "size": 8}
    assert space["stem"]["size"] == 8


@pytest.mark.parametrize("name", LIBRARY)
def test_every_space_can_be_made_for_rectangles_and_survives_json(name: str) -> None:
    space = load_space(name, size=(64, 96))
    assert SearchSpace.from_json(space.to_json()) == space
    turned = load_space(name, size=(96, 64))
    assert [size.both_sides(layer.shape.size) for layer in space.layers] == [
        size.both_sides(layer.shape.size)[::-1] for layer in turned.layers
    ]


def test_layers_must_fit_each_other_both_ways() -> None:
    space = load_space("digits", size=(8, 12))
    text = space.to_json().replace('"size":[8,12]', '"size":[8,10]', 1)
    with pytest.raises(ValueError, match="expects 8 channels at 8x10 pixels, and is given 8 channels at 8x12 pixels"):
        SearchSpace.from_json(text)
    with pytest.raises(ValueError, match=r"size is \[8, 12, 3\]: expected one number, or height and width"):
        SearchSpace.from_json(space.to_json().replace("[8,12]", "[8,12,3]", 1))


def test_rectangles_are_shown() -> None:
    shown = make_overview(load_space("digits", size=(8, 12)))
    text = table(shown)
    assert "images 1 x 8 x 12, 10 classes" in text
    assert "16 x 4 x 6" in text
    rows = as_json(shown)["rows"]
    assert (rows[0]["size"], rows[-1]["size"]) == ((8, 12), (2, 3))

"""An operation of your own: a depthwise separable convolution, offered in every layer of the digits' space.

python examples/01_own_operation.py
python -m evo.round 2 --plugin examples/01_own_operation.py --set 'space.add_operations=["sep_k3", "sep_k5"]'
"""

import evo
from evo import Conv, operation


@operation("sep_k<kernel>")
def separable(shape, kernel):
    """A depthwise convolution, then a 1x1 convolution. Its cost, module and exports follow from these steps."""
    return (
        Conv(shape.c_in, shape.c_in, (kernel, kernel), (shape.stride, shape.stride), groups=shape.c_in),
        Conv(shape.c_in, shape.c_out, activation="relu"),
    )


if __name__ == "__main__":
    run = evo.search(
        "digits",
        rounds=1,
        run="own-operation",
        plugins=[__file__],
        set={
            "space.add_operations": ["sep_k3", "sep_k5"],
            "evaluator.epochs": 3,
            "search.evaluations": 24,
            "ground_truth.sample": 0,
        },
    )
    results = run.results()
    uses = results["arch"].str.contains("sep_k")
    print(
        f"{uses.sum()} of {len(results)} networks use it; on the front: {run.front()['arch'].str.contains('sep_k').sum()}"
    )

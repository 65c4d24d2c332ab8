"""A method of your own, which learns and proposes: LANA (Molchanov et al., ECCV 2022, https://arxiv.org/abs/2107.10624).

Every candidate is scored by the loss of a base network in which it alone is swapped in. Losses are taken to add up over layers,
so the best combinations for all budgets follow exactly; the search measures them first. The next space keeps each layer's best.

    python -m evo.round 2 --config examples/04_own_method.toml
"""

from dataclasses import dataclass, field

from evo import Evolution, MethodSettings, WrappedJudge, evaluator, method
from evo.evaluators.blockwise.combination import front_of_ratings
from evo.evaluators.blockwise.teacher import largest_architecture
from evo.evaluators.oneshot.evaluator import oneshot
from evo.methods.evolution import Best, Learned, Nothing
from spaces.architecture import Architecture
from studies.config import OneShotSection


class SwapSettings(OneShotSection):
    kind: str

    def describe(self):
        return "a supernet with shared weights, in which operations are also swapped one at a time"


@evaluator("swap", settings=SwapSettings)
class Swap:
    def __init__(self, config, space):
        self.supernet = oneshot(config, space)

    def fit(self, space, context):
        judge, base = self.supernet.fit(space, context), largest_architecture(space).genes
        candidates = [(i, op) for i, layer in enumerate(space.layers) for op in layer.candidates]
        swapped = {(i, op): Architecture((*base[:i], op, *base[i + 1 :])) for i, op in candidates}
        losses = {e.arch: e.nll for e in judge(list(dict.fromkeys(swapped.values())))}
        return SwapJudge(judge, {choice: -losses[arch] for choice, arch in swapped.items()})


@dataclass(frozen=True)
class SwapJudge(WrappedJudge):
    ratings: dict = field(repr=False)

    def suggest(self, request):
        return request.choose(front_of_ratings(self.ratings, request.costs, request.cost), "combined")


class LanaSettings(MethodSettings):
    keep: int = 3
    """Operations per layer that stay."""


@method("lana", settings=LanaSettings)
def lana(settings, config):
    return Evolution(rate=Learned(), keep=Best(settings.keep), refill=Nothing())

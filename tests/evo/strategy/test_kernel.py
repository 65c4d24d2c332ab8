"""The kernel against its definition, entry by entry; its slopes; and what its parameters learn."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import Matern

from benchmarks.problems.generated import known_costs, opaque_layers
from evo.strategy.encoding import Encoding
from evo.strategy.kernel import (
    CURVE,
    DECAY,
    EVERYWHERE,
    FEW,
    LENGTHS,
    NEAR,
    NOISE,
    NetworkKernel,
    Networks,
    _Grams,
)
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.space import SearchSpace, canonical_arch

OPS = ("a", "b", "c")


def described(space: SearchSpace, table: CostTable, n: int) -> tuple[list[Architecture], Networks, Encoding]:
    rng, encode = Random(3), Encoding(table, 0)
    archs = [canonical_arch(space.sample(rng), space) for _ in range(n)]
    return archs, Networks(encode(archs), table.count(archs)[:, 0]), encode


def somewhere(kernel: NetworkKernel) -> NetworkKernel:
    return replace(kernel, theta=kernel.theta + np.random.default_rng(0).normal(0, 0.4, len(kernel.theta)))


def test_an_entry_is_the_sum_of_its_terms(space: SearchSpace, table: CostTable) -> None:
    archs, networks, encode = described(space, table, 9)
    kernel = somewhere(NetworkKernel.of(encode, networks))
    columns = kernel.columns(networks)
    weight, relevance = np.exp(kernel.theta), np.exp(kernel.theta[NOISE + 1 :]) / len(space.layers)
    z = (np.log(networks.cost) - np.log(networks.cost).mean()) / np.log(networks.cost).std()
    scaled = networks.x * kernel.scale / np.exp(kernel.theta[LENGTHS])[encode.groups]
    near = Matern(1.0, nu=2.5)(scaled)
    gram = kernel(columns, columns)
    for i, a in enumerate(archs):
        for j, b in enumerate(archs):
            same = np.array([x == y for x, y in zip(a.genes, b.genes, strict=True)])
            shared_ops = sum(a.genes.count(op) * b.genes.count(op) for op in set(a.genes))
            expected = weight[0] + weight[CURVE] * (z[i] * z[j] + z[i] ** 2 * z[j] ** 2)
            expected += weight[EVERYWHERE] * shared_ops * kernel.unit**2
            expected += weight[FEW] * np.exp(-weight[DECAY] * relevance @ ~same) + weight[NEAR] * near[i, j]
            assert gram[i, j] == pytest.approx(expected, rel=1e-6)
    assert kernel.diagonal(columns) == pytest.approx(np.diag(gram), rel=1e-9)


def test_the_slope_is_that_of_finite_differences(space: SearchSpace, table: CostTable) -> None:
    _, networks, encode = described(space, table, 12)
    kernel = somewhere(NetworkKernel.of(encode, networks))
    grams, values = _Grams.of(kernel, networks), np.random.default_rng(1).normal(size=12)
    _, slope = grams.evidence(kernel.theta, values)
    for i, step in enumerate(np.eye(len(slope)) * 1e-5):
        up, down = (grams.evidence(kernel.theta + sign * step, values)[0] for sign in (1, -1))
        assert slope[i] == pytest.approx((up - down) / 2e-5, abs=1e-5)


def test_the_evidence_is_that_of_the_kernel(space: SearchSpace, table: CostTable) -> None:
    """Log of the normal density, by numpy."""
    _, networks, encode = described(space, table, 12)
    kernel = somewhere(NetworkKernel.of(encode, networks))
    values = np.random.default_rng(2).normal(size=12)
    columns = kernel.columns(networks)
    covariance = kernel(columns, columns) + kernel.noise * np.eye(12)
    expected = values @ np.linalg.solve(covariance, values) / 2 + np.linalg.slogdet(covariance)[1] / 2
    assert _Grams.of(kernel, networks).evidence(kernel.theta, values)[0] == pytest.approx(expected, rel=1e-5)


def test_a_layer_that_does_nothing_loses_its_relevance() -> None:
    """Only the first two of six layers count."""
    space = opaque_layers("made", [OPS] * 6)
    table = known_costs(space, [dict(zip(OPS, (1.0, 2.0, 3.0), strict=True))] * 6)
    archs, networks, encode = described(space, table, 80)
    worth = {"a": 0.0, "b": 2.0, "c": -1.0}
    values = np.array([worth[arch.genes[0]] - worth[arch.genes[1]] for arch in archs])
    fitted = NetworkKernel.of(encode, networks).fitted(networks, (values - values.mean()) / values.std())
    relevance = fitted.theta[NOISE + 1 :]
    assert relevance[:2].min() > relevance[2:].max()

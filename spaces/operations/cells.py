"""Cells: small graphs between two 1x1 convolutions, each a string that mutates, crosses over and has one spelling.

    cell:e<expansion>_<node 1>_<node 2>..._<activation>

Node 0 is the input, expanded by a 1x1 convolution to ``expansion`` times its channels; the last node is projected to the
output's. What a node takes from each node before it is one character:

    -        nothing
    i        that node as it is
    p        its 3x3 average
    3, 5, 7  a depthwise convolution of this kernel, batch normalisation, activation

and the node is their sum. With a ``g`` behind them (two or more inputs) the sum is gated: every channel times the sigmoid
of its mean. A layer's stride is on what leaves node 0. So ``cell:e6_3`` is MobileNetV2's block, and ``cell:e3_3_i5g`` adds
the expanded input to a 5x5 of its 3x3, and gates the sum.

AutoSpace, ICCV 2021, https://arxiv.org/abs/2103.11833, published cells as such triangles of codes without saying what its
codes mean: the average, the gate and the activation are our reading. Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations
from random import Random

from spaces.architecture import Op
from spaces.errors import SpaceError

NOTHING, IDENTITY = "-", "i"
CODES = "-ip357"

Edge = tuple[int, int]
"""From which node to which."""


@dataclass(frozen=True, slots=True)
class Genome:
    """A cell. ``str()`` is its name as an operation.

    Attributes:
        rows: of each node but node 0, what it takes from the nodes before it: one of ``CODES`` for each of them.
        gates: of each node but node 0, whether the sum of what it takes is gated.
    """

    expansion: int
    node_inputs: tuple[str, ...]
    gates: tuple[bool, ...]
    activation: str = "relu"

    def __str__(self) -> str:
        rows = (row + "g" * gate for row, gate in zip(self.node_inputs, self.gates, strict=True))
        activation = f"_{self.activation}" if self.activation != "relu" else ""
        return f"cell:e{self.expansion}_{'_'.join(rows)}{activation}"

    @property
    def edges(self) -> dict[Edge, str]:
        """(source, target) -> code, without those that carry nothing."""
        return {
            (source, target): code
            for target, row in enumerate(self.node_inputs, start=1)
            for source, code in enumerate(row)
            if code != NOTHING
        }


_GRAMMAR = re.compile(r"cell:e(?P<e>[1-9]\d*)(?P<rows>(_[-ip357]+g?)+)(_(?P<activation>relu6?|swish))?")


@cache
def parse_cell(op: Op) -> Genome:
    """The cell that ``op`` names.

    Raises:
        SpaceError: it names none, nothing reaches the last node, or the spelling is not the canonical one.
    """
    match = _GRAMMAR.fullmatch(op)
    rows = match["rows"].split("_")[1:] if match else []
    if match is None or any(len(row.removesuffix("g")) != i for i, row in enumerate(rows, start=1)):
        raise SpaceError(
            f"operation {op!r} is not cell:e<expansion>_<node>_<node>...: expected of the n-th node n characters, each "
            f"one of {' '.join(CODES)}, then g where it is gated; then relu6 or swish, or nothing"
        )
    genome = Genome(
        int(match["e"]),
        tuple(row.removesuffix("g") for row in rows),
        tuple(row.endswith("g") for row in rows),
        match["activation"] or "relu",
    )
    if (spelled := str(canonical_cell(genome))) != op:
        raise SpaceError(f"operation {op!r} is spelled {spelled!r}: one network, one spelling")
    return genome


# -- one spelling -----------------------------------------------------------------------------------------------------


def canonical_cell(genome: Genome) -> Genome:
    """The one spelling of all genomes that are the same network for every shape.

    Edges that lie on no way from the input to the output go, so do nodes that merely repeat another one and gates with one
    input, and the remaining nodes are numbered so that the rows come first in the alphabet.

    Raises:
        SpaceError: no way leads from the input to the output.
    """
    output = len(genome.node_inputs)
    gated = {node for node, gate in enumerate(genome.gates, start=1) if gate}
    edges = _live_edges(genome.edges, output)
    if not edges:
        raise SpaceError(f"cell {str(genome)!r} is not valid: nothing leads from node 0 to node {output}")
    while (shorter := _without_repeated_node(edges, gated, output)) is not None:
        edges = _live_edges(shorter, output)
    inner = sorted({target for _, target in edges} - {output})
    spellings = []
    for order in permutations(inner):
        number = {node: i for i, node in enumerate((0, *order, output))}
        moved = {(number[source], number[target]): code for (source, target), code in edges.items()}
        if all(source < target for source, target in moved):
            rows = tuple("".join(moved.get((j, i), NOTHING) for j in range(i)) for i in range(1, len(inner) + 2))
            takes = (len(row) - row.count(NOTHING) for row in rows)
            gates = tuple(node in gated and n > 1 for node, n in zip((*order, output), takes, strict=True))
            spellings.append((rows, gates))
    rows, gates = min(spellings)
    return replace(genome, node_inputs=rows, gates=gates)


def is_valid(genome: Genome) -> bool:
    """Whether the output can be reached from the input."""
    return bool(_live_edges(genome.edges, len(genome.node_inputs)))


def _live_edges(edges: dict[Edge, str], output: int) -> dict[Edge, str]:
    """The edges on some way from node 0 to the output."""
    forward, backward = {0}, {output}
    for node in range(1, output + 1):
        if any(target == node and source in forward for source, target in edges):
            forward.add(node)
    for node in reversed(range(output)):
        if any(source == node and target in backward for source, target in edges):
            backward.add(node)
    return {(a, b): code for (a, b), code in edges.items() if a in forward and b in backward}


def _without_repeated_node(edges: dict[Edge, str], gated: set[int], output: int) -> dict[Edge, str] | None:
    """The edges without one node that only takes another one as it is; None where every node does something.

    What takes node 0 as it is has the layer's stride, and stays. So does a node beside whose edges another one's would lie.
    """
    taken = {node: [a for a, b in edges if b == node] for _, node in edges}
    repeats = {
        node: sources[0]
        for node, sources in taken.items()
        if len(sources) == 1 and sources[0] != 0 and edges[sources[0], node] == IDENTITY
    }
    for node, source in repeats.items():
        if node == output:  # the node in front becomes the output
            if source in gated:
                gated.add(output)
            else:
                gated.discard(output)
            rest = {edge: code for edge, code in edges.items() if edge != (source, output)}
            return {(a, output if b == source else b): code for (a, b), code in rest.items()}
        twins = {source, *(other for other, taken in repeats.items() if taken == source)} - {node}
        mine = {b for a, b in edges if a == node}
        if not mine & {b for a, b in edges if a in twins}:
            rest = {edge: code for edge, code in edges.items() if edge != (source, node)}
            return {(source if a == node else a, b): code for (a, b), code in rest.items()}
    return None


# -- evolution --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Alphabet:
    """What cells may be made of.

    Attributes:
        nodes: at most, input and output counted.
        codes: of ``CODES`` without ``-``, what an edge may be.
    """

    nodes: int = 4
    codes: str = "ip35"
    expansions: tuple[int, ...] = (1, 3, 6)
    activation: str = "relu"

    @property
    def edges(self) -> Sequence[Edge]:
        """All there may be."""
        return [(source, target) for target in range(1, self.nodes) for source in range(target)]


def random_cell(alphabet: Alphabet, rng: Random) -> Genome:
    """A valid cell: every attribute drawn uniformly, until something reaches the output."""
    return _draw_valid(lambda: _from_genes([draw() for draw in _gene_samplers(alphabet, rng)], alphabet))


def mutate(genome: Genome, alphabet: Alphabet, rng: Random, window: int = 2) -> Genome:
    """A neighbour: ``window`` attributes that stand side by side are drawn anew; what is redundant then goes.

    The attributes stand in one row: the expansion, then node by node its incoming edges and its gate. In the paper a window
    removes redundant edges; how large it is, and what else it does, is not known.
    """
    genes, draws = _genes(genome, alphabet), _gene_samplers(alphabet, rng)
    window = min(window, len(genes))

    def neighbour() -> Genome:
        start = rng.randrange(len(genes) - window + 1)
        chosen = range(start, start + window)
        return _from_genes([draws[i]() if i in chosen else gene for i, gene in enumerate(genes)], alphabet)

    parent = canonical_cell(genome)
    return _draw_valid(neighbour, lambda child: child != parent)


def crossover(a: Genome, b: Genome, alphabet: Alphabet, rng: Random) -> Genome:
    """A child that has its expansion and each of its nodes, with incoming edges and gate, from either parent.

    Uniform over rows; every choice is valid, since every node of a parent takes something.
    """
    nodes = [rng.choice(pair) for pair in zip(_nodes(a, alphabet), _nodes(b, alphabet), strict=True)]
    expansion = rng.choice((a.expansion, b.expansion))
    rows, gates = tuple(row for row, _ in nodes), tuple(gate for _, gate in nodes)
    return canonical_cell(Genome(expansion, rows, gates, alphabet.activation))


def reference_cells(alphabet: Alphabet) -> tuple[Genome, ...]:
    """MobileNetV2's block at the greatest expansion, and the same with two and three depthwise 3x3 in a row.

    The three cells that all layers of AutoSpace's released space share, and so presumably its reference architecture.
    """
    expansion = max(alphabet.expansions)
    chain = tuple(NOTHING * i + "3" for i in range(alphabet.nodes - 1))[:3]
    return tuple(Genome(expansion, chain[:n], (False,) * n, alphabet.activation) for n in range(1, len(chain) + 1))


def covering_cells(alphabet: Alphabet) -> list[Genome]:
    """Cells that have, between them, every edge with every code at every expansion."""
    inner = range(1, alphabet.nodes)
    return [
        Genome(expansion, tuple(code * node for node in inner), (False,) * len(inner), alphabet.activation)
        for expansion in alphabet.expansions
        for code in alphabet.codes
    ]


def unroll(genome: Genome, nodes: int) -> Genome:
    """The same network with ``nodes`` nodes, the last ones repeating the output.

    Raises:
        SpaceError: the cell has more nodes.
    """
    have = len(genome.node_inputs) + 1
    if have > nodes:
        raise SpaceError(f"cell {str(genome)!r} has {have} nodes, expected at most {nodes}")
    tail = tuple(NOTHING * (node - 1) + IDENTITY for node in range(have, nodes))
    return replace(genome, node_inputs=genome.node_inputs + tail, gates=genome.gates + (False,) * len(tail))


Gene = int | str | bool


def _nodes(genome: Genome, alphabet: Alphabet) -> Iterable[tuple[str, bool]]:
    whole = unroll(genome, alphabet.nodes)
    return zip(whole.node_inputs, whole.gates, strict=True)


def _genes(genome: Genome, alphabet: Alphabet) -> list[Gene]:
    """The attributes in a row: the expansion, then node by node its incoming edges and its gate."""
    return [genome.expansion, *(gene for row, gate in _nodes(genome, alphabet) for gene in (*row, gate))]


def _gene_samplers(alphabet: Alphabet, rng: Random) -> list[Callable[[], Gene]]:
    """How each of ``_genes`` is drawn."""

    def edge() -> Gene:
        return rng.choice(NOTHING + alphabet.codes)

    def gate() -> Gene:
        return rng.random() < 0.5

    return [
        lambda: rng.choice(alphabet.expansions),
        *(draw for node in range(1, alphabet.nodes) for draw in (*[edge] * node, gate)),
    ]


def _from_genes(genes: Sequence[Gene], alphabet: Alphabet) -> Genome:
    rest = iter(genes[1:])
    rows, gates = [], []
    for node in range(1, alphabet.nodes):
        rows.append("".join(str(next(rest)) for _ in range(node)))
        gates.append(bool(next(rest)))
    return Genome(int(genes[0]), tuple(rows), tuple(gates), alphabet.activation)


def _draw_valid(draw: Callable[[], Genome], wanted: Callable[[Genome], bool] = lambda genome: True) -> Genome:
    """The first drawn genome that is valid and wanted, in its canonical spelling.

    Raises:
        SpaceError: a thousand draws gave none.
    """
    for _ in range(1000):
        genome = draw()
        if is_valid(genome) and wanted(child := canonical_cell(genome)):
            return child
    raise SpaceError("a thousand cells were drawn and none was new: the alphabet allows too few")

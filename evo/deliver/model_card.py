"""The README of a delivered network: what it can do, what it costs, how it is used."""

from __future__ import annotations

from typing import Any

from spaces.costs.table import CONVENTIONS
from spaces.size import as_size, sides
from spaces.units import short

CARD = """# {title}

| | |
|---|---|
| accuracy on test images | {accuracy} |
| MACs | {macs} |
| parameters | {params:,} |
| latency | {latency} |
| found by | {found} |
| trained | {trained} |

    {arch}
{scale}
## Use

{use}

```python
{load}
network = {call}(".")
scores = network(images)
names = [network.classes[i] for i in scores.argmax(1)]
```

Images are floats from 0 to 1, `(n, {channels}, {height}, {width})`; subtracting the mean ({mean}) and dividing by the standard
deviation ({std}) is part of the network. Other sizes: resize to {height} x {width} first. The classes, which `classes` in the
metadata of `model.onnx` names, too: {classes}.

| file | for |
|---|---|
| `model.onnx` | onnxruntime: `InferenceSession("model.onnx").run(None, {{"images": images}})[0]` |
| `model.pt2` | `torch.export.load("model.pt2").module()(images)` |
| `model.safetensors` | the weights |
| `architecture.json` | everything above for programs; `spaces.load_network(".")` reads it, with stages as `network.layers` |
"""


def card(said: dict[str, Any]) -> str:
    """``README.md`` from what ``architecture.json`` says."""
    preprocessing, provenance, scale = said["preprocessing"], said["provenance"], said["scale"]
    height, width = sides(as_size(preprocessing["size"]))
    call = "load_network" if "left_out" in said else "load"
    return CARD.format(
        use=use(said),
        load="from spaces import load_network" if call == "load_network" else "from model import load",
        call=call,
        title=f"A network of run {provenance['run']}: {said['test']['accuracy']:.2%} with {short(said['costs']['macs'])} MACs",
        accuracy=accuracy(said),
        macs=f"{said['costs']['macs']:,} ({CONVENTIONS[said['costs']['convention']].definition})",
        params=said["costs"]["params"],
        latency=latency(said),
        found=found(provenance),
        trained=trained(said["training"]),
        arch=said["arch"],
        scale=f"\n{widths(scale)}\n" if scale else "",
        channels=preprocessing["channels"],
        height=height,
        width=width,
        mean=", ".join(f"{value:.4f}" for value in preprocessing["mean"]),
        std=", ".join(f"{value:.4f}" for value in preprocessing["std"]),
        classes=", ".join(f"{i} {name}" if name != str(i) else name for i, name in enumerate(said["classes"])),
    )


def use(said: dict[str, Any]) -> str:
    """What is needed to load the network in Python."""
    if "left_out" not in said:
        return "`model.py` needs torch and nothing else; it reads `model.safetensors` beside it:"
    own = "".join(f" and `evo.load_plugin({name!r})`" for name in said.get("plugins", {}))
    return f"There is no `model.py`: {said['left_out']['model.py']}. This needs the package `evo-nas`{own}:"


def accuracy(said: dict[str, Any]) -> str:
    """The test accuracy with its interval."""
    test = said["test"]
    return f"{test['accuracy']:.2%} ({test['low']:.2%} to {test['high']:.2%} with 95 % confidence; {test['images']:,} images)"


def latency(said: dict[str, Any]) -> str:
    """The measured latency, and where it was measured."""
    timed = said["latency"]
    threads = "one thread" if timed["threads"] == 1 else f"{timed['threads']} threads"
    return f"{timed['ms']:.2f} ms for one image, median of {timed['repeats']}, {threads} of a CPU ({timed['machine']})"


def found(provenance: dict[str, Any]) -> str:
    """Who picked it, from where."""
    said = f"run `{provenance['run']}`, round {provenance['round']}, seed {provenance['seed']}"
    if provenance["judge"] is None:
        return f"{said}; its judge was not asked"
    return f"{said}; judged {provenance['judged_accuracy']:.2%} by `{provenance['judge']}`"


def trained(training: dict[str, Any]) -> str:
    """How it was trained, in short."""
    settings = training["settings"]
    return (
        f"from scratch on {training['images']:,} images (training and validation ones together), "
        f"{settings['epochs']:g} epochs; all settings in `architecture.json`"
    )


def widths(scale: dict[str, Any]) -> str:
    """What became of the channels."""
    changes = ", ".join(f"{old} -> {new}" for old, new in scale["widths"].items() if int(old) != new) or "none changed"
    return f"Channels were scaled, in multiples of {scale['divisor']}: {changes}."


def told(said: dict[str, Any], folder: str) -> str:
    """The same for a terminal."""
    scale = f"  scale     {widths(said['scale'])}\n" if said["scale"] else ""
    left_out = said.get("left_out", {})
    return (
        f"  network   {said['arch']}\n{scale}"
        f"  found by  {found(said['provenance']).replace('`', '')}\n"
        f"  accuracy  {accuracy(said)}\n"
        f"  costs     {said['costs']['macs']:,} MACs, {said['costs']['params']:,} parameters\n"
        f"  latency   {latency(said)}\n"
        f"  files     {', '.join(name for name in FILES if name not in left_out)} in {folder}\n"
        f"{''.join(f'  left out  {name}: {reason}{chr(10)}' for name, reason in left_out.items())}"
        f'  load it   from spaces import load_network; network = load_network("{folder}")'
    )


FILES = ("model.safetensors", "architecture.json", "model.py", "model.onnx", "model.pt2", "README.md")
"""All that a delivered folder holds."""

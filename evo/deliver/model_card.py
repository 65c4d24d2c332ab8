"""The README of a delivered network: what it can do, what it costs, how it is used."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from spaces.costs.table import CONVENTIONS
from spaces.export.format_table import DEFAULT_FORMATS, FORMATS, Format, in_order
from spaces.size import as_size, both_sides, size_text
from spaces.units import format_number
from studies.config import WHOLE

CARD = """# {title}

| | |
|---|---|
| {measured} on test images | {accuracy} |
| MACs | {macs} |
| parameters | {params:,} |{device}
| latency | {latency} |
| found by | {found} |
| trained | {trained} |

    {arch}
{scale}{added}
## Use

{use}

```python
{load}
network = {call}(".")
scores = network({images})
names = [network.classes[i] for i in scores.argmax(1)]
```

Images are floats from 0 to 1, `(n, {channels}, {height}, {width})`; subtracting the mean ({mean}) and dividing by the standard
deviation ({std}) is part of the network. {prepared} The classes{told}:
{classes}.

| file | for |
|---|---|
{forms}| `model.safetensors` | the weights |{preprocess}
| `architecture.json` | everything above for programs; `spaces.load_network(".")` reads it, with stages as `network.layers` |
{measured_forms}{left_out}"""


def model_card(description: dict[str, Any]) -> str:
    """``README.md`` from what ``architecture.json`` says."""
    preprocessing, provenance, scale = description["preprocessing"], description["provenance"], description["scale"]
    height, width = both_sides(as_size(preprocessing["size"]))
    call, load = "load", ["from model import load"]
    if "model.py" in description.get("left_out", {}):
        call, load = "load_network", loading_lines(description)
    resize, trained = description.get("resize"), as_size(description["space"]["stem"]["size"])
    prepared = PREPARED[resize].format(height=height, width=width)
    if resize and trained != as_size(preprocessing["size"]):
        prepared += f" The training's had {size_text(trained)} first, and were scaled to that (bilinear, antialiased)."
    return CARD.format(
        use=use(description),
        load="\n".join([*(["from preprocess import prepare"] if resize else []), *load]),
        images='prepare("photo.jpg")' if resize else "images",
        prepared=prepared,
        preprocess="\n| `preprocess.py` | from an image, or a file of one, to the network's input |" if resize else "",
        call=call,
        title=f"A network of run {provenance['run']}: {result_clause(description)} "
        f"with {format_number(description['costs']['macs'])} MACs",
        measured=measured_words(description),
        accuracy=accuracy_sentence(description),
        macs=f"{description['costs']['macs']:,} ({CONVENTIONS[description['costs']['convention']].definition})",
        params=description["costs"]["params"],
        device="".join(f"\n| {name} | {value} |" for name, value in device_rows(description)),
        latency=latency_sentence(description),
        found=provenance_sentence(provenance) + finalists_clause(description),
        trained=training_sentence(description),
        arch=description["arch"],
        scale=f"\n{width_changes(scale)}\n" if scale else "",
        added=f"\nAdded: {additions_clause(description)}.\n" if "added" in description else "",
        channels=preprocessing["channels"],
        height=height,
        width=width,
        mean=", ".join(f"{value:.4f}" for value in preprocessing["mean"]),
        std=", ".join(f"{value:.4f}" for value in preprocessing["std"]),
        classes=listed_classes(description["classes"]),
        told=", which `classes` in the metadata of `model.onnx` names, too"
        if "onnx" in made_forms(description)
        else "",
        forms="".join(f"| `{_root(form.main)}` | {form.use} |\n" for form in made_forms(description).values()),
        measured_forms=measured_forms(description) + (f"\n{said}\n" if (said := int8_sentence(description)) else ""),
        left_out=forms_left_out(description),
    )


PREPARED = {
    "cover": "`preprocess.py` makes them of photographs as the training did: turned upright (EXIF), transparent parts on "
    "white, scaled (bilinear, by Pillow) until {height} x {width} pixels are just covered, and cut to the middle.",
    "stretch": "The training stretched its images to {height} x {width} pixels (bilinear, antialiased), as "
    "`preprocess.py` does.",
    "none": "The training's images had {height} x {width} pixels and were not resized; `preprocess.py` refuses other sizes.",
    None: "",
}
"""How images come to the network's size; None: a folder of release 0.1, which does not say it."""


def use(description: dict[str, Any]) -> str:
    """What is needed to load the network in Python."""
    if "model.py" not in description.get("left_out", {}):
        return "`model.py` needs torch and nothing else; it reads `model.safetensors` beside it:"
    own = ", ".join(f"`{name}`" for name in description.get("plugins", {}))
    needed = f" and {own}, which defines operations of it" if own else ""
    return f"There is no `model.py`: {description['left_out']['model.py']}. This needs the package `evo-nas`{needed}:"


def loading_lines(description: dict[str, Any]) -> list[str]:
    """The lines of Python in front of loading the network in this program: the import, and what defines its operations."""
    own = [f"load_plugin({name!r})" for name in description.get("plugins", {})]
    return [*(["from evo import load_plugin"] if own else []), "from spaces import load_network", *own]


MOST_NUMBERS = 20
"""Classes without names that are listed by their numbers."""


def listed_classes(names: Sequence[str]) -> str:
    """The classes, each with its number; many that have no names are not listed."""
    if len(names) > MOST_NUMBERS and list(names) == list(map(str, range(len(names)))):
        return f"{names[0]} to {names[-1]}, which have no names here"
    return ", ".join(f"{i} {name}" if name != str(i) else name for i, name in enumerate(names))


def noun_of(description: dict[str, Any]) -> str:
    """What was measured on the test images: ``accuracy``, or ``agreement`` where they have no labels."""
    return str(description.get("measured", "accuracy"))


def measured_words(description: dict[str, Any]) -> str:
    """The same, with whose class it is."""
    return "accuracy" if noun_of(description) == "accuracy" else f"agreement with {who_teaches(description)}"


def who_teaches(description: dict[str, Any]) -> str:
    """The network whose class counts where images have no labels."""
    return "the whole network" if description["teacher"]["name"] == WHOLE else "its teacher"


def result_clause(description: dict[str, Any]) -> str:
    """The test's result: ``98.66%``, or ``98.66% agreement with the whole network``."""
    noun = noun_of(description)
    return f"{description['test'][noun]:.2%}" + (f" {measured_words(description)}" if noun != "accuracy" else "")


def accuracy_sentence(description: dict[str, Any]) -> str:
    """The test accuracy (or agreement) with its interval."""
    test = description["test"]
    share, low, high = (f"{test[name]:.2%}" for name in (noun_of(description), "low", "high"))
    return f"{share} ({low} to {high} with 95 % confidence; {test['images']:,} images)"


def device_rows(description: dict[str, Any]) -> list[tuple[str, str]]:
    """Flash and memory on the run's device, each with its name; none: the run has no device."""
    costs = description["costs"]
    shares = {name: f", {costs[name] / most:.0%} of {most:,g} KB" for name, most in costs.get("limits", {}).items()}
    return [
        (noun, f"{costs[name]:,.1f} KB of {what} at {costs['precision']}{shares.get(name, '')}")
        for noun, name, what in (("flash", "flash_kb", "weights"), ("memory", "memory_kb", "live activations"))
        if name in costs
    ]


def latency_sentence(description: dict[str, Any]) -> str:
    """The measured latency, and where it was measured."""
    timed = description["latency"]
    threads = "one thread" if timed["threads"] == 1 else f"{timed['threads']} threads"
    return f"{timed['ms']:.2f} ms for one image, median of {timed['repeats']}, {threads} of a CPU ({timed['machine']})"


def provenance_sentence(provenance: dict[str, Any]) -> str:
    """The run, round and seed that the network comes from, and its judged accuracy."""
    origin = f"run `{provenance['run']}`, round {provenance['round']}, seed {provenance['seed']}"
    unmeasured = "its judge was not asked"
    if "summed_loss" in provenance:
        lost = f"{provenance['summed_loss']:.2g} in sum"
        parts = provenance.get("summed_over", "cuts")
        origin += f"; of all within the limits the one whose {parts} lose least by themselves, {lost}"
        unmeasured = "as a whole it was not measured"
    if provenance["judge"] is None:
        return f"{origin}; {unmeasured}"
    if "judged_score" in provenance:
        return f"{origin}; scored {provenance['judged_score']:.2%} by `{provenance['judge']}`"
    if "judged_agreement" in provenance:
        return f"{origin}; judged {provenance['judged_agreement']:.2%} agreement by `{provenance['judge']}`"
    return f"{origin}; judged {provenance['judged_accuracy']:.2%} by `{provenance['judge']}`"


def finalists_clause(description: dict[str, Any]) -> str:
    """How the network was chosen among several that were trained alone; empty where it was the judge's favourite."""
    if (finalists := description.get("finalists")) is None:
        return ""
    networks = finalists["networks"]
    delivered = networks[finalists["delivered"]]
    found = delivered["agreements" if noun_of(description) == "agreement" else "accuracies"]
    return (
        f"; of {len(networks)} finalists, each trained alone, the best on {finalists['validation_images']:,} held-out images: "
        f"{fmean(found):.2%}"
    )


def training_sentence(description: dict[str, Any]) -> str:
    """How it was trained, in short."""
    training = description["training"]
    begun = "from weights that were cut out of a trained network," if "start" in description else "from scratch"
    taught = teacher_clause(description)
    return (
        f"{begun} on {training['images']:,} images (training and validation ones together), "
        f"{training['settings']['epochs']:g} epochs; {f'{taught}; ' if taught else ''}all settings in `architecture.json`"
    )


def teacher_clause(description: dict[str, Any]) -> str:
    """What taught it; empty where nothing did."""
    if (teacher := description.get("teacher")) is None:
        return ""
    whole = "the whole network" if noun_of(description) == "agreement" else "the network that the run has fine-tuned"
    whose = whole if teacher["name"] == WHOLE else f"`{teacher['name']}`"
    settings, macs = description["training"]["settings"], format_number(teacher["macs"])
    weight = settings.get("teacher_features", 0)
    imitated = f", and the outputs of its blocks are imitated with weight {weight:g}" if weight else ""
    return (
        f"distilled from {whose} ({macs} MACs, sha256 `{teacher['sha256'][:12]}`): its probabilities are "
        f"{settings['teacher_share']:.0%} of each target{imitated}"
    )


def width_changes(scale: dict[str, Any]) -> str:
    """What became of the channels."""
    changes = ", ".join(f"{old} -> {new}" for old, new in scale["widths"].items() if int(old) != new) or "none changed"
    return f"Channels were scaled, in multiples of {scale['divisor']}: {changes}."


def additions_clause(description: dict[str, Any]) -> str:
    """What was added to the network that was searched, and that network."""
    added = description["added"]
    return (
        f"{' and '.join(added['names'])}; as searched it is `{added['to']}`, with {added['macs']:,} MACs and "
        f"{added['params']:,} parameters"
    )


def terminal_summary(description: dict[str, Any], folder: str) -> str:
    """The same for a terminal."""
    scale = f"  scale     {width_changes(description['scale'])}\n" if description["scale"] else ""
    added = f"  added     {additions_clause(description).replace('`', '')}\n" if "added" in description else ""
    left_out, said = description.get("left_out", {}), int8_sentence(description).replace("`", "")
    int8 = f"  int8      {said.removeprefix('In 8 bits: ')}\n" if said else ""
    return (
        f"  network   {description['arch']}\n{scale}{added}"
        f"  found by  {provenance_sentence(description['provenance']).replace('`', '')}{finalists_clause(description)}\n"
        f"{teacher_line(description)}"
        f"  {noun_of(description):9} {accuracy_sentence(description)}{whose_class(description)}\n"
        f"  costs     {description['costs']['macs']:,} MACs, {description['costs']['params']:,} parameters\n"
        f"{''.join(f'  {noun:9} {value}{chr(10)}' for noun, value in device_rows(description))}"
        f"  latency   {latency_sentence(description)}\n"
        f"  files     {', '.join(dict.fromkeys(map(_root, files_of(description))))} in {folder}\n"
        f"{int8}"
        f"{''.join(f'  left out  {_root(name)}: {reason}{chr(10)}' for name, reason in left_out.items())}"
        f'  load it   {"; ".join(loading_lines(description))}; network = load_network("{folder}")'
    )


def whose_class(description: dict[str, Any]) -> str:
    """A clause behind agreement: with whom; empty behind accuracy."""
    return (
        ""
        if noun_of(description) == "accuracy"
        else f": the class of {who_teaches(description)}; images have no labels"
    )


def teacher_line(description: dict[str, Any]) -> str:
    """What taught it, as a line for a terminal; empty where nothing did."""
    clause = teacher_clause(description).replace("`", "")
    return f"  trained   {clause}\n" if clause else ""


# -- files and forms --------------------------------------------------------------------------------------------------

ALWAYS = ("model.safetensors", "architecture.json", "model.py"), ("preprocess.py", "README.md")
"""What a delivered folder holds in front of the forms that it was asked for, and behind them."""


def files_of(description: dict[str, Any]) -> list[str]:
    """The files of the folder that ``architecture.json`` describes; those of release 0.1 have no ``preprocess.py``."""
    left_out = {*description.get("left_out", {}), *(() if "resize" in description else ("preprocess.py",))}
    forms = [file for form in made_forms(description).values() for file in form.files]
    return [name for name in (*ALWAYS[0], *forms, *ALWAYS[1]) if name not in left_out]


def formats_of(description: dict[str, Any]) -> tuple[str, ...]:
    """The names of the forms that a folder was asked for."""
    return in_order(description.get("formats", DEFAULT_FORMATS))


def made_forms(description: dict[str, Any]) -> dict[str, Format]:
    """Those of them that could be made."""
    left_out = description.get("left_out", {})
    return {name: FORMATS[name] for name in formats_of(description) if FORMATS[name].main not in left_out}


def _root(file: str) -> str:
    """The file that a user passes on, or the folder that it belongs to."""
    return file.split("/")[0]


def measured_forms(description: dict[str, Any]) -> str:
    """The table of what each form does; empty where none was measured, as in folders of earlier versions."""
    if not (forms := description.get("forms")):
        return ""
    noun, torch = noun_of(description), description.get("versions", {}).get("torch", "")
    timed, share = description["latency"], description["test"][noun_of(description)]
    lines = [f"| `model.safetensors` | torch {torch} | {timed['ms']:.3g} ms | {share:.2%} | |"]
    for name, said in forms.items():
        if name not in made_forms(description):
            continue
        cells = [f"`{_root(FORMATS[name].main)}`, {said['bytes']:,} bytes"]
        if "not_run" in said:
            cells += [f"was not run: {said['not_run']}", "", "", ""]
        else:
            away = f"{said['distance']:.0e} of the largest"
            cells += [said["runtime"], f"{said['latency']['ms']:.3g} ms", f"{said[noun]:.2%}", away]
        lines.append(f"| {' | '.join(cells)} |")
    return MEASURED_FORMS.format(noun=measured_words(description), lines="\n".join(lines))


MEASURED_FORMS = """
What runs where it was made was run there, on a CPU: on one image at a time for the latency, once on all test images, and on
random images beside torch.

| file | run by | latency | {noun} | scores differ from torch's by |
|---|---|---|---|---|
{lines}
"""


def int8_sentence(description: dict[str, Any]) -> str:
    """What became of the layers in 8 bits; empty: there is no such form."""
    if (found := description.get("int8")) is None or "int8" not in made_forms(description):
        return ""
    kept = ", ".join(f"`{layer}`" for layer in found["in_float"])
    layers = f"all {found['layers']} layers but {kept}" if kept else f"all {found['layers']} layers"
    before = f" (with all layers {found['at_first']:.2%})" if kept else ""
    return (
        f"In 8 bits: {layers}. Of {found['checked']:,} training images {found['changed']:.2%} are decided otherwise than in 32 "
        f"bits{before}; {found['most']:.2%} are allowed."
    )


def forms_left_out(description: dict[str, Any]) -> str:
    """Which forms could not be made, and why; empty: none."""
    left_out = description.get("left_out", {})
    mains = {FORMATS[name].main: _root(FORMATS[name].main) for name in formats_of(description)}
    lines = "".join(f"- `{mains[file]}`: {reason}\n" for file, reason in left_out.items() if file in mains)
    return f"\nLeft out:\n\n{lines}" if lines else ""

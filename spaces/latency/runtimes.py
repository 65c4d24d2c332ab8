"""``python -m spaces.latency.runtimes onnxruntime FILE`` times an ONNX file here, and prints milliseconds per pass.

It is a command as ``python -m spaces.latency --command`` takes it, and the same for a device on which this package is
installed.

Whatever else a machine does only adds to the time of a pass. On a shared one it does so for seconds on end, and half of the
passes are slowed; so what is printed is not their median but the slowest of the fastest fiftieth.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from spaces import shell
from spaces.errors import SpaceError

EXAMPLES = """examples:
  python -m spaces.latency.runtimes onnxruntime network.onnx
  python -m spaces.latency.runtimes openvino network.onnx --threads 2 --seconds 10
"""

WARM_UP = 10
"""Passes that are not counted."""

UNDISTURBED = 0.02
"""The quantile of the passes' times that is printed."""

LEAST = 10
"""Passes that are counted at least, however long they take."""

Run = Callable[[], object]


def onnxruntime(path: Path, threads: int) -> Run:
    """A pass of the file by ONNX Runtime, on the CPU."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    shape = [side if isinstance(side, int) else 1 for side in given.shape]
    images = np.random.default_rng(0).random(shape, np.float32)
    return lambda: session.run(None, {given.name: images})


def openvino(path: Path, threads: int) -> Run:
    """A pass of the file by OpenVINO, on the CPU.

    Raises:
        SpaceError: it is not installed.
    """
    try:
        from openvino import Core
    except ImportError:
        raise SpaceError("OpenVINO is not installed: pip install openvino") from None
    model = Core().compile_model(str(path), "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"})
    shape = [side.get_length() if side.is_static else 1 for side in model.input(0).partial_shape]
    images, request = np.random.default_rng(0).random(shape, np.float32), model.create_infer_request()
    return lambda: request.infer([images])


RUNTIMES: dict[str, Callable[[Path, int], Run]] = {"onnxruntime": onnxruntime, "openvino": openvino}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = shell.parser(
        "spaces.latency.runtimes",
        "Time an ONNX file on this machine: milliseconds per pass, by the fastest fiftieth of all passes.",
        EXAMPLES,
    )
    command.add_argument("runtime", choices=RUNTIMES)
    command.add_argument("file", type=Path, metavar="FILE")
    command.add_argument("--threads", type=shell.integer(1), default=1, metavar="N", help="(default: %(default)s)")
    command.add_argument(
        "--seconds",
        type=shell.number,
        default=3.0,
        metavar="S",
        help=f"how long it is timed, {LEAST} passes at least (default: %(default)s)",
    )
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: a number was printed; 1: an error, in words."""
    return shell.run_command(_time, parser().parse_args(argv), "nothing was kept")


def _time(args: argparse.Namespace) -> int:
    if not args.file.is_file():
        raise SpaceError(f"no file {args.file}")
    run = RUNTIMES[args.runtime](args.file, args.threads)
    for _ in range(WARM_UP):
        run()
    times: list[float] = []
    begin = perf_counter()
    while len(times) < LEAST or perf_counter() - begin < args.seconds:
        start = perf_counter()
        run()
        times.append((perf_counter() - start) * 1e3)
    print(f"{np.quantile(times, UNDISTURBED):.6f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

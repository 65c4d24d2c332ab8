"""``python -m spaces.latency.runtimes onnxruntime FILE`` times an ONNX file here, and prints the median in milliseconds.

It is a command as ``python -m spaces.latency --command`` takes it, and the same for a device on which this package is
installed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from spaces import shell
from spaces.errors import SpaceError

EXAMPLES = """examples:
  python -m spaces.latency.runtimes onnxruntime network.onnx
  python -m spaces.latency.runtimes openvino network.onnx --threads 2 --repeats 200
"""

WARM_UP = 10
"""Passes that are not counted."""

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
        "spaces.latency.runtimes", "Time an ONNX file on this machine: the median, in milliseconds.", EXAMPLES
    )
    command.add_argument("runtime", choices=RUNTIMES)
    command.add_argument("file", type=Path, metavar="FILE")
    command.add_argument("--threads", type=shell.integer(1), default=1, metavar="N", help="(default: %(default)s)")
    command.add_argument(
        "--repeats", type=shell.integer(1), default=50, metavar="N", help="passes (default: %(default)s)"
    )
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: a number was printed; 1: an error, in words."""
    return shell.run_command(_time, parser().parse_args(argv), "nothing was kept")


def _time(args: argparse.Namespace) -> int:
    if not args.file.is_file():
        raise SpaceError(f"no file {args.file}")
    run = RUNTIMES[args.runtime](args.file, args.threads)
    times = []
    for _ in range(WARM_UP + args.repeats):
        start = perf_counter()
        run()
        times.append((perf_counter() - start) * 1e3)
    print(f"{median(times[WARM_UP:]):.6f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What ``python -m evo.round`` prints about the work that ``session`` does."""

from __future__ import annotations

import json
from argparse import Namespace

from evo import console
from evo.round.options import RunOptions
from evo.round.session import finish_rounds


def run_rounds(args: Namespace) -> int:
    """Bring the runs that the command line asks for to the end of round N; compare them where there are control arms."""
    from evo.round.printing import next_commands, nothing_to_do
    from studies.database.store import open_store

    options = options_of(args)
    reporter = console.SILENT if args.quiet else console.TERMINAL
    finished = finish_rounds(options, reporter)
    with open_store(options.storage) as store:
        run = finished.runs[0]
        reporter.say(next_commands(store, run, options) if finished.worked else nothing_to_do(run, options))
        if options.control:
            from analysis.answers.both import answers

            reporter.say("\n" + "\n".join(answers(store, run).sentences()))
    return 0


def print_plan(args: Namespace) -> int:
    """Print what would run; touch nothing."""
    from evo.data.inspection import warn_of
    from evo.round.plan import make_plan

    plan = make_plan(options_of(args), args.memory)
    if plan.data is not None:
        warn_of(plan.data, console.warn)
    console.say(json.dumps(plan.to_dict(), indent=1) if args.json else str(plan))
    return 0


def options_of(args: Namespace) -> RunOptions:
    """What a command line asks for."""
    return RunOptions(
        rounds=args.n,
        config=args.config,
        run=args.run,
        storage=args.storage,
        seed=args.seed,
        repeat=args.seeds,
        control=tuple(args.control),
        overrides=tuple(args.set),
        learn_from=tuple(args.learn_from),
        plugins=tuple(args.plugin),
        workers=args.workers,
        cluster=args.cluster,
        accept_data_change=args.accept_data_change,
    )

"""Results with SQL and with pandas: everything that a run measures lies in one database.

    python examples/06_results_with_sql_and_pandas.py

Views are for people: ``results`` holds a row per network that was proposed and measured, ``failures`` those that could not be.
With PostgreSQL or MySQL, ask the same questions through their own clients. Takes half a minute.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pandas as pd

import evo

FILE = "example.db"
SMALL = {
    "data.max_images": 600,
    "evaluator.epochs": 4,
    "search.evaluations": 16,
    "search.population": 8,
    "ground_truth.sample": 0,
    "evolution": {"method": "pad_nas", "rank": 2, "share": 0.1},  # strict, so that a small run drops something
}

BEST_OF_EACH_ROUND = """
SELECT round, accuracy, macs, arch
FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY round ORDER BY accuracy DESC, macs) AS place
    FROM results
    WHERE run = 'example'
) AS ranked
WHERE place = 1
ORDER BY round
"""

DROPPED = """
SELECT rounds.number AS round, choices.layer, choices.op, choices.rating, choices.share
FROM choices
JOIN rounds ON rounds.id = choices.round_id
JOIN runs ON runs.id = rounds.run_id
WHERE runs.name = 'example' AND choices.fate = 'dropped'
ORDER BY rounds.number, choices.layer_index
"""


def main() -> None:
    run = evo.search("digits", rounds=2, run="example", storage=f"sqlite:///{FILE}", set=SMALL)

    with closing(sqlite3.connect(FILE)) as database:  # SQL, without this program
        print("\nThe best of each round:")
        print(pd.read_sql(BEST_OF_EACH_ROUND, database).to_string(index=False))
        print("\nOperations that were dropped:")
        print(pd.read_sql(DROPPED, database).to_string(index=False))

    results = run.results()  # the same rows as data frames
    print("\nWhere proposals came from, and what came of them:")
    print(results.groupby(["round", "origin"])["accuracy"].agg(["count", "mean", "max"]).round(3))
    print("\nThe front:")
    print(run.front()[["accuracy", "macs", "params", "arch"]].to_string(index=False))


if __name__ == "__main__":
    main()

"""Everything that is remembered, in SQL beside Optuna's own tables.

``store.Store`` is what the rest of the program sees; ``lineage``, ``deliveries`` and ``trainings`` add bred cells, delivered
networks and networks that were trained alone. ``schema`` and ``migrations`` are our tables, ``rows`` turns their rows into
records and back, ``measured`` gives rounds as they were measured, ``views`` are for people who ask the database themselves.
``urls`` and ``engines`` connect, ``contents`` looks what a database holds before anything is written, ``copies`` are read in
the place of an original, ``errors`` says what a database cannot do, ``leases`` give each run one coordinator. ``mirror``,
``trials`` and ``optuna_tables`` mirror a run for the dashboard.
"""

__all__ = [
    "contents",
    "copies",
    "deliveries",
    "engines",
    "errors",
    "leases",
    "lineage",
    "measured",
    "mirror",
    "no_search",
    "optuna_tables",
    "rows",
    "running",
    "schema",
    "statistics",
    "store",
    "trainings",
    "trials",
    "urls",
    "views",
]

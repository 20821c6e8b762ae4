"""How deep does each preset forget, beside models that never saw the class?

    python -m benchmarks.method [--quick]

`cases.py` says what is compared, `data.py` and `training.py` make data sets and trained networks
(cached by content), `measures.py` reads a network, `table.py` and `pictures.py` show the result.
`by_event.py` is the command line of the studies of single events, `shares.py` and `tops.py`.
"""

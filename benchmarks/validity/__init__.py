"""How often are the verdicts wrong? Honest candidates and planted cheats over many events.

    make bench-validity         # resumable: what was measured is kept in .cache/validity
    python -m benchmarks.validity --quick

`data` and `nets` are what is audited, `cheats` who must not pass, `bench` measures one event,
`judging` turns findings into verdicts, `report` into figures.
"""

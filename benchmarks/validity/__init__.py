"""How often are the verdicts wrong? Honest candidates and planted cheats over many events.

    make bench-validity         # resumable: findings travel in results/validity-findings
    python -m benchmarks.validity --quick

`data` and `nets` are what is audited, `cheats` who must not pass, `bench` measures one event,
`findings_archive` keeps what was found with the repository, `judging` turns findings into verdicts,
`report` into figures, `page` into what people read.
"""

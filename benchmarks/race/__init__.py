"""The race: which method of forgetting comes closest to retraining, at what price?

    make bench-race                  # resumable: everything is kept in .cache/race by its content
    python -m benchmarks.race --quick

tracks.py says what is raced on, entrants.py who takes part; data.py, nets.py and trainings.py make
rows and networks; racing.py chooses settings and runs methods; exam.py puts the results before the
audits, distance.py and metrics.py make figures of them; store.py keeps it; report.py, page.py
and picture.py write benchmarks/results/race.json, race.md and docs/race.svg. peers.py runs packages
of the registry as they come, by itself.
"""

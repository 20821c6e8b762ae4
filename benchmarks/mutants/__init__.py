"""Would tests notice? Small changes of deciding modules, each run against the module's own tests.

    make bench-mutants          # 200 drawn at random; resumable
    python -m benchmarks.mutants --count 20 --under audits

`mutation` finds and makes changes, `own_tests` says which tests are a module's own, `plugin` puts a
change in place in memory when pytest imports the module, `warm` runs pytest in a fork of a process
that holds the libraries, `trial` is one run, `report` writes the figures, `equivalent` says why
some of them change nothing.
"""

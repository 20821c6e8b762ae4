"""damp as a service: events that carry out requests and audit claims, and all that keeps them.

A request comes in, an event takes it through ten steps, and a signed statement goes out. The rooms
lie over each other; imports go down only (`lint-imports` checks it).

    cli/            the commands: one file for each family, with its options and what it prints
    orchestration/  Prefect: an event as a flow, resumed where it stopped; schedules and pages
    qualification/  a procedure qualified once: its study, and spot checks of events under it
    operations/     what is done beside events: replay, re-audit, purge, promote, train, doctor
    steps/          the ten steps of an event, from the accepted request to the closed ledger
    intake/         requests and claims until they are accepted: received, checked, signed off
    records/        what can be read afterwards: status, reports, inventory, provenance, cost
    registry/       MLflow: models by version, their lineage, and the gate before promotion
    models/         architectures, weights, recipes, and statistics of models
    data/           data sets, their versions in DVC, commitments to what is forgotten
    servers/        processes and addresses: Prefect and MLflow servers, clusters of workers
    state/          the state folder: paths, files, settings, locks, keys, journal, errors

`data` and `servers` stand side by side. The mathematics is in `damp`, the measurements in `audits`,
verdict, ledger and report in `compliance`; none of these three imports this package.
"""

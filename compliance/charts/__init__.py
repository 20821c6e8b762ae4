"""The report's pictures, as SVG.

    charts.py      The pictures of the report: each with a title, a description and the table behind
    classes.py     Class by class: how many images are recognised, and where the forgotten images go
    depth.py       How readable the class is at each depth, against the band of the retrained models
    overview.py    All required measurements on one scale: distance to the yardstick in units of the
    picture.py     One larger picture of the report, and the marks that all of them share
    relearning.py  How fast the class comes back while the model is trained on, against retrained mo
    remainder.py   What remains of what the original knew: 0 is a model that never saw the class, 1
    roc.py         How many training images an attacker finds, for each share of false alarms; both
    strength.py    How strongly each layer was changed, in the order of the network
    svg.py         A matplotlib figure as SVG that may stand inside a page: same bytes each time, no
    values.py      The figures of an audit as they are, for audits whose unit is not what the origin

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "charts",
]

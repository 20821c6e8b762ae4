"""The report's pictures, as SVG, each with the table behind it.

    charts.py      which pictures a report has
    overview.py    all required measurements in units of their margin
    strength.py    how strongly each layer was changed
    classes.py     accuracy per class, and where the forgotten images go
    roc.py         the membership attack: hits for each share of false alarms
    depth.py       how readable the class is at each depth
    relearning.py  how fast the class comes back in training
    studies.py     the classes of a qualification, and the bound that spot checks give
    picture.py     what a picture is, and the marks that all share
    svg.py         from matplotlib to an SVG that may stand inside a page

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "charts",
    "studies",
]

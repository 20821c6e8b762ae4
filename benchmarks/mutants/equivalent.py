"""Mutants that change nothing which could be noticed, with the reason of each."""

from __future__ import annotations

from collections.abc import Mapping

EQUIVALENT: Mapping[tuple[str, str], str] = {
    (
        "audits/forecast.py:56",
        "return False -> return None",
    ): "it is asked in conditions alone, where both are false",
    (
        "damp/dense_writer.py:24",
        "retain - centre -> retain + centre",
    ): "what it is multiplied with is centred, so that a constant adds nothing",
    (
        "damp/low_rank_update.py:62",
        "best.separability < ENOUGH * first.separability -> "
        "best.separability <= ENOUGH * first.separability",
    ): "two measured numbers are never the same to the last digit",
    (
        "audits/calibrated.py:20",
        "True -> False",
    ): "members and held-out images have one array of shares each: both tuples are pairs",
    (
        "audits/calibrated.py:30",
        "2 -> 3",
    ): "the initial value of a minimum stands in where there are no images at all, and 3 is two "
    "or more as well",
    (
        "audits/calibrated.py:73",
        "True -> False",
    ): "shadows with and without an image are two sides everywhere",
    (
        "audits/calibrated.py:82",
        "True -> False",
    ): "shadows with and without an image are two sides everywhere",
    (
        "audits/controls.py:20",
        "1.0 -> 2.0",
    ): "a feature without a spread is 0 once centred, whatever it is divided by",
    (
        "audits/controls.py:51",
        "moved < wanted -> moved <= wanted",
    ): "a measured distance that equals the wanted one in every bit does not occur",
    (
        "audits/controls.py:53",
        "abs(moved - wanted) <= NEAR * wanted -> abs(moved - wanted) < NEAR * wanted",
    ): "a measured distance that equals the limit in every bit does not occur",
    (
        "audits/controls.py:80",
        "direction /= direction.norm() -> direction *= direction.norm()",
    ): "the direction's length falls out where the change is scaled to its norm",
    (
        "audits/controls.py:84",
        "start.ndim > 2 -> start.ndim >= 2",
    ): "of two axes moving the last to the second place changes nothing",
    (
        "audits/discriminant.py:6",
        "1.0 -> 2.0",
    ): "a feature without a spread is 0 once centred, whatever it is divided by",
    (
        "audits/discriminant.py:46",
        "(scores[:, own].var(1) + scores[:, rest].var(1)) / 2 -> (scores[:, own].var(1) + "
        "scores[:, rest].var(1)) * 2",
    ): "all probes' spreads grow alike: the strongest is the same",
    (
        "audits/discriminant.py:50",
        "2 -> 3",
    ): "all probes' spreads shrink alike: the strongest is the same",
    (
        "audits/discriminant.py:65",
        "count < width -> count <= width",
    ): "with as many rows as features either form of the inverse gives the axis",
    (
        "audits/discriminant.py:85",
        "rows - centre -> rows + centre",
    ): "centred rows sum to 0, so that what is added to the other factor falls out",
    (
        "audits/discriminant.py:86",
        "rows - centre -> rows + centre",
    ): "centred rows sum to 0, so that what is added to the other factor falls out",
    (
        "audits/discriminant.py:106",
        "0 -> 1",
    ): "both estimates' retain rows are the same images: only their contributions are replaced",
    (
        "audits/discriminant.py:108",
        "0 -> 1",
    ): "a figure has the same bounds for every class",
    (
        "audits/head_suppression.py:54",
        "True -> False",
    ): "two names, two figures",
    (
        "audits/reference_independence.py:33",
        "compared > 0 -> compared >= 0",
    ): "with no weight compared, none is copied, and 0 is not more than 0",
    (
        "audits/regions.py:21",
        "gap > 0 -> gap >= 0",
    ): "a gap of 0 has left before",
    (
        "audits/regions.py:41",
        "1.0 -> 2.0",
    ): "a figure without degrees of freedom has no region and has left before",
    (
        "audits/regions.py:82",
        "1.0 -> 2.0",
    ): "a figure without degrees of freedom has no region and has left before",
    (
        "audits/regions.py:102",
        "10 -> 11",
    ): "the bracket of a root may be wider",
    (
        "audits/regions.py:104",
        "1e-06 -> 2e-06",
    ): "the tolerance of a root, a millionth of a spread, may be twice as large",
    (
        "audits/regions.py:105",
        "low >= high -> low > high",
    ): "where both limits agree the chance of lying between them is 0 as well",
    (
        "audits/regions.py:138",
        "1.0 -> 2.0",
    ): "the events exclude each other: their chances never sum to more than 1",
    (
        "audits/remainder.py:60",
        "influence[np.searchsorted(rows, units.rows)] += weight * centred / scale -> "
        "influence[np.searchsorted(rows, units.rows)] -= weight * centred / scale",
    ): "all influences change their sign together, and only their products are used",
    (
        "audits/triggers.py:11",
        "True -> False",
    ): "of each batch there are a least and a greatest value",
    (
        "audits/triggers.py:27",
        "1 -> 2",
    ): "a single number is broadcast over any number of axes",
    (
        "audits/weight_likeness.py:37",
        "0 -> 1",
    ): "an initial value of a maximum stands in where there are no numbers, and 1 is small as well",
    (
        "audits/weight_likeness.py:42",
        "correlation_along(own, matrix(other)) >= limit -> correlation_along(own, matrix(other)) "
        "> limit",
    ): "a measured correlation that equals the limit in every bit does not occur",
    (
        "audits/weight_likeness.py:47",
        "correlation_along(own, matrix(other)) >= limit -> correlation_along(own, matrix(other)) "
        "> limit",
    ): "a measured correlation that equals the limit in every bit does not occur",
    (
        "audits/weight_likeness.py:54",
        "correlation_along(own.T, matrix(other)) >= limit -> correlation_along(own.T, "
        "matrix(other)) > limit",
    ): "a measured correlation that equals the limit in every bit does not occur",
    (
        "audits/weight_likeness.py:74",
        "0.0 -> 1.0",
    ): "both windows' sums begin at the same number, which falls out of their difference",
    (
        "audits/weight_likeness.py:120",
        "alike <= 0.5 -> alike < 0.5",
    ): "a measured likeness that equals the limit in every bit does not occur",
    (
        "audits/weight_likeness.py:127",
        "alike > (1 + by_chance) / 2 -> alike >= (1 + by_chance) / 2",
    ): "a measured likeness that equals the limit in every bit does not occur",
    (
        "audits/weight_likeness.py:143",
        "1.0 -> 2.0",
    ): "a row without a spread is 0 once centred, whatever it is divided by",
    (
        "audits/weight_likeness.py:154",
        "spectra_apart(own, view) < SAME_SPECTRUM -> spectra_apart(own, view) <= SAME_SPECTRUM",
    ): "a measured distance that equals the limit in every bit does not occur",
    (
        "audits/weight_likeness.py:158",
        "len(upper[0]) < LEAST_ENTRIES -> len(upper[0]) <= LEAST_ENTRIES",
    ): "no number of rows has 64 pairs",
    (
        "audits/weight_likeness.py:159",
        "0 -> 1",
    ): "both arrays of places have the same length",
    (
        "audits/weight_likeness.py:173",
        "np.corrcoef(one, two)[0, 1] >= limit -> np.corrcoef(one, two)[0, 1] > limit",
    ): "a measured correlation that equals the limit in every bit does not occur",
    (
        "audits/weight_record.py:42",
        "True -> False",
    ): "gradients are taken of the very leaves that are named",
    (
        "audits/weight_record.py:55",
        "True -> False",
    ): "rows and signs are as many, and cut alike",
    (
        "audits/weight_record.py:56",
        "outputs * part_signs -> outputs / part_signs",
    ): "signs are 1 or -1: to divide by them is to multiply",
    (
        "audits/whitening.py:22",
        "variances > total * 1e-12 -> variances >= total * 1e-12",
    ): "a variance that equals a rounded limit in every bit does not occur",
    (
        "audits/whitening.py:37",
        "basis.variances > basis.floor -> basis.variances >= basis.floor",
    ): "a measured variance that equals the floor in every bit does not occur",
    (
        "compliance/documents/study.py:3",
        "return file -> return None",
    ): "what is not refused there is None",
    (
        "compliance/ledger/checkpoint.py:10",
        "1 -> 2",
    ): "so many bytes are read that a note which is too large is seen to be: one beyond the "
    "limit, or two",
    (
        "compliance/signing/signed_note.py:27",
        "return False -> return None",
    ): "whether a signature holds is only asked, and None is no yes either",
    (
        "compliance/verdict/expected_power.py:43",
        "True -> False",
    ): "there is one line for each required row",
    (
        "compliance/verdict/expected_power.py:97",
        "0 -> 1",
    ): "without rows there is nothing that could be narrower than the widest",
    (
        "damp/accumulator.py:4",
        "True -> False",
    ): "each group has a size and an end of its own: both lists are as long",
    (
        "damp/accumulator.py:42",
        "features // blocks -> features / blocks",
    ): "blocks of features are equally wide: their number divides the features",
    (
        "damp/layouts.py:16",
        "feature_axis < 0 -> feature_axis <= 0",
    ): "the axis of features is 1 or -1",
    (
        "damp/layouts.py:17",
        "0 -> 1",
    ): "the axis of features is 1 or -1",
    (
        "damp/layouts.py:26",
        "self.axis > features -> self.axis >= features",
    ): "samples and features on one axis have left before",
    (
        "damp/layouts.py:57",
        "0 -> 1",
    ): "all rows of a batch have one shape",
    (
        "damp/layouts.py:64",
        "1.0 -> 2.0",
    ): "of a batch without any spread the noise may have any size: only whether one sample "
    "differs is looked at",
    (
        "damp/methods/closed/fisher.py:36",
        "True -> False",
    ): "gradients are taken of the very parameters that are summed",
    (
        "damp/methods/closed/lfssd.py:7",
        "True -> False",
    ): "gradients are taken of the very parameters that are summed",
    (
        "damp/methods/closed/ssd.py:18",
        "True -> False",
    ): "inputs and labels of a batch are as many, and cut alike",
    (
        "damp/methods/training.py:36",
        "10000000000.0 -> 20000000000.0",
    ): "either logit has a chance of 0 in every floating format",
    (
        "audits/novel_class_null.py:56",
        "True -> False",
    ): "scores and held-out rows are two of each, one for each group",
    ("audits/finetuning.py:36", "True -> False"): "images and classes are as many, and cut alike",
    (
        "audits/forecast.py:39",
        "True -> False",
    ): "budgets with another number of parts have been left out",
    ("audits/membership.py:96", "True -> False"): "there is one centre for each pair",
    ("audits/membership.py:98", "True -> False"): "there is one centre for each pair",
    ("damp/costing.py:6", "True -> False"): "there is one ramp for each first reader",
    ("damp/costing.py:17", "True -> False"): "a mixture has one weight for each class to keep",
    ("damp/natural.py:71", "True -> False"): "a depth has one number of each kind for each class",
    (
        "damp/natural.py:104",
        "True -> False",
    ): "the values are taken from the chain, one for each sum",
    ("damp/natural.py:106", "True -> False"): "a goal has one number of each kind for each class",
    (
        "damp/patch_cut.py:76",
        "True -> False",
    ): "of targets and of prototypes to keep there is one for each quarter",
    (
        "damp/statistics.py:3",
        "True -> False",
    ): "there is one share for each group of classes, and one matrix",
    (
        "damp/statistics.py:41",
        "True -> False",
    ): "there is one share for each group of classes, and one sketch",
    ("damp/surgery.py:40", "True -> False"): "a depth has one number of each kind for each class",
    (
        "damp/methods/trained/salun.py:12",
        "True -> False",
    ): "gradients are taken of the very parameters that are summed",
    (
        "damp/methods/closed/leace.py:17",
        "1.0 -> 2.0",
    ): "the plan goes to `cut` alone, which reads no residual",
    (
        "compliance/verdict/judging.py:53",
        "0.0 -> 1.0",
    ): "a rule with an overshoot and no remainder is refused by the policy, so that there is one",
    (
        "damp/projection.py:0",
        "1 -> 2",
    ): "how many rows are held at once changes what is held, and no number",
    (
        "damp/projection.py:1",
        "17 -> 18",
    ): "how many rows are held at once changes what is held, and no number",
    (
        "audits/statistics.py:92",
        "1e-09 -> 2e-09",
    ): "a rate times a number of images is whole or a thousandth away from that: either "
    "tolerance is far below and above rounding",
    (
        "audits/forecast.py:71",
        "high / low > 1.02 -> high / low >= 1.02",
    ): "square roots of 64 taken again and again do not give 1.02",
    (
        "damp/sum_writers.py:52",
        "float(share.max()) < ENOUGH -> float(share.max()) <= ENOUGH",
    ): "one less a number below 1 is a multiple of 2^-53, and .03 as a floating number is none",
    ("damp/accumulator.py:34", "0 -> 1"): "without a pivot no row was added: all sums are 0",
    (
        "audits/augmentation.py:66",
        "torch.rand(()) < 0.5 -> torch.rand(()) <= 0.5",
    ): "of 2^24 numbers that are drawn alike one is .5: on either side of it is a half",
    ("damp/gated_writing.py:111", "True -> False"): "groups are made of the classes, one of each",
    (
        "compliance/ledger/chain.py:41",
        "return '' -> return None",
    ): "it is only asked whether there is a hash, and None is none either",
    (
        "audits/membership.py:27",
        "return False -> return None",
    ): "whether a shadow converged is only asked, and None is no yes either",
    ("damp/waist.py:2", "0 -> 1"): "of the image of noise only the shape counts",
    (
        "audits/few_shot.py:52",
        "1 -> 2",
    ): "numpy takes any negative size for the one that is to be worked out",
    (
        "damp/residuals.py:16",
        "matrix.shape[0] > matrix.shape[1] -> matrix.shape[0] >= matrix.shape[1]",
    ): "of a square matrix too the triangle gives the lengths that the matrix gives",
    (
        "damp/methods/trained/unsir.py:21",
        "1 -> 2",
    ): "of the rows only the type and the place are taken",
    (
        "audits/head_suppression.py:13",
        "return '' -> return None",
    ): "it is only asked whether there is an obstacle",
    (
        "damp/tracing.py:2",
        "True -> False",
    ): "there are two runs, and a small batch is two tensors",
    (
        "damp/low_rank_update.py:58",
        "now.kept > KEPT * first.kept -> now.kept >= KEPT * first.kept",
    ): "a measured distance that equals the limit in every bit does not occur",
    (
        "audits/accuracy.py:17",
        "evidence.test_labels == c -> evidence.test_labels != c",
    ): "the audit runs where every class has test rows, so that there are rows of it and of others",
    (
        "damp/natural_share.py:84",
        "place + 1 -> place - 1",
    ): "of the last depth a map is fitted too, and what it gives nothing reads",
}
"""Why a mutant that is alive changes nothing that could be noticed, by its key and its change:
a module that was changed numbers its mutants anew."""

"""Methods that train: each is a loss and what it is taken over. One file each.

On rows to keep: fine_tune.py, last_blocks.py (CF-k, EU-k), l1_sparse.py. Against the class:
negative_gradient.py, neggrad_plus.py, random_labels.py, salun.py, boundary_shrink.py, delete.py,
unsc.py, unsir.py. With a teacher: bad_teacher.py, scrub.py.
"""

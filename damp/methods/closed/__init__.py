"""Methods in closed form, or that take gradients once and train nothing. One file each.

features.py reads what goes into the head. bias_shift.py, head_row.py and esc.py, pour.py change
the head alone; kodge.py, leace.py project in every layer; ssd.py, assd.py, lfssd.py dampen
parameters by their importance; fisher.py adds noise to them.
"""

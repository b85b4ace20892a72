"""How far verdicts can be believed: false alarms, and the power to see a defect or a copy.

`nriqm_bench.calibration.alarms`, `.power` and `.copies` hold these; `.command` shows them on a
terminal.
"""

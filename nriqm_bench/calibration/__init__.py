"""How far the verdicts themselves can be believed: false alarms, and the power to see a defect.

`nriqm_bench.calibration.alarms` and `.power` hold the two; `.command` shows them on a terminal.
"""

"""Damaged inputs at every door of the kit: ``make fuzz``, and a short run among the tests.

``doors`` is the table of the doors, from which docs/robustness.md is written, too; ``seeds`` makes
the whole inputs, ``damage`` damages them, ``child`` gives them to the commands, ``driver`` watches.
"""

"""The parts of Testing/run.py; the standard library only, but for demo.py, which runs in the environment made here."""

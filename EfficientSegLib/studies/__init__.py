"""Many studies one after the other: what is to be done, what was done, and where results lie. Standard library only.

The command line (`EfficientSegLib.batch`) and the panel keep the same books, so that each can go on with the other's.
"""

"""The sub-commands of `python -m EfficientSegLib`: each has `run(arguments) -> exit code`."""

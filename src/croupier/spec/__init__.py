"""YAML to model values. ``documents`` has a loader for each kind of file; all raise ``SpecError`` with all problems."""

"""YAML to model values, or all problems at their places.

``documents`` has a loader for each kind of file beside the platform, ``platform`` loads a platform folder;
``manifests`` reads anybody's Kubernetes objects.
"""

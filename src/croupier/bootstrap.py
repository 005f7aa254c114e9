"""Settings to a wired desk: the only place that picks back ends."""

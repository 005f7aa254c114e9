"""Objects for a cluster, made from values. Pure; one module a concern."""

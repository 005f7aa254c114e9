"""What a service imports to be released by a desk that looks at money.

``arm`` carries the arm of a release and the player from the edge to every call; ``service`` runs a pod (readiness,
drain, JSON logs, RED metrics); ``idempotency``, ``inbox`` and ``outbox`` make money move once and tell of it without
loss; ``webhooks`` signs and verifies partners' messages. ``tally`` is its own process and counts outcomes per arm.

The kit knows nothing of the desk: they meet in two headers, one page of counters and one format of events.
"""

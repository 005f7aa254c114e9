"""croupier on a cluster: watches policies and intents, starts and ends runs of the desk, shows how they stand."""

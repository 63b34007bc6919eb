"""The dev stack that temporal-dev.yml describes: PostgreSQL, Temporal with its Web UI, workers and the API."""

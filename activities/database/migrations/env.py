"""Alembic's entry: runs on the connection that `migrate.upgrade` opened."""

from alembic import context

from activities.database.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()

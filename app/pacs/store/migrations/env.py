"""How Alembic runs a migration here: on the connection it is given, within one transaction."""

from alembic import context
from sqlalchemy import Connection

from app.pacs.store.schema import metadata

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()

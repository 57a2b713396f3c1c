"""What alembic runs: the migrations, on the connection and in the transaction that `store.migrate` hands in."""

from alembic import context

from store.tables import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
with context.begin_transaction():
    context.run_migrations()

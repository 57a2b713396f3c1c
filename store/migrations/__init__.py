"""Migrations of the database's schema, run by `store.migrate`."""

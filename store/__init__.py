"""What Carina remembers: tables, migrations and the two faces of the store, for the API and for activities."""

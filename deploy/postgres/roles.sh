#!/usr/bin/env bash
# Makes the roles of Carina and of Temporal, and Carina's database. PostgreSQL's image runs it once, on an empty volume.
set -euo pipefail
secrets=${SECRETS:-/run/secrets}

role() { # name, options; the password comes on standard input, so that no argv has it
    psql --quiet --set ON_ERROR_STOP=1 --username postgres --file /dev/fd/3 3<<SQL
CREATE ROLE $1 LOGIN $2 PASSWORD '$(cat)';
SQL
}

role carina "" <"$secrets"/carina-db
role temporal CREATEDB <"$secrets"/temporal-db
createdb --username postgres --owner carina carina

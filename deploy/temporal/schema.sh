#!/bin/sh
# Makes Temporal's two databases, or brings them up to date. Run again, it changes nothing.
set -eu
SQL_PASSWORD=$(cat /run/secrets/temporal-db)
export SQL_PASSWORD

tool() { temporal-sql-tool --plugin postgres12 --endpoint postgres --port 5432 --user temporal "$@"; }

for kind in temporal visibility; do
    database=temporal
    [ "$kind" = temporal ] || database=temporal_visibility
    tool --database "$database" create
    tool --database "$database" setup-schema -v 0.0
    tool --database "$database" update-schema -d "/etc/temporal/schema/postgresql/v12/$kind/versioned"
done

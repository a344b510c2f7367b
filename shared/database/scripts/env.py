"""What alembic runs: the same for every chain of migrations."""

from alembic import context

from shared.database.migrating import run

run(context)

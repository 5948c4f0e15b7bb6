"""Schema migrations by Alembic, for databases of earlier versions."""

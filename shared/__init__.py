"""The common library: event vocabulary, log, database, runtime. Knows no service and holds no business rule."""

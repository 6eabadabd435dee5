//! SQLite databases in WAL mode: one writer thread that commits in groups, and readers apart.

"""The database tables."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

VERSION = 1
NEVER = 1e18
"""Lease of a slot whose session is completed: it is never assigned again."""

metadata = MetaData()

# Key and value: schema version, password hash, events of studies, clusters. Additions need no new schema version.
about = Table("amt_about", metadata, Column("key", String(40), primary_key=True), Column("value", Text, nullable=False))

studies = Table(
    "amt_studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(40), nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("state", String(10), nullable=False),  # open, closed
    Column("simulated", Boolean, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("fingerprint", String(12), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("key", String(64), nullable=False),  # of the raters' pseudonyms
    Column("items", Text, nullable=False),
    Column("algorithms", Text, nullable=False),
    Column("origin", Text, nullable=False),  # where the pictures came from
    Column("consent", Text, nullable=False),
    Column("recruitment", Text, nullable=False),
    Column("revealed", Float),  # time of the first reveal of fooling rates before the study was closed
)

pictures = Table(
    "amt_pictures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study", ForeignKey(studies.c.id), nullable=False),
    Column("kind", String(10), nullable=False),  # real, fake, broken
    Column("algorithm", Text),  # NULL for real
    Column("item", Text, nullable=False),
    # NULLs are distinct in SQL, so this does not cover real pictures, whose algorithm is NULL; `create` adds each once.
    UniqueConstraint("study", "kind", "algorithm", "item"),
)

# A slot is one session's schedule. Its table and the column in sessions keep the names of the first version.
slots = Table(
    "amt_places",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study", ForeignKey(studies.c.id), nullable=False),
    Column("sequence", Integer, nullable=False),  # order of assignment
    Column("algorithm", Text, nullable=False),
    Column("schedule", Text, nullable=False),
    Column("session", String(32)),  # the last one it was assigned to
    Column("lease", Float, nullable=False),  # free from this time on
    UniqueConstraint("study", "sequence"),
    # Serves the search for a free slot, the one query that all arriving raters run.
    Index("amt_places_free", "study", "lease", "sequence"),
)

sessions = Table(
    "amt_sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("study", ForeignKey(studies.c.id), nullable=False),
    Column("place", ForeignKey(slots.c.id), nullable=False, key="slot"),
    Column("algorithm", Text, nullable=False),
    Column("rater", String(32), nullable=False),  # a pseudonym
    Column("source", String(10), nullable=False),  # open, link, prolific
    Column("verified", Boolean, nullable=False),  # false where the rater's id could have been forged
    Column("token", String(64), nullable=False, unique=True),  # a digest
    Column("state", String(12), nullable=False),  # see amt.store.sessions.STATES
    Column("created", Float, nullable=False),
    Column("finished", Float),
    Column("consent_version", String(40)),
    Column("consent_at", Float),
    Column("environment", Text),
    Column("browser", String(40), nullable=False),
    Column("comment", Text),
    Column("code", String(64)),
    # Enforces one session per rater, also for two concurrent requests on PostgreSQL.
    UniqueConstraint("study", "rater"),
)

trials = Table(
    "amt_trials",
    metadata,
    Column("session", ForeignKey(sessions.c.id), primary_key=True),
    Column("k", Integer, primary_key=True),
    Column("position", Integer),  # in the order shown; NULL for an unused spare
    Column("phase", String(10), nullable=False),
    Column("real", ForeignKey(pictures.c.id), nullable=False),
    Column("fake", ForeignKey(pictures.c.id), nullable=False),
    Column("fake_side", String(5), nullable=False),
    Column("left", String(22), nullable=False),  # picture tokens; looked up by session, so no index
    Column("right", String(22), nullable=False),
    Column("shown", Float),
    Column("void", String(10)),
    Column("answered", Float),
    Column("choice", String(5)),
    Column("response_ms", Float),
    Column("measured", Text),  # the answer as received, canonical JSON
)

links = Table(
    "amt_links",
    metadata,
    Column("study", ForeignKey(studies.c.id), primary_key=True),
    Column("rater", String(32), primary_key=True),
    Column("label", Text, nullable=False),
)

logins = Table(
    "amt_logins",
    metadata,
    Column("token", String(64), primary_key=True),
    Column("expires", Float, nullable=False),
)

attempts = Table(
    "amt_attempts", metadata, Column("id", Integer, primary_key=True), Column("at", Float, nullable=False, index=True)
)

"""The project's settings under test."""

import os
from pathlib import Path

os.environ.setdefault("SILO_SECRET_KEY", "only-for-tests-only-for-tests-only-for-tests")

from silo.settings import *  # noqa: F403

# Tests empty every table between them, the record too (sessions_app/management/commands/flush.py).
DATABASES["default"]["OPTIONS"]["options"] += " -c silo.empty_the_record=yes"  # noqa: F405

# Real hashing is slow on purpose.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Pages that a test wrote, in place of those that `make docs` builds.
if site := os.environ.get("SILO_TEST_SITE"):
    WHITENOISE_ROOT = Path(site)

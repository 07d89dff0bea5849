"""Django's settings, made from the configuration and four environment variables.

`DATABASE_URL`: the PostgreSQL to use; without it an embedded one runs in the data folder.
`SILO_CONFIG`: the configuration file (default `silo.yaml` beside `manage.py`).
`SILO_VAR`: the folder for the data of a run (default `var/`).
`PORT`: read by `manage.py serve`.

Importing this file starts nothing.
"""

import os
import sys
from pathlib import Path

from corsheaders.defaults import default_headers

from board_app import links
from silo import __version__, config, cross_origin, database, logs, secret_key, security_headers

BASE_DIR = Path(__file__).resolve().parent.parent
# The sources of the client, which `/client` offers as a package.
CLIENT_FOLDER = BASE_DIR / "client"
VAR_DIR = Path(os.environ.get("SILO_VAR") or BASE_DIR / "var").resolve()

_config_file = os.environ.get("SILO_CONFIG")
SESSIONS, SERVER, LIMITS, ACCOUNTS = config.load(
    Path(_config_file or BASE_DIR / "silo.yaml"), required=bool(_config_file)
)

_MAKES_DATABASE = database.may_be_made(sys.argv)

DEBUG = False
SECRET_KEY = SERVER.secret_key or secret_key.load_or_generate(
    VAR_DIR,
    allowed=not os.environ.get("DATABASE_URL"),
    keep=_MAKES_DATABASE or (VAR_DIR / "postgres").is_symlink() or (VAR_DIR / "postgres").exists(),
)
ALLOWED_HOSTS = SERVER.allowed_hosts
CSRF_TRUSTED_ORIGINS = SERVER.trusted_origins
# Pages that may write may also read; streams too, see silo/cross_origin.py.
CORS_ALLOWED_ORIGINS, CORS_ALLOWED_ORIGIN_REGEXES = cross_origin.rules(SERVER.trusted_origins)
CORS_URLS_REGEX = cross_origin.ADDRESSES
CORS_ALLOW_CREDENTIALS = True
CORS_ALLOW_HEADERS = (
    *default_headers,
    "cache-control",
    "last-event-id",
    "silo-machine",
    "x-request-id",
)
CORS_EXPOSE_HEADERS = (
    "Allow",
    "Content-Disposition",
    "Retry-After",
    "WWW-Authenticate",
    "X-Next",
    logs.HEADER,
)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SERVER.https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SERVER.https else None
# Where the service is shown below a path, the addresses that Django makes begin with it, and its cookies are for it
# alone.
FORCE_SCRIPT_NAME = SERVER.base_path or None
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = SERVER.base_path or "/"
SESSION_COOKIE_HTTPONLY = True
SECURE_HSTS_SECONDS = security_headers.HSTS_SECONDS if SERVER.https else 0
X_FRAME_OPTIONS = "DENY"
# A forgotten browser at a shared workstation should not stay an admin for ever.
SESSION_COOKIE_AGE = 12 * 3600

INSTALLED_APPS = [
    "daphne",  # before staticfiles: its runserver, and its reactor before anybody else's
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "channels",
    "corsheaders",
    "django_eventstream",
    "ninja",  # serves the OpenAPI page from local files
    "events_app",
    "sessions_app",
    "board_app",
    "silo.apps.SiloConfig",
]

MIDDLEWARE = [
    "silo.logs.RequestIdMiddleware",  # before what logs
    "silo.plain_http.PlainHttpMiddleware",
    # Security headers for browsers, on every answer of the middleware below.
    *(f"{one.__module__}.{one.__qualname__}" for one in security_headers.MIDDLEWARE),
    "corsheaders.middleware.CorsMiddleware",  # before what answers: refusals are read across origins too
    "silo.errors.EnvelopeMiddleware",
    "django.middleware.common.CommonMiddleware",  # looks at the host, of static files too
    "silo.static_files.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "silo.request_shares.PageLoginMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "silo.one_thread.OneThreadMiddleware",  # the last
]

ROOT_URLCONF = "silo.urls"
ASGI_APPLICATION = "silo.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": database.settings(
        os.environ.get("DATABASE_URL"),
        VAR_DIR,
        make=_MAKES_DATABASE,
        purpose=database.purpose(sys.argv),
    )
}
EVENTS_DATABASE_CLIENT = database.client(os.environ.get("DATABASE_URL"))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
# ISO dates, and times with seconds, on all pages.
FORMAT_MODULE_PATH = "silo.formats"

# Whole: Django would put FORCE_SCRIPT_NAME before a relative one only in threads that serve a request.
# Where the admin site leads from a row.
ABSOLUTE_URL_OVERRIDES = links.OF_ROWS
STATIC_URL = f"{SERVER.base_path}/static/"
# Static files come straight from the installed packages: nothing to collect before the first start.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
# What `make docs` has built, if it has: /docs/. Its first page answers for the folder.
_SITE = BASE_DIR / "site"
WHITENOISE_ROOT = _SITE if _SITE.is_dir() else None
WHITENOISE_INDEX_FILE = True

# The API's limit of a request body; Django answers larger ones with RequestDataTooBig. The server has smaller limits
# for most operations.
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
# An accepted body is in memory and counted there: never in a file, which needs a descriptor and a disk.
FILE_UPLOAD_MAX_MEMORY_SIZE = DATA_UPLOAD_MAX_MEMORY_SIZE
EVENTS_BODY_LIMIT = "silo.body_limits.limit"
EVENTS_HOT_CALLS = "silo.hot_calls.HOT_CALLS"
EVENTS_DIRECT_CALLS = "silo.asgi.direct_calls"

EVENTSTREAM_STORAGE_CLASS = "events_app.log.storage.EventLogStorage"
EVENTSTREAM_CHANNELMANAGER_CLASS = "sessions_app.stream_grants.ChannelManager"
EVENTS_PRESENCE_BACKEND = "sessions_app.presence_backend.WorkstationPresence"
EVENTS_CONNECTION_POOL = database.pool(calls_provider=bool(ACCOUNTS.openid_issuer))
EVENTS_METRICS = "silo.metrics.collectors"

# From the configuration: a value has the name of its key, behind the prefix of the lowest app that reads it. Durations
# that are a timedelta have no unit in the name. `LIMITS` and `ACCOUNTS` above are read under the keys
# themselves.
EVENTS_HEARTBEAT_SECONDS = SESSIONS.heartbeat_seconds
EVENTS_SERVER_DEAD_SECONDS = SESSIONS.server_dead_seconds
EVENTS_DEAD_PEER_SECONDS = SESSIONS.dead_peer_seconds
EVENTS_DISCONNECT_GRACE = SESSIONS.disconnect_grace
EVENTS_SESSION_TIMEOUT = SESSIONS.session_timeout
EVENTS_EVENT_RETENTION = SESSIONS.event_retention
EVENTS_BASE_PATH = SERVER.base_path
EVENTS_TRUSTED_PROXIES = SERVER.trusted_proxies
EVENTS_HTTP_LANE = SERVER.http_lane
EVENTS_DATABASE_STANDBYS = SERVER.database_standbys
EVENTS_STREAMS_PER_USER = LIMITS.streams_per_user
EVENTS_REQUESTS_PER_USER = LIMITS.requests_per_user
EVENTS_BODY_MEMORY_MB = LIMITS.body_memory_mb
SESSIONS_IDLE_TIMEOUT = SESSIONS.idle_timeout
SESSIONS_SWEEP_SECONDS = SESSIONS.sweep_seconds
# What running processes write of themselves.
EVENTS_VERSION = SESSIONS_VERSION = __version__

LOGGING = logs.configuration(SERVER.log_format, SERVER.log_level)
# What a server and a sweeper log when they start.
EVENTS_CONFIGURATION_LOGGED = {
    "version": __version__,
    **database.for_log(DATABASES["default"]),
    **config.for_log(SESSIONS, SERVER, LIMITS, ACCOUNTS),
}

"""All settings of REMOSA, read from the environment.

Every variable may also come as ``<NAME>_FILE`` (the path of a file that holds the value). What
production must decide itself has no default: with ``DEBUG`` off, ``SECRET_KEY`` and
``FIELD_ENCRYPTION_KEYS`` are required. Times are stored in UTC; ``TZ`` is the default time zone of
a new platform.
"""

import os
from datetime import timedelta
from pathlib import Path

import environ
from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from whitenoise.compress import Compressor

from remosa.console_settings import UNFOLD  # noqa: F401  the look of the console, kept apart

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.FileAwareEnv()
if (BASE_DIR / ".env").is_file():
    env.read_env(BASE_DIR / ".env")

# --- core --------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
TESTING = "PYTEST_VERSION" in os.environ

DEVELOPMENT_ONLY = "development-only-key-never-use-it-in-production-0123456789"
DEVELOPMENT_FIELD_KEY = "ZGV2ZWxvcG1lbnQtb25seS1maWVsZC1rZXktMDAwMDA="


def required_in_production(name: str, *, development: str) -> str:
    """The value of ``name``; only DEBUG and the test run may do without it."""
    value = env.str(name, default="")
    if value:
        return value
    if DEBUG or TESTING:
        return development
    raise ImproperlyConfigured(f"Set {name} (or {name}_FILE). It has no default while DEBUG is off.")


SECRET_KEY = required_in_production("SECRET_KEY", development=DEVELOPMENT_ONLY)
FIELD_ENCRYPTION_KEYS = [
    key.strip()
    for key in required_in_production("FIELD_ENCRYPTION_KEYS", development=DEVELOPMENT_FIELD_KEY).split(",")
    if key.strip()
]
AUDIT_KEYS = [  # the first signs the audit, the others only verify: see docs/operations.md before you change it
    key.strip()
    for key in required_in_production("AUDIT_KEYS", development=DEVELOPMENT_ONLY).split(",")
    if key.strip()
]
# where the audit's heads are exported to; copy it to another machine
AUDIT_HEADS_FILE = env.str("AUDIT_HEADS_FILE", default=str(BASE_DIR / "var" / "audit-heads.jsonl"))
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)  # how many proxies stand before us
EGRESS_ALLOW = env.list("EGRESS_ALLOW", default=[])  # CIDRs reachable besides public addresses
DEFAULT_PLATFORM_TIME_ZONE = env.str("TZ", default="Europe/Moscow") or "Europe/Moscow"

ROOT_URLCONF = "remosa.urls"
WSGI_APPLICATION = "remosa.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = True

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "remosa.console.apps.ConsoleConfig",  # django.contrib.admin with our own site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "guardian",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "axes",
    "csp",
    "platforms",
    "devices",
    "sms",
    "exporters",
    "automation",
    "notifications",
    "remosa",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "platforms.middleware.RequestIdMiddleware",
    "exporters.middleware.ScrapeMiddleware",
    "platforms.middleware.HooksMiddleware",  # what follows is for people and their browsers
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "platforms.middleware.PersonalSettingsMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
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

# --- database ----------------------------------------------------------------------------------
# SQLite must survive a power cut with the outbox's barrier committed: synchronous=FULL; writers
# take their lock at BEGIN, so that no transaction fails half-way with "database is locked".
DATABASES = {
    "default": env.db_url("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'var' / 'remosa.sqlite3'}")
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"].setdefault("OPTIONS", {}).update(
        timeout=20,  # seconds to wait for the write lock
        transaction_mode="IMMEDIATE",
        init_command=(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=20000;"
        ),
    )
    # tests use threads, so a file; and its own for each run. TEST_RUN=dev with pytest's --reuse-db keeps it.
    test_run = os.environ.get("TEST_RUN", os.getpid())
    DATABASES["default"]["TEST"] = {"NAME": BASE_DIR / "var" / f"test-{test_run}.sqlite3"}
else:
    DATABASES["default"].update(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)

# --- people ------------------------------------------------------------------------------------
AUTH_USER_MODEL = "platforms.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "platforms.authentication.UsernameOrEmailBackend",
    "guardian.backends.ObjectPermissionBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
if TESTING:  # Django's own costs half a second each; hundreds of tests sign in
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/admin/"
LOGOUT_REDIRECT_URL = "/admin/login/"
ANONYMOUS_USER_NAME = None  # guardian: nobody is "the anonymous user"
GUARDIAN_RAISE_403 = True
# guesses are counted per account and address, per account, and per address; the wider the higher
AXES_FAILURE_LIMIT = 10
SIGN_IN_FAILURES_PER_ACCOUNT = 50
SIGN_IN_FAILURES_PER_ADDRESS = 100  # an office behind one address may be clumsy
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_HANDLER = "platforms.authentication.LockOut"
AXES_USERNAME_CALLABLE = "platforms.authentication.account_of"
AXES_CLIENT_IP_CALLABLE = "platforms.authentication.address_of"
AXES_LOCKOUT_CALLABLE = "remosa.console.lockout.locked_out"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # or somebody's script would keep a person out for ever
AXES_DISABLE_ACCESS_LOG = True  # the journal has sign-ins
AXES_ENABLED = not TESTING
AXES_VERBOSE = False
CONFIRM_AGAIN_S = env.float(
    "CONFIRM_AGAIN_S", default=1800.0
)  # a session older than this confirms before it acts
INVITATION_DAYS = 7
PASSWORD_RESET_TIMEOUT = 3600  # seconds that the link in the mail works

# --- language and time -------------------------------------------------------------------------
LANGUAGE_CODE = "ru"
LANGUAGES = [("ru", _("Russian")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- static files ------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "var" / "static"
STATICFILES_DIRS = [BASE_DIR / "remosa" / "static"]
# Source maps are megabytes that only a debugger asks for: compressing them doubles the first start.
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = [*Compressor.SKIP_COMPRESS_EXTENSIONS, "map"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or TESTING
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# --- browser security --------------------------------------------------------------------------
SECURE_COOKIES = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 30 * 24 * 3600  # seconds: the phone session of spec 4
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31_536_000 if SECURE_COOKIES else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_COOKIES
SECURE_SSL_REDIRECT = False  # the proxy in front does it
SILENCED_SYSTEM_CHECKS = ["security.W008"]  # which asks for that redirect
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, UNSAFE_EVAL],  # unfold's Alpine builds functions from attributes
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "frame-ancestors": ["'none'"],
        "form-action": [SELF],
        "base-uri": [SELF],
        "object-src": ["'none'"],
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024  # bytes of one request body
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000

# --- API ---------------------------------------------------------------------------------------
# How often one caller may call, by what is called; counted in each web process.
RATES = {
    "anon": "60/min",  # without a token, by address
    "password": "10/h",  # links to a new password that one address may ask for
    "read": "1200/min", "write": "300/min", "command": "120/min",  # people and their programs
    "edge": "120/min", "scrape": "600/min",  # machines, by token
    "shared": "60/min",  # pages behind a shared link, by address
    "intake": "6000/min", "callback": "3000/min",  # alerts by source, reports by gateway: 503, so that they come again
    **env.dict("RATES", default={}),
}  # fmt: skip
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},  # a caller is never forgotten to make room for others
    }
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "platforms.api.authentication.ApiTokenAuthentication",
        "platforms.api.authentication.FamilyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["platforms.api.permissions.DenyAll"],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "platforms.api.renderers.BrowsableForPeople",
    ],
    "DEFAULT_PARSER_CLASSES": ["platforms.api.parsers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.OrderingFilter",
    ],
    "DEFAULT_PAGINATION_CLASS": "platforms.api.pagination.PageNumberPagination",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "platforms.api.schema.Schema",
    "EXCEPTION_HANDLER": "platforms.api.exception_handler.error_response",
    "DEFAULT_THROTTLE_CLASSES": [
        "rest_framework.throttling.AnonRateThrottle",
        "platforms.api.throttles.ReadingThrottle",
        "platforms.api.throttles.WritingThrottle",
        "platforms.api.throttles.CommandThrottle",
        "platforms.api.throttles.EdgeThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": RATES,
    "NUM_PROXIES": TRUSTED_PROXIES,  # whose X-Forwarded-For an anonymous caller is told apart by
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "REMOSA API",
    "DESCRIPTION": "Remote monitoring and SMS automation. Foreign objects look like missing ones.",
    "VERSION": "v1",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {  # several resources have a "state" or a "kind"
        "AlertSourceKind": "automation.models.AlertSource.Kind",
        "AlertState": "automation.states.AlertState",
        "CaseKind": "automation.models.Case.Kind",
        "CaseState": "automation.states.CaseState",
        "CommandState": "devices.states.CommandState",
        "DeviceKind": "devices.models.Device.Kind",
        "DeviceState": "devices.states.DeviceState",
        "InboundSmsState": "sms.states.InboundState",
        "RunState": "automation.states.RunState",
        "SmsState": "sms.states.SmsState",
    },
}
SIMPLE_JWT = {  # rotation and revocation are platforms.jwt
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=5),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=1),
}

# --- queue -------------------------------------------------------------------------------------
# django-q2 runs evaluations and wakes the outbox. It never repeats a task: retries live on our rows.
REDIS_URL = env.str("REDIS_URL", default="")
Q_CLUSTER = {
    "name": "remosa",
    "workers": env.int("Q_WORKERS", default=2),
    "queue_limit": 4,
    "bulk": 1,
    "poll": 0.2,  # seconds
    "timeout": 60,  # seconds; each task keeps its own, shorter deadlines
    "retry": 600,  # seconds; > timeout * (ceil((queue_limit + 1) / workers) + 1)
    "max_attempts": 1,
    "ack_failures": True,
    "catch_up": False,
    "recycle": 200,
    "save_limit": -1,  # successes are not stored: our own rows tell
    "label": "Queue",
    **({"redis": REDIS_URL} if REDIS_URL else {"orm": "default"}),
}

# --- mail --------------------------------------------------------------------------------------
vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="REMOSA <remosa@localhost>")
EMAIL_TIMEOUT = 15  # seconds

# --- ports: what may be plugged in, as dotted paths ---------------------------------------------
PLATFORM_PANELS = ["remosa.console.panels.health"]  # what the page of a client shows of the apps above
PRESET_PARTS = {  # what a preset of a new client brings besides limits
    "exporters": "exporters.presets.ExportersOfAPreset",
    "jobs": "automation.presets.JobsOfAPreset",
}
COMMAND_TRANSPORTS = {"sms": "sms.transport.SmsCommandTransport"}
COMMAND_GUARDS = [
    "platforms.guards.actor_still_may",
    "platforms.guards.automation_is_not_stopped",
    "automation.guards.case_still_wants",
]
SMS_GATEWAYS = {
    "remosa": "sms.gateways.remosa.RemosaGateway",
    "http": "sms.gateways.generic_http.GenericHttpGateway",
    "kannel": "sms.gateways.kannel.KannelGateway",
    "smsc_ru": "sms.gateways.smsc_ru.SmscRuGateway",
    "sms_ru": "sms.gateways.sms_ru.SmsRuGateway",
    "android": "sms.gateways.android.AndroidGateway",
    "twilio": "sms.gateways.twilio.TwilioGateway",
    "console": "sms.gateways.console.ConsoleGateway",
    "simulator": "sms.gateways.simulator.SimulatorGateway",
    "modem": "sms.gateways.serial_modem.SerialModemGateway",
}
EXPORTERS = {
    "cubic": "exporters.pollers.cubic.CubicPoller",
    "addreality": "exporters.pollers.addreality.AddrealityPoller",
    "json": "exporters.pollers.json_api.JsonPoller",
}
BELONGINGS = ["devices.belongings.DevicesOfAPerson", "automation.belongings.CasesOfAPerson"]
AUTOMATION_ACTIONS = {  # steps of a case that are no command
    "webhook": "automation.actions.webhook.WebhookAction",
    "notice": "notifications.actions.NoticeAction",
}
NOTIFICATION_CHANNELS = {
    "console": "notifications.channels.console.ConsoleChannel",
    "email": "notifications.channels.email.EmailChannel",
    "sms": "notifications.channels.sms.SmsChannel",
}

# --- poller --------------------------------------------------------------------------------------
POLLER_LEASE_S = env.float("POLLER_LEASE_S", default=30.0)  # a poller silent for longer is replaced
POLLER_ROUNDS = env.int("POLLER_ROUNDS", default=200)  # exporters that one poller asks at once
EXPORTER_URLS = {  # what the form of a new exporter proposes as the address of its CMS
    "cubic": env.str("EXTERNAL_API_BASE_URL", default=""),
    "addreality": env.str("ADDREALITY_API_URL", default=""),
}

# --- outbox (reliability: constants are seconds) -------------------------------------------------
OUTBOX_POLL_S = env.float("OUTBOX_POLL_S", default=1.0)
OUTBOX_LEASE_S = env.float("OUTBOX_LEASE_S", default=60.0)
OUTBOX_SEND_DEADLINE_S = env.float("OUTBOX_SEND_DEADLINE_S", default=15.0)
OUTBOX_MAX_ATTEMPTS = env.int("OUTBOX_MAX_ATTEMPTS", default=5)
OUTBOX_THREADS = env.int("OUTBOX_THREADS", default=32)
OUTBOX_HAND_OVER_S = env.float(
    "OUTBOX_HAND_OVER_S", default=30.0
)  # a modem's process takes a message up, or loses it
MODEM_SEND_DEADLINE_S = env.float(
    "MODEM_SEND_DEADLINE_S", default=30.0
)  # of one SMS; each further part has 10
MODEM_PORTS = env.list(  # device files that a modem's settings may name; network ports obey EGRESS_ALLOW
    "MODEM_PORTS", default=["/dev/ttyUSB*", "/dev/ttyACM*", "/dev/ttyAMA*", "/dev/ttyS*", "/dev/serial/*"]
)
COMMAND_TTL_S = env.float(
    "COMMAND_TTL_S", default=300.0
)  # an automatic command older than this is never sent
COMMAND_REPLY_WAIT_S = env.float("COMMAND_REPLY_WAIT_S", default=300.0)
RESTORE_RETRY_S = env.float("RESTORE_RETRY_S", default=180.0)  # between two ON of an output that must be on
DARK_WATCH_S = env.float(
    "DARK_WATCH_S", default=3600.0
)  # an output that a person left off is asked about then
SOCKET_SILENT_DAYS = env.int(
    "SOCKET_SILENT_DAYS", default=8
)  # without any SMS of a socket, then people are told
SMS_VALIDITY_S = env.int("SMS_VALIDITY_S", default=300)
# the numbers that `manage.py sms send` may reach outside DEBUG
SMS_SHELL_NUMBERS = env.list("SMS_SHELL_NUMBERS", default=[])
# what a destructive inbox read returned lies here until it is in the database: keep it on a disk that stays
SMS_SPOOL_DIR = env.str("SMS_SPOOL_DIR", default=str(BASE_DIR / "var" / "spool" / "sms"))
# how long the devices' own "minute" lasts: 60 in the field, shorter with the simulator
DEVICE_MINUTE_S = env.float("DEVICE_MINUTE_S", default=60.0)

# --- alerts that come in --------------------------------------------------------------------------
# judged by the process that took them, as soon as they are committed; off: by the queue's sweep alone
ALERTS_AT_ONCE = env.bool("ALERTS_AT_ONCE", default=not TESTING)

# --- Prometheus that jobs read (the console's value wins once it is set) --------------------------
PROMETHEUS_URL = env.str("PROMETHEUS_URL", default="")

# --- logging -----------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "remosa.lib.redact.RedactingFilter"}},
    "formatters": {
        "line": {
            "format": "%(asctime)sZ %(levelname)s %(name)s %(message)s",
            "()": "remosa.logs.UtcFormatter",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["redact"]}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django.server": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
        "django-q": {"level": "WARNING"},
    },
}

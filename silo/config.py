"""The configuration: `silo.yaml` (or the file named by `SILO_CONFIG`), overridden by environment variables.

Every key is also an environment variable: `SILO_` and the key in capitals, e.g. `SILO_HEARTBEAT_SECONDS=10`.
There a list is written in JSON, or separated by commas. Unknown keys and variables (`silo/environment.py`), invalid
values and duplicate keys are refused with the name of the key, the reason, the value and where it comes from.

`silo/settings.py` makes settings of the values: docs/architecture.md says how they are named.
"""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from django.core.exceptions import ImproperlyConfigured
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from silo import environment, silo_yaml


def _no_truth_value(value: Any) -> Any:
    # YAML reads `yes` as true, which pydantic would accept as 1.
    if isinstance(value, bool):
        raise ValueError("Input should be a valid number")
    return value


Number = Annotated[float, BeforeValidator(_no_truth_value)]
# An interval longer than a year is a typing error; much longer ones overflow timedelta and PostgreSQL.
YEAR_SECONDS = 366 * 24 * 3600
Seconds = Annotated[Number, Field(gt=0, le=YEAR_SECONDS, allow_inf_nan=False)]
SecondsOrZero = Annotated[Number, Field(ge=0, le=YEAR_SECONDS, allow_inf_nan=False)]
Minutes = Annotated[Number, Field(gt=0, le=YEAR_SECONDS / 60, allow_inf_nan=False)]
MinutesOrZero = Annotated[Number, Field(ge=0, le=YEAR_SECONDS / 60, allow_inf_nan=False)]
Hours = Annotated[Number, Field(gt=0, le=YEAR_SECONDS / 3600, allow_inf_nan=False)]
# The bits before the IPv4 address in `::ffff:10.1.2.3`.
MAPPED_BITS = 96
# The database counts in 64 bits; a limit above a thousand million is a typing error.
Count = Annotated[int, BeforeValidator(_no_truth_value), Field(ge=1, le=10**9)]
# More are a typing error.
Standbys = Annotated[int, BeforeValidator(_no_truth_value), Field(ge=0, le=100)]


def _listed(value: Any) -> Any:
    """Return the list that a text contains, in JSON or separated by commas."""
    if not isinstance(value, str):
        return value
    try:
        in_json = json.loads(value)
    except ValueError:
        in_json = None
    if isinstance(in_json, list):
        return in_json
    return [part.strip() for part in value.split(",") if part.strip()]


def _in_small_letters(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _in_capitals(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _is_host(name: str) -> str:
    if not re.fullmatch(r"\*|\.?[\w-]+(\.[\w-]+)*\.?|\[[0-9A-Fa-f:.]+\]", name):
        raise ValueError(
            f"{name!r} is no host name: give the name alone, without scheme, port or path"
        )
    return name


def _is_network(name: str) -> str:
    try:
        network = ip_network(name, strict=False)
    except ValueError:
        raise ValueError(
            f"{name!r} is neither an address nor a network: give one such as 10.1.2.3 or 10.1.2.0/24"
        ) from None
    # Peers are compared as IPv4 addresses, also where a socket of IPv6 shows them in this way.
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped and network.prefixlen >= MAPPED_BITS:
        return str(ip_network((mapped, network.prefixlen - MAPPED_BITS)))
    return str(network)


def _is_origin(origin: str) -> str:
    if not re.fullmatch(r"https?://(\*\.)?([\w-]+(\.[\w-]+)*|\[[0-9A-Fa-f:.]+\])(:\d+)?", origin):
        raise ValueError(
            f"{origin!r} is no origin: give scheme, host and perhaps port, as in https://silo.example.com"
        )
    return origin


# First parts of the service's own paths: one that begins with a base path could not be told from it.
OWN_PATHS = frozenset(
    [
        "admin",
        "api",
        "board",
        "client",
        "docs",
        "health",
        "items",
        "ready",
        "static",
        "users",
        "workstations",
    ]
)


def _is_base_path(path: str) -> str:
    path = path.rstrip("/")
    if path and not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", path):
        raise ValueError(
            f"{path!r} is no path: give letters, digits, '.', '_', '~' and '-' between slashes, as in /silo"
        )
    if (first := path.split("/")[1:2]) and first[0] in OWN_PATHS:
        raise ValueError(
            f"the service has addresses of its own below /{first[0]}: take another one"
        )
    return path


def _is_issuer(address: str) -> str:
    if address and not re.fullmatch(
        r"https://[^\s/?#@]+(/[^\s?#]*)?|http://(localhost|127\.0\.0\.1)(:\d+)?(/[^\s?#]*)?",
        address,
    ):
        raise ValueError(
            f"{address!r} is no issuer: give the provider's address as its discovery document has it, as in"
            " https://login.example.com/realms/company"
        )
    return address


Hosts = Annotated[
    list[Annotated[str, AfterValidator(_is_host)]], NoDecode, BeforeValidator(_listed)
]
Origins = Annotated[
    list[Annotated[str, AfterValidator(_is_origin)]], NoDecode, BeforeValidator(_listed)
]
Networks = Annotated[
    list[Annotated[str, AfterValidator(_is_network)]], NoDecode, BeforeValidator(_listed)
]
Names = Annotated[list[str], NoDecode, BeforeValidator(_listed)]


class _Section(BaseSettings):
    """A section of the file. The environment wins over the file, the file over the defaults."""

    model_config = SettingsConfigDict(env_prefix="SILO_", extra="forbid", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


class SessionsConfig(_Section):
    """`modules.sessions` in the file: when sessions end."""

    session_timeout_minutes: Minutes = 15
    heartbeat_seconds: Seconds = 30
    sweep_seconds: Seconds = 30
    disconnect_grace_seconds: SecondsOrZero = 0
    dead_peer_seconds: Seconds = 45
    server_dead_seconds: Seconds = 10
    idle_timeout_minutes: MinutesOrZero = 0
    event_retention_hours: Hours = 24

    @property
    def disconnect_grace(self) -> timedelta:
        return timedelta(seconds=self.disconnect_grace_seconds)

    @property
    def idle_timeout(self) -> timedelta:
        return timedelta(minutes=self.idle_timeout_minutes)

    @property
    def session_timeout(self) -> timedelta:
        return timedelta(minutes=self.session_timeout_minutes)

    @property
    def event_retention(self) -> timedelta:
        return timedelta(hours=self.event_retention_hours)


class ServerConfig(_Section):
    """`server` in the file: how the service is reached."""

    allowed_hosts: Hosts = ["127.0.0.1", "localhost", "[::1]"]
    trusted_origins: Origins = []
    trusted_proxies: Networks = []
    https: bool = False
    http_lane: bool = True
    base_path: Annotated[str, AfterValidator(_is_base_path)] = ""
    database_standbys: Standbys = 0
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_in_small_letters)] = "text"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_in_capitals)
    ] = "INFO"
    # repr=False: a secret, which no message shows.
    secret_key: Annotated[str | None, Field(min_length=32, repr=False)] = None


class AccountsConfig(_Section):
    """`accounts` in the file: log-ins by OpenID Connect. docs/accounts.md says what they mean."""

    openid_issuer: Annotated[str, AfterValidator(_is_issuer)] = ""
    openid_name: Annotated[str, Field(min_length=1, max_length=40)] = "single sign-on"
    openid_client_id: str = ""
    # repr=False: a secret, which no message shows.
    openid_client_secret: Annotated[str, Field(repr=False)] = ""
    openid_scopes: Names = ["openid", "profile"]
    openid_username_claim: Annotated[str, Field(min_length=1)] = "preferred_username"
    openid_groups_claim: str = "groups"
    openid_viewer_groups: Names = ["viewer"]
    openid_editor_groups: Names = ["editor"]
    openid_admin_groups: Names = ["admin"]
    openid_take_over: bool = False

    @property
    def openid_button(self) -> str:
        """The provider as the pages for logging in name it; "" where there is none."""
        return self.openid_name if self.openid_issuer else ""


class LimitsConfig(_Section):
    """`limits` in the file: the share of common resources that one user, workstation or address may use.

    docs/security.md gives the reasons.
    """

    sessions_per_workstation: Count = 5_000
    sessions_per_user: Count = 20_000
    node_keys_per_user: Count = 2_000_000
    places_per_user: Count = 1_000
    workstations_per_user: Count = 1_000
    streams_per_user: Count = 100
    requests_per_user: Count = 64
    requests_per_address: Count = 64
    body_memory_mb: Count = 64


Section = TypeVar("Section", bound=_Section)


def load(
    path: Path, *, required: bool
) -> tuple[SessionsConfig, ServerConfig, LimitsConfig, AccountsConfig]:
    """Read the configuration.

    Args:
        path: the YAML file. An empty file is a file of defaults.
        required: whether a missing file is an error, because `SILO_CONFIG` names it.

    Raises:
        ImproperlyConfigured: naming each unknown key or bad value and the reason.
    """
    document = _read(path, required=required)
    modules = _mapping(document.pop("modules", None), "modules", path)
    sessions = _mapping(modules.pop("sessions", None), "modules.sessions", path)
    server = _mapping(document.pop("server", None), "server", path)
    limits = _mapping(document.pop("limits", None), "limits", path)
    accounts = _mapping(document.pop("accounts", None), "accounts", path)
    unknown = [*document, *(f"modules.{key}" for key in modules)]
    if unknown:
        known = ("modules.sessions", "server", "limits", "accounts")
        faults = (f"unknown key {key}{environment.meant(key, known)}" for key in unknown)
        raise ImproperlyConfigured(f"{path}: {'; '.join(faults)}")
    sections = (SessionsConfig, ServerConfig, LimitsConfig, AccountsConfig)
    environment.refuse_unknown([key for section in sections for key in section.model_fields])
    return (
        _section(SessionsConfig, sessions, "modules.sessions", path),
        _section(ServerConfig, server, "server", path),
        _section(LimitsConfig, limits, "limits", path),
        _section(AccountsConfig, accounts, "accounts", path),
    )


def for_log(*sections: _Section) -> dict[str, Any]:
    """Return all values by their keys, for the log: none of them is a secret."""
    return {
        key: getattr(section, key)
        for section in sections
        for key, field in type(section).model_fields.items()
        if field.repr
    }


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        document = silo_yaml.load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ImproperlyConfigured(f"SILO_CONFIG names {path}, which does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{path} cannot be read: {error}") from error
    except silo_yaml.Duplicate as error:
        raise ImproperlyConfigured(f"{path}: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Neither PyYAML's message nor a chained exception: they quote the line, which may contain the secret key.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ImproperlyConfigured(f"{path} is not valid YAML{where}") from None
    return _mapping(document, "the file", path)


def _mapping(value: Any, name: str, path: Path) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ImproperlyConfigured(f"{path}: {name} must be a mapping of keys to values")
    return {str(key): entry for key, entry in value.items()}


def _section(section: type[Section], values: dict[str, Any], name: str, path: Path) -> Section:
    # Before pydantic-settings sees the keys: it has parameters of its own, such as _env_prefix.
    if unknown := values.keys() - section.model_fields.keys():
        faults = "; ".join(
            f"{name}.{key}: unknown key{environment.meant(key, section.model_fields)}"
            for key in sorted(unknown)
        )
        raise ImproperlyConfigured(f"{path}: {faults}")
    try:
        return section(**values)
    except ValidationError as error:
        faults = "; ".join(
            f"{name}.{'.'.join(map(str, fault['loc']))}: {fault['msg'].removeprefix('Value error, ')}"
            f" ({_origin(section, str(fault['loc'][0]), fault['input'], path)})"
            for fault in error.errors(include_url=False)
        )
        # Nothing chained: it would show secrets.
        raise ImproperlyConfigured(faults) from None


def _origin(section: type[Section], key: str, value: Any, path: Path) -> str:
    """Return a value, unless it is a secret, and where it comes from."""
    where = environment.where(key) or path
    if not section.model_fields[key].repr:
        return f"in {where}"
    return f"it is {environment.shown(value)} in {where}"

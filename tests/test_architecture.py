"""The shape of the product, checked on its source: layers, doors, names, migrations."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).resolve().parents[1]

# Lowest first; apps of one row are siblings and do not see each other. `remosa` is the composition
# root (settings, urls, console, simulator): it sees everybody, nobody sees it.
LAYERS = [
    ["remosa.lib"],
    ["platforms"],
    ["devices"],
    ["sms", "exporters"],
    ["automation"],
    ["notifications"],
    ["remosa"],
]
LEVEL = {app: level for level, apps in enumerate(LAYERS) for app in apps}

VAGUE_NAMES = {"util", "utils", "common", "helper", "helpers", "misc", "core", "base_utils", "shared"}
HTTP_CLIENTS = {"requests", "httpx", "urllib3", "urllib.request", "http.client", "aiohttp", "pycurl"}
HTTP_DOOR = {"remosa.lib.http", "remosa.lib.curl"}  # the door, and libcurl behind it
EMPTY_PACKAGE = "remosa"  # `from remosa import lib` names it on the way down


def owner(module: str) -> str | None:
    """The app that a dotted path belongs to; None for everybody else's code."""
    if module == "remosa.lib" or module.startswith("remosa.lib."):
        return "remosa.lib"
    top = module.partition(".")[0]
    return top if top in LEVEL else None


@cache
def sources() -> dict[str, Path]:
    """``{dotted module: path}`` of the product, tests not included."""
    tops = sorted({app.partition(".")[0] for app in LEVEL})
    paths = [path for top in tops for path in sorted((ROOT / top).rglob("*.py"))]
    return {dotted(path): path for path in paths}


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(module: str, code: ast.Module, *, is_package: bool) -> Iterator[tuple[str, int]]:
    """Every imported dotted name with its line, also inside functions; relative ones made absolute.

    ``from a import b`` yields ``a`` and ``a.b``, because ``b`` may be a module.
    """
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield base, node.lineno
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def product_imports() -> Iterator[tuple[str, str, str]]:
    """``(module, imported name, "path:line")`` for the whole product."""
    for module, path in sources().items():
        for name, line in imports(module, tree(path), is_package=path.name == "__init__.py"):
            yield module, name, f"{path.relative_to(ROOT)}:{line}"


def points_upwards(module: str, name: str) -> bool:
    """Whether ``module`` may not import ``name``: a sibling or a higher layer."""
    mine, theirs = owner(module), owner(name)
    if mine is None or theirs in (None, mine) or name == EMPTY_PACKAGE:
        return False
    return LEVEL[theirs] >= LEVEL[mine]


def test_apps_import_only_downwards():
    wrong = [
        f"{where} imports {name}" for module, name, where in product_imports() if points_upwards(module, name)
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("module", "line", "is_wrong"),
    [
        ("devices.services", "from platforms import audit", False),
        ("devices.services", "from remosa.lib.clock import utcnow", False),
        ("devices.services", "from remosa import lib", False),
        ("devices.services", "from .models import Device", False),
        ("devices.services", "import django.db", False),
        ("devices.services", "from sms import services", True),
        ("devices.services", "def late():\n    import automation.engine", True),
        ("devices.services", "from remosa import settings", True),
        ("sms.transport", "from exporters.models import Exporter", True),
        ("sms.gateways.http", "from ..models import SmsMessage", False),
        ("remosa.lib.http", "from platforms.models import Platform", True),
        ("remosa.lib.http", "from .. import settings", True),
        ("remosa.urls", "import notifications.urls", False),
    ],
)
def test_the_layer_check_judges_one_line(module: str, line: str, is_wrong: bool):
    names = [name for name, _ in imports(module, ast.parse(line), is_package=False)]

    assert any(points_upwards(module, name) for name in names) is is_wrong


def test_the_root_package_itself_holds_nothing():
    assert [
        node for node in tree(ROOT / EMPTY_PACKAGE / "__init__.py").body if not isinstance(node, ast.Expr)
    ] == []


def test_every_app_has_its_layer():
    apps = {path.parent.name for path in ROOT.glob("*/apps.py")}

    assert apps - set(LEVEL) == set()
    assert {app for app in LEVEL if not (ROOT / app.replace(".", "/")).is_dir()} == set()


def test_module_names_say_what_is_inside():
    vague = [module for module in sources() if VAGUE_NAMES & set(module.split("."))]

    assert vague == []


def test_outgoing_http_has_one_door():
    wrong = [
        f"{where} imports {name}; go through remosa.lib.http"
        for module, name, where in product_imports()
        if is_http_client(name) and module not in HTTP_DOOR and not is_simulators_server(module, name)
    ]

    assert wrong == []


def is_http_client(name: str) -> bool:
    return any(name == client or name.startswith(f"{client}.") for client in HTTP_CLIENTS)


def is_simulators_server(module: str, name: str) -> bool:
    """The simulator plays other people's servers with ``aiohttp.web``; the bare package comes along."""
    return module.startswith("remosa.simulator") and (name == "aiohttp" or name.startswith("aiohttp.web"))


def test_the_simulator_makes_no_requests_itself():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} uses {node.attr}"
        for module, path in sources().items()
        if module.startswith("remosa.simulator")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in ("ClientSession", "request", "TCPConnector")
        if isinstance(node.value, ast.Name) and node.value.id == "aiohttp"
    ]

    assert wrong == []


def test_certificates_are_always_verified():
    switched_off = re.compile(
        r"\b(verify|verify_ssl|ssl|check_hostname)\s*=\s*False|CERT_NONE|_create_unverified"
    )
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources().values()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if switched_off.search(line)
    ]

    assert wrong == []


def test_every_module_says_what_it_decides():
    silent = [
        str(path.relative_to(ROOT))
        for path in sources().values()
        if "migrations" not in path.parts and tree(path).body and not ast.get_docstring(tree(path))
    ]

    assert silent == []


def test_errors_are_not_swallowed():
    """``except Exception: pass`` and a bare ``except:`` hide what should be seen."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources().values()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and (node.type is None or swallows_everything(node))
    ]

    assert wrong == []


def swallows_everything(handler: ast.ExceptHandler) -> bool:
    is_broad = isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")
    return is_broad and all(isinstance(line, ast.Pass | ast.Continue) for line in handler.body)


def test_our_own_logic_hangs_on_no_model_signal():
    model_signals = {"pre_save", "post_save", "pre_delete", "post_delete", "m2m_changed"}
    wrong = [
        f"{where} imports {name}"
        for _, name, where in product_imports()
        if name.startswith("django.db.models.signals.") and name.rpartition(".")[2] in model_signals
    ]

    assert wrong == []


@pytest.mark.django_db
def test_migrations_match_the_models():
    said = StringIO()

    try:
        call_command("makemigrations", check=True, dry_run=True, stdout=said, stderr=said)
    except SystemExit:
        pytest.fail(f"models have changes without a migration:\n{said.getvalue()}", pytrace=False)

"""What is delivered: pinned packages, the image, the process list, the scripts, a clean repository."""

import ast
import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

from tests.test_architecture import LEVEL, dotted, imports, sources, tree

ROOT = Path(__file__).resolve().parents[1]
COMPILED = ["requirements.txt", "requirements-dev.txt"]
APPS = sorted({app.partition(".")[0] for app in LEVEL})


def normal(name: str) -> str:
    """A package name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(file: str) -> set[str]:
    """The names that an ``.in`` file asks for."""
    lines = (ROOT / file).read_text().splitlines()
    return {normal(match[0]) for line in lines if (match := re.match(r"[A-Za-z][\w.-]*", line))}


def pins(file: str) -> dict[str, str]:
    """``{name: the whole entry with its hashes}`` of a compiled file."""
    text = (ROOT / file).read_text().replace("\\\n", " ")
    entries = (line for line in text.splitlines() if line and not line.lstrip().startswith("#"))
    return {normal(re.match(r"[\w.-]+", entry)[0]): entry for entry in entries}


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]  # one deleted but not committed yet is listed too


# --- packages


@pytest.mark.parametrize("source", ["requirements.in", "requirements-dev.in"])
def test_every_requirement_is_pinned(source: str):
    compiled = pins(source.replace(".in", ".txt"))

    assert wanted(source) - set(compiled) == set()


@pytest.mark.parametrize("file", COMPILED)
def test_every_pin_is_exact_and_hashed(file: str):
    loose = [
        name
        for name, entry in pins(file).items()
        if not re.match(r"[\w.-]+==[\w.]+\s", entry) or "--hash=sha256:" not in entry
    ]

    assert pins(file)
    assert loose == []


def test_tests_run_on_the_packages_that_are_delivered():
    runtime, dev = pins("requirements.txt"), pins("requirements-dev.txt")

    assert {name for name, entry in runtime.items() if dev.get(name) != entry} == set()


@pytest.mark.parametrize("file", [*COMPILED, "requirements.in", "requirements-dev.in"])
def test_requirements_name_no_place_to_install_from(file: str):
    text = (ROOT / file).read_text()

    assert re.findall(r"\w+://\S*|--(?:extra-)?index-url|--find-links|--trusted-host| @ ", text) == []


class RunTime(ast.NodeTransformer):
    """Drops what only the type checker reads."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse
        return self.generic_visit(node)


def test_the_product_imports_only_what_it_requires():
    """A package that merely comes along with another may leave with it."""
    providers = importlib.metadata.packages_distributions()
    required = wanted("requirements.in")
    unasked = set()
    for module, path in sources().items():
        code = RunTime().visit(ast.parse(path.read_text(encoding="utf-8")))
        for name, line in imports(module, code, is_package=path.name == "__init__.py"):
            top = name.partition(".")[0]
            distributions = {normal(found) for found in providers.get(top, [])}
            is_ours = top in APPS or top in sys.stdlib_module_names
            if not is_ours and not distributions & required:
                unasked.add(f"{dotted(path)}:{line} imports {top}")

    assert unasked == set()


def test_the_oldest_python_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert project["project"]["requires-python"] == ">=3.11"
    assert project["tool"]["ruff"]["target-version"] == "py311"
    assert project["tool"]["mypy"]["python_version"] == "3.11"
    assert "--python-version 3.11" in (ROOT / "Makefile").read_text()


def test_strictly_typed_modules_exist():
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    strict = next(entry["module"] for entry in overrides if entry.get("disallow_untyped_defs"))

    assert [name for name in strict if name.removesuffix(".*") not in sources()] == []


# --- image and processes


def test_the_image_is_built_in_stages_and_runs_unprivileged():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    stages = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    final = "\n".join(lines[stages[-1] :])

    assert len(stages) == 2
    assert "--require-hashes" in "\n".join(lines[: stages[-1]])
    assert "collectstatic" in "\n".join(lines[: stages[-1]])
    assert re.search(r"^USER 10001", final, re.M)
    assert re.search(r"^HEALTHCHECK .*scripts/healthcheck\.py", final, re.M)
    assert re.search(r'^CMD \["granian", .*"remosa\.wsgi:application"\]', final, re.M)
    assert "pip" not in final


def test_the_image_holds_every_app_and_no_test():
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert set(APPS) <= let_in
    assert {"manage.py", "requirements.txt", "templates", "scripts/healthcheck.py"} <= let_in
    assert not {name for name in let_in if name.startswith(("tests", ".", "var"))}


def processes() -> list[tuple[str, str]]:
    lines = (ROOT / "Procfile").read_text().splitlines()
    return [(name, command.strip()) for name, _, command in (line.partition(":") for line in lines)]


def test_the_processes_are_named():
    assert [name for name, _ in processes()] == ["web", "worker", "outbox", "poller", "modem"]


@pytest.mark.parametrize(("name", "command"), processes(), ids=[name for name, _ in processes()])
def test_every_process_can_start(name: str, command: str):
    words = shlex.split(command)

    if words[0] == "granian":
        module, _, attribute = words[-1].partition(":")
        assert f"{module}.{attribute}" == settings.WSGI_APPLICATION
    else:
        assert words[:2] == ["python", "manage.py"]
        assert words[2] in get_commands()


# --- settings


def setting_names() -> set[str]:
    """Every variable that the settings read."""
    names = set()
    for node in ast.walk(tree(ROOT / "remosa" / "settings.py")):
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        reads_env = (
            isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "env"
        )
        requires = isinstance(node.func, ast.Name) and node.func.id == "required_in_production"
        if reads_env or requires:
            names.add(node.args[0].value)
    return names


def test_every_setting_is_in_the_example():
    example = (ROOT / ".env.example").read_text()
    explained = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", example, re.M))

    assert "SECRET_KEY" in setting_names()
    assert setting_names() - explained == set()
    assert explained - setting_names() == {"PORT", "DEMO"}  # read by `manage.py run`


# --- repository


def shell_scripts() -> list[Path]:
    scripts = [path for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix]
    return [*sorted(scripts), ROOT / ".ci" / "run"]


@pytest.mark.parametrize("path", shell_scripts(), ids=lambda path: path.name)
def test_scripts_are_runnable(path: Path):
    check = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)

    assert check.stderr == ""
    assert os.access(path, os.X_OK)
    assert "set -euo pipefail" in path.read_text()


def test_make_knows_its_targets():
    for target in ("setup", "run", "test", "lint", "soak", "bench"):
        plan = subprocess.run(
            ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
        )

        assert plan.returncode == 0, plan.stderr


def test_the_repository_names_no_place_of_one_machine():
    places = re.compile(r"(?<![\w.~$}/-])/(?:root|work|home/\w+|tmp|Users/\w+)/[\w.]|file:///")
    found = []
    for path in tracked():
        name = path.relative_to(ROOT)
        if name.parts[0] == "tests" or b"\0" in path.read_bytes()[:1024]:
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        found += [f"{name}:{number}: {line}" for number, line in enumerate(lines, 1) if places.search(line)]

    assert found == []


def test_the_repository_holds_no_generated_file():
    unwanted = re.compile(r"(^|/)(__pycache__|\.venv|var|staticfiles|\.env)(/|$)|\.(sqlite3|pyc|log)$")

    assert [str(path) for path in tracked() if unwanted.search(str(path.relative_to(ROOT)))] == []

"""The Russian catalogue is complete, current and says what the spec's words say."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polib
import pytest
from django.apps import apps
from django.conf import settings
from django.utils import translation
from django.utils.translation.trans_real import DjangoTranslation

from remosa import foreign_strings

ROOT: Path = settings.BASE_DIR
PO = ROOT / "locale" / "ru" / "LC_MESSAGES" / "django.po"
SINGLE_NAMES = ("_", "_g", "gettext", "gettext_lazy", "gettext_noop")
PLACEHOLDER = re.compile(r"%\(\w+\)[#0\- +]*\d*(?:\.\d+)?[a-zA-Z]|%[sdfg]|\{[^{}\s]*\}")
OWN = ("remosa", "platforms", "devices", "sms", "exporters", "automation", "notifications")

# what a Russian operator's tool does not say, and what it says instead
FORBIDDEN = {
    r"\b[оo]ф+лай?н": "нет связи",
    r"\bонлайн": "на связи",
    r"не работает": "нет связи: that is all we know",
    r"девайс": "устройство",
    r"таргет": "цель опроса",
    r"\bсайт": "площадка",
    r"\bкейс": "случай",
    r"\bджоб": "задание",
    r"\bтикет|инцидент": "случай",
    r"гейтвей": "SMS-шлюз",
    r"сегмент": "часть SMS",
    r"\bлог[аиове]*\b": "журнал",
    r"аудит": "журнал",
    r"\bребут|пауэр": "перезагрузка питанием",
    r"эскалир|эскалац": "передано дежурному",
    r"неизвестен статус": "нет данных",
    r"карантин": "неразобранное",
    r"кулдаун": "пауза",
}

# the binding words of the product: source, Russian
WORDS = {
    "site": "площадка",
    "player": "плеер",
    "GSM socket": "GSM-розетка",
    "online": "на связи",
    "offline": "нет связи",
    "no data": "нет данных",
    "case": "случай",
    "job": "задание",
    "watch only": "наблюдение",
    "suggest": "предложение",
    "automatic": "автомат",
    "sent": "отправлено",
    "delivered": "доставлено",
    "replied": "ответила",
    "outcome unknown": "итог неизвестен",
    "recovered": "восстановлено",
    "handed to a person": "передано дежурному",
    "Take": "Беру",
    "attempt": "попытка",
    "guard": "предохранитель",
    "Why not": "Почему не сработало",
    "stop of automation": "стоп автоматики",
    "SMS gateway": "SMS-шлюз",
    "exporter": "экспортер",
    "audit": "журнал",
    "unmatched": "не разобрано",
}


def key(entry: polib.POEntry) -> tuple[str, str, str]:
    return entry.msgctxt or "", entry.msgid, entry.msgid_plural or ""


def compiled_key(entry: polib.POEntry) -> str:
    """The msgid as a compiled catalogue has it."""
    return f"{entry.msgctxt}\x04{entry.msgid}" if entry.msgctxt else entry.msgid


def forms(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


@pytest.fixture(scope="module")
def catalogue() -> polib.POFile:
    return polib.pofile(str(PO))


def xgettext() -> None:
    """Skip, and say so, where gettext is not installed; on CI its absence is a failure."""
    if shutil.which("xgettext") is None:
        message = "gettext is not installed: the sources were not compared with the catalogue"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(message)
        pytest.skip(message)


def collect(tree: Path) -> polib.POFile:
    """What ``manage.py makemessages`` finds in a tree that has no catalogue yet."""
    (tree / "locale").mkdir(exist_ok=True)
    subprocess.run(
        [sys.executable, "-c", COLLECT, str(tree)],
        cwd=tree,
        env=os.environ
        | {"DJANGO_SETTINGS_MODULE": "remosa.settings", "DEBUG": "true", "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=300,
    )
    return polib.pofile(str(tree / "locale" / "ru" / "LC_MESSAGES" / "django.po"))


# the settings come from the project, the strings and the new catalogue from the tree
COLLECT = """
import sys
from pathlib import Path
import django
from django.conf import settings
from django.core.management import call_command
django.setup()
settings.LOCALE_PATHS = [Path(sys.argv[1]) / "locale"]
call_command("makemessages", verbosity=0)
"""


# --- the entries -------------------------------------------------------------------------------------


def test_catalogue_is_complete_and_without_guesses(catalogue: polib.POFile) -> None:
    fuzzy = [entry.msgid for entry in catalogue if entry.fuzzy]
    empty = [entry.msgid for entry in catalogue if not entry.obsolete and not all(forms(entry))]
    obsolete = [entry.msgid for entry in catalogue.obsolete_entries()]

    assert len(catalogue) > 1000
    assert (fuzzy, empty, obsolete) == ([], [], []), "run `make messages` and translate"


def test_catalogue_counts_in_russian(catalogue: polib.POFile) -> None:
    wrong = [entry.msgid for entry in catalogue if entry.msgid_plural and len(entry.msgstr_plural) != 4]

    assert catalogue.metadata["Plural-Forms"].startswith("nplurals=4;")
    assert wrong == []


def test_translation_keeps_placeholders(catalogue: polib.POFile) -> None:
    wrong = []
    for entry in catalogue:
        # a singular may spell its number out, so any one source's placeholders will do for a plural
        allowed = [sorted(PLACEHOLDER.findall(text)) for text in (entry.msgid, entry.msgid_plural) if text]
        wrong += [
            (entry.msgid, text) for text in forms(entry) if sorted(PLACEHOLDER.findall(text)) not in allowed
        ]

    assert wrong == []


def test_translation_keeps_edges(catalogue: polib.POFile) -> None:
    """A full stop, a colon or a space at either end is part of how the code joins texts."""
    wrong = []
    for entry in catalogue:
        for text in forms(entry):
            same_space = (entry.msgid[:1].isspace(), entry.msgid[-1:].isspace()) == (
                text[:1].isspace(),
                text[-1:].isspace(),
            )
            dot = entry.msgid.rstrip()[-1:] == "."
            if not same_space or (dot and text.rstrip()[-1:] not in ".…"):
                wrong.append((entry.msgid, text))

    assert wrong == []


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_translation_avoids_word(catalogue: polib.POFile, pattern: str) -> None:
    found = [
        (entry.msgid, text)
        for entry in catalogue
        for text in forms(entry)
        if re.search(pattern, text, re.IGNORECASE)
    ]

    assert found == [], f"say: {FORBIDDEN[pattern]}"


@pytest.mark.parametrize("source", WORDS)
def test_translation_uses_product_word(catalogue: polib.POFile, source: str) -> None:
    entry = catalogue.find(source, msgctxt=False)

    assert entry is not None
    assert entry.msgstr == WORDS[source]


# --- the compiled file -------------------------------------------------------------------------------


def test_compiled_file_is_up_to_date(catalogue: polib.POFile) -> None:
    compiled = polib.mofile(str(PO.with_suffix(".mo")))

    assert {key(e): forms(e) for e in compiled} == {key(e): forms(e) for e in catalogue}


def test_compiled_file_is_committed_not_ignored() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "-q", "locale/ru/LC_MESSAGES/django.mo"], cwd=ROOT, check=False
    )

    assert ignored.returncode != 0


def test_russian_is_what_people_get() -> None:
    with translation.override("ru"):
        said = translation.gettext("offline"), translation.gettext("Reset filters")

    assert said == ("нет связи", "Сбросить фильтры")


# --- the sources -------------------------------------------------------------------------------------


def test_catalogue_has_every_string_of_the_sources(catalogue: polib.POFile, tmp_path: Path) -> None:
    xgettext()
    for name in (*OWN, "templates"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "static"))

    found = {key(entry) for entry in collect(tmp_path)}

    held = {key(entry) for entry in catalogue}
    assert sorted(found - held) == [], "run `make messages` and translate"
    assert sorted(held - found) == [], "run `make messages`"


def test_sources_use_only_names_that_are_collected() -> None:
    """``gettext as _g`` is collected because makemessages was told; another alias would stay English."""
    alias = re.compile(r"import n?p?n?gettext(?:_lazy)? as (\w+)")
    names = {
        name
        for app in OWN
        for path in (ROOT / app).rglob("*.py")
        for name in alias.findall(path.read_text(encoding="utf-8"))
    }

    assert names <= {"_", "_g"}


def calls_of_gettext(path: Path) -> Iterator[tuple[int, str]]:
    """(line, string) of each call in a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            first = node.args[0]
            if node.func.id in SINGLE_NAMES and isinstance(first, ast.Constant):
                yield node.lineno, first.value


def test_no_string_is_hidden_in_f_strings(catalogue: polib.POFile) -> None:
    """xgettext does not look into the braces of an f-string; name the text before the f-string."""
    held = {entry.msgid for entry in catalogue}

    hidden = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for app in OWN
        for path in sorted((ROOT / app).rglob("*.py"))
        for line, text in calls_of_gettext(path)
        if text not in held
    ]

    assert hidden == []


# --- other packages ----------------------------------------------------------------------------------


def foreign_packages() -> Iterator[tuple[Path, list[Path]]]:
    """(directory, directories inside it that are not installed) of each installed foreign package."""
    installed = {Path(config.path) for config in apps.get_app_configs()}
    for path in sorted(installed):
        if path.name in OWN or "django" in path.parts[-3:-1] or any(up in installed for up in path.parents):
            continue
        if path.is_relative_to(ROOT) and "site-packages" not in path.parts:
            continue
        inner = [below.parent for below in path.rglob("apps.py") if below.parent != path]
        yield path, [below for below in inner if below not in installed]


def without_ours(settings: Any) -> set[str]:
    """The msgids that Django and the other packages have in Russian."""
    settings.LOCALE_PATHS = []
    russian = DjangoTranslation("ru")._catalog.keys()
    return {name[0] if isinstance(name, tuple) else name for name in russian}


def test_foreign_strings_are_those_that_lack_russian(settings: Any, tmp_path: Path) -> None:
    xgettext()
    known = without_ours(settings)
    for path, dropped in foreign_packages():
        shutil.copytree(
            path, tmp_path / path.name, ignore=shutil.ignore_patterns("__pycache__", "static", "locale")
        )
        for inner in dropped:
            shutil.rmtree(tmp_path / path.name / inner.relative_to(path))

    lacking = {key(entry) for entry in collect(tmp_path) if compiled_key(entry) not in known}

    listed = listed_strings(Path(foreign_strings.__file__), tmp_path / "listed")
    ours = {("", text, "") for text in (*foreign_strings.DJANGO_ADMIN, *foreign_strings.IN_F_STRINGS)}
    assert lacking
    assert sorted(lacking - listed) == [], "add to remosa/foreign_strings.py"
    assert sorted(listed - lacking - ours) == [], "no package says this any more: remove"
    assert sorted(set(foreign_strings.DJANGO_ADMIN) - known) == [], (
        "Django does not say this any more: remove"
    )


def listed_strings(module: Path, tree: Path) -> set[tuple[str, str, str]]:
    tree.mkdir()
    shutil.copy(module, tree)
    return {key(entry) for entry in collect(tree)}

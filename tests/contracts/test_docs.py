"""The documentation builds without a warning or a network, and leaves out no setting, command, stage or error code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from medsyn2.cli import COMMANDS
from medsyn2.config import Config
from medsyn2.stages import STAGES

ROOT = Path(__file__).parents[2]
MAX_README_WORDS = 900
PAGES = ("README.md", "AGENTS.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=300
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    return folder


def test_every_key_of_the_configuration_is_documented(site: Path) -> None:
    text = (site / "reference/configuration.html").read_text(encoding="utf-8")
    schema = Config.model_json_schema(by_alias=True)
    keys = []
    for section, where in schema["properties"].items():
        record = where.get("$ref", "").split("/")[-1]
        names = schema["$defs"].get(record, {}).get("properties", {})
        keys += [section, *(f"{section}.{name}" for name in names)]
    for record in ("Baseline", "PublicSlices", "Variant"):
        keys += [f"{record}.{name}" for name in schema["$defs"][record]["properties"]]
    assert len(keys) > 190
    assert [key for key in keys if f'id="{key}"' not in text] == []


def test_every_command_and_stage_is_documented(site: Path) -> None:
    commands = (site / "reference/commands.html").read_text(encoding="utf-8")
    stages = (site / "reference/stages.html").read_text(encoding="utf-8")
    verbs = [name.replace("_", "-") for name in (*COMMANDS, *STAGES)]
    assert [verb for verb in verbs if f'id="{verb}"' not in commands] == []
    assert [name for name in STAGES if f'id="{name}"' not in stages] == []


def test_every_error_code_is_documented(site: Path) -> None:
    text = (site / "reference/errors.html").read_text(encoding="utf-8")
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "medsyn2").rglob("*.py"))
    codes = set(re.findall(r'\bcode="([a-zA-Z0-9.-]+)"', sources))
    # Codes that reach their error through a helper, a record or a dictionary, or that the command line prints.
    codes |= {"environment-files", "file-is-pdf", "nifti-truncated", "report-conflict", "tool-died", "upside-down"}
    assert len(codes) > 180
    assert [code for code in sorted(codes) if f"<code>{code}</code>" not in text] == []


def test_every_package_has_its_page_of_the_api(site: Path) -> None:
    packages = [path.parent.name for path in (ROOT / "medsyn2").glob("*/__init__.py")]
    missing = [name for name in packages if not (site / f"reference/api/medsyn2.{name}.html").is_file()]
    assert missing == []
    assert "from_pretrained" in (site / "reference/api/medsyn2.pipeline.html").read_text(encoding="utf-8")


def test_the_site_loads_nothing_from_the_network(site: Path) -> None:
    loads = re.compile(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(?:https?:)?//[^"]+"')
    found = {match for path in site.rglob("*.html") for match in loads.findall(path.read_text(encoding="utf-8"))}
    assert found == set()


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= MAX_README_WORDS


def test_links_lead_to_files() -> None:
    broken = []
    for page in (path for pattern in PAGES for path in ROOT.glob(pattern)):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not re.match(r"\w+:", target) and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def test_paths_that_are_written_down_exist() -> None:
    written = re.compile(r"`((?:medsyn2|tests|benchmarks|workflow|configs|profiles|envs|docs)/[\w/.-]+\w)`")
    missing = {
        f"{page.relative_to(ROOT)}: {path}"
        for page in (path for pattern in PAGES for path in ROOT.glob(pattern))
        for path in written.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / path).exists()
    }
    assert missing == set()

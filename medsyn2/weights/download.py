"""Resumable downloads that are complete or absent.

A file grows under the name ``NAME.part`` and is resumed if the server still has the same file (by its ETag, stored
next to it). It is renamed when its size is the server's and its checksum the published one. An archive is unpacked next
to its place and moved there; members that point elsewhere are refused.

This is the only module that opens a connection; ``medsyn2 fetch`` alone imports it.
"""

import http.client
import logging
import shutil
import stat
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from medsyn2.errors import WeightsError
from medsyn2.files import sha256_of, sync

log = logging.getLogger(__name__)

TIMEOUT_S = 60
ATTEMPTS = 5
_CHUNK = 1 << 20


def download(url: str, path: Path, *, sha256: str = "") -> None:
    """Download a file, resuming an earlier attempt.

    Args:
        sha256: Checksum or its beginning; empty if unknown.

    Raises:
        WeightsError: If the server lacks the file, cannot be reached, or sent something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, tag = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.etag")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            if _receive(url, partial, tag):
                break
        except urllib.error.HTTPError as error:
            raise _download_error(url, f"the server answers {error.code} {error.reason}") from error
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            if attempt == ATTEMPTS:
                raise _download_error(url, str(error)) from error
            log.warning("%s was interrupted (%s); attempt %d of %d", url, error, attempt + 1, ATTEMPTS)
    else:
        raise _download_error(url, f"the connection ended early {ATTEMPTS} times")
    found = sha256_of(partial)
    if not found.startswith(sha256):
        partial.unlink()
        tag.unlink(missing_ok=True)
        raise WeightsError(
            f"{url} has the sha256 {found}, expected {sha256}.",
            code="download-damaged",
            remedy="fetch it again; if it stays so, the file at its source was changed or a proxy answers for it.",
        )
    sync(partial)
    partial.replace(path)
    tag.unlink(missing_ok=True)
    sync(path.parent)


def unpack(archive: Path, place: Path) -> list[Path]:
    """Unpack a zip archive to the folder `place` and return its files.

    A single top folder with the name of `place` is not repeated below it.

    Raises:
        WeightsError: If it is damaged, or a member is absolute, points elsewhere or is a link.
    """
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not _is_chaff(member)]
            names = [PurePosixPath(member.filename) for member in members]
            inside = all(name.parts[0] == place.name for name in names)
            for member, name in zip(members, names, strict=True):
                _refuse_escape(member, name, archive)
                target = partial.joinpath(*name.parts[1 if inside else 0 :])
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, _CHUNK)
                sync(target)
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise WeightsError(
            f"{archive} is no whole zip archive: {error}.",
            code="download-damaged",
            remedy="delete it and fetch it again.",
        ) from error
    for path in sorted(partial.rglob("*")):
        if path.is_file():
            target = place / path.relative_to(partial)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    shutil.rmtree(partial)
    kept = [name.parts[1 if inside else 0 :] for name in names]
    return [place.joinpath(*parts) for parts in kept]


def _receive(url: str, partial: Path, tag: Path) -> bool:
    """Append the rest of a file and say whether it is complete."""
    begin = partial.stat().st_size if partial.exists() and tag.exists() else 0
    headers = {"User-Agent": "medsyn2-fetch"}
    if begin:
        headers |= {"Range": f"bytes={begin}-", "If-Range": tag.read_text(encoding="utf-8")}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return error.headers.get("Content-Range", "") == f"bytes */{begin}"
        raise
    with answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            begin = 0
        length = answer.headers.get("Content-Length")
        total = begin + int(length) if length is not None else None
        if answer.headers.get("ETag"):
            tag.write_text(answer.headers["ETag"], encoding="utf-8")
        _copy(answer, partial, begin, total)
    return total is None or partial.stat().st_size == total


def _copy(answer: Any, partial: Path, begin: int, total: int | None) -> None:
    with (
        partial.open("ab" if begin else "wb") as out,
        tqdm(total=total, initial=begin, unit="B", unit_scale=True, desc=partial.stem, file=sys.stderr) as bar,
    ):
        while chunk := answer.read(_CHUNK):
            out.write(chunk)
            bar.update(len(chunk))


def _is_chaff(member: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(member.filename).parts
    return member.is_dir() or not parts or parts[0] == "__MACOSX" or parts[-1].startswith("._")


def _refuse_escape(member: zipfile.ZipInfo, name: PurePosixPath, archive: Path) -> None:
    if name.is_absolute() or ".." in name.parts or stat.S_ISLNK(member.external_attr >> 16):
        raise WeightsError(
            f"{archive} holds {member.filename!r}, which leads out of its folder.",
            code="download-unsafe",
            remedy="do not use this file; get the weights from their source.",
        )


def _download_error(url: str, why: str) -> WeightsError:
    return WeightsError(
        f"{url} could not be fetched: {why}.",
        code="download-failed",
        remedy="check the connection and proxy (HTTPS_PROXY), and run the command again: it goes on where it "
        "stopped. Without a network, fetch on another machine and carry the folder over.",
    )

"""Hook of MkDocs: pages from outside ``docs``, and links that work both in the repository and on the site.

Pages are written for a reader of the repository, so their links are relative to the file. On the site, a link to
another page leads to that page; a link to any other file of the repository becomes plain text. A link to a missing
file is a warning, which ends a strict build.
"""

import logging
import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent.parent
OUTSIDE = {
    "README.md": "index.md",
    **{
        path: path
        for path in (
            "ARCHITECTURE.md",
            "CHANGELOG.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "models/chest-anatomy/MODEL_CARD.md",
            "models/chest-lite0/MODEL_CARD.md",
            "models/chest-lite0/reliability.svg",
            "training/PROTOCOL.md",
        )
    },
}
"""Path in the repository → path on the site."""

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_ELSEWHERE = re.compile(r"[a-z]+:|#|/")

log = logging.getLogger("mkdocs.hooks.pages")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside ``docs``."""
    for path, uri in OUTSIDE.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have every relative link of a page lead to the place of its target on the site."""
    del config
    source = page.file.src_uri
    folder = PurePosixPath(_in_repository(source)).parent

    def on_site(link: re.Match[str]) -> str:
        target = link["target"]
        if _ELSEWHERE.match(target):
            return link[0]
        path, hash_sign, anchor = target.partition("#")
        wanted = normpath(str(folder / path))
        if not (ROOT / wanted).exists():
            log.warning("%s: the target of the link '%s' does not exist", source, target)
        uri = OUTSIDE.get(wanted, wanted.removeprefix("docs/"))
        if files.get_file_from_path(uri) is None:
            return link["text"]
        place = relpath(uri, str(PurePosixPath(source).parent))
        return f"{link['image']}[{link['text']}]({place}{hash_sign}{anchor})"

    return _LINK.sub(on_site, markdown)


def _in_repository(uri: str) -> str:
    return next((path for path, place in OUTSIDE.items() if place == uri), f"docs/{uri}")

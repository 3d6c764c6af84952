"""What an assessment returns: its figures, and the reports, letters and packets made of them."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from hostrisk.errors import InputError

if TYPE_CHECKING:
    from hostrisk.classifier import Classifier
    from hostrisk.host.tiers import HostPolicy

__all__ = ["FILES", "HostAssessment"]

FILES = ("report.html", "report.md", "assessment.json")


class HostAssessment:
    """What was found about one or more hosts, worst first.

    ``record`` is all of it as a dict, the same as :meth:`to_dict`.
    """

    def __init__(
        self, record: dict[str, Any], *, classifier: Classifier, policy: HostPolicy
    ) -> None:
        self.record = record
        self._classifier = classifier
        self._policy = policy

    def __repr__(self) -> str:
        tiers = ", ".join(f"{host['host']}: {host['tier']}" for host in self.record["hosts"][:3])
        return f"<HostAssessment {tiers}{', ...' if len(self.record['hosts']) > 3 else ''}>"

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as values that JSON can hold."""
        return self.record

    def to_html(self) -> str:
        """Return the report as one page without scripts or outside files.

        :raises MissingExtraError: matplotlib is not installed.
        """
        from hostrisk.report import host

        return host.render_html(self.record)

    def to_markdown(self) -> str:
        """Return the report as Markdown, without links, pictures or HTML."""
        from hostrisk.report import host

        return host.render_markdown(self.record)

    def to_text(self) -> str:
        """Return the figures as aligned tables for a terminal."""
        from hostrisk.report import host

        return host.render_text(self.record)

    def notice(self, host: str, *, root: str | None = None) -> str:
        """Return the draft of a letter to a host, in Markdown; the policy file has its terms.

        :param root: root hash of the evidence packet that goes with it.
        """
        from hostrisk.host.letters.notice import draft_notice

        return draft_notice(self.record, host, terms=self._policy.notice, root=root)

    def statements(self, host: str) -> list[dict[str, Any]]:
        """Return statements of reasons for the posts shown, as the DSA database takes them."""
        from hostrisk.host.letters.statements import statements_of_reasons

        return statements_of_reasons(self.record, host, terms=self._policy.notice)

    def write_packet(self, path: str | os.PathLike[str]) -> str:
        """Write the evidence packet and return its root hash; the same figures, the same bytes.

        :raises InputError: the file cannot be written.
        """
        from hostrisk.host.letters.packet import write_packet
        from hostrisk.host.letters.statements import render_statements

        pages = {"report.html": self.to_html().encode(), "report.md": self.to_markdown().encode()}
        for number, host in enumerate(self.record["hosts"], 1):
            ending = f"-{number}" if len(self.record["hosts"]) > 1 else ""
            pages[f"notice{ending}.md"] = self.notice(host["host"]).encode()
            pages[f"statements{ending}.json"] = render_statements(self.statements(host["host"]))
        posts = [
            {"host": host["host"], **post}
            for host in self.record["hosts"]
            for post in host["exemplars"]
        ]
        return write_packet(path, self.record, posts, pages=pages, model=self._classifier)

    def write(self, folder: str | os.PathLike[str]) -> dict[str, str]:
        """Write report.html, report.md and assessment.json to a folder; return their paths.

        :raises InputError: the folder or a file in it cannot be written.
        """
        from hostrisk.files import atomic_writer
        from hostrisk.host.letters.packet import canonical_json

        parts = self.to_html().encode(), self.to_markdown().encode(), canonical_json(self.record)
        contents = dict(zip(FILES, parts, strict=True))
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be made: {error.strerror}") from error
        paths = {name: os.path.join(folder, name) for name in contents}
        with ExitStack() as stack:  # all of them, or none where one cannot be written
            files = [stack.enter_context(atomic_writer(paths[name])) for name in FILES]
            for file, content in zip(files, contents.values(), strict=True):
                file.write(content)
        return paths

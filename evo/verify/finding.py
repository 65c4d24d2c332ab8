"""What a check has found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from evo.html import block, paragraph, table

Status = Literal["same", "differs", "slower", "not checked"]

SIGNS: dict[Status, str] = {"same": "ok", "differs": "DIFFERS", "slower": "SLOWER", "not checked": "-"}


@dataclass(frozen=True)
class Finding:
    """Of one thing that the folder says.

    Attributes:
        check: its name.
        said: what was found, beside what was expected where that is something else.
    """

    check: str
    status: Status
    said: str


@dataclass(frozen=True)
class Verification:
    """All findings of a folder, in the order of the checks."""

    folder: Path
    findings: tuple[Finding, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs from what was recorded. What could not be checked does not count, nor a slower machine."""
        return all(finding.status != "differs" for finding in self.findings)

    def __str__(self) -> str:
        lines = [f"  {one.check:<16} {SIGNS[one.status]:<8} {one.said}" for one in self.findings]
        return "\n".join([*lines, self.summary()])

    def summary(self) -> str:
        """All of it in a line."""
        if differing := [one.check for one in self.findings if one.status == "differs"]:
            return f"{self.folder} differs from what was delivered: {', '.join(differing)}"
        left = ", ".join(one.check for one in self.findings if one.status == "not checked")
        slower = ", and slower here" if any(one.status == "slower" for one in self.findings) else ""
        return f"{self.folder} is as it was delivered{slower}" + (f" (not checked: {left})" if left else "")

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON knows it."""
        return {"folder": str(self.folder), "same": self.same, "findings": [asdict(one) for one in self.findings]}

    def _repr_html_(self) -> str:
        rows = [(one.check, SIGNS[one.status], one.said) for one in self.findings]
        return block(paragraph(self.summary()), table(("check", "", "found"), rows))

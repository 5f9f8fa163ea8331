"""The reference page of the command line is what the help texts say."""

from pathlib import Path

from specmaskgit_cli.cli.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_reference_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "docs/cli.md is stale; run: python -m specmaskgit_cli.cli.reference > docs/cli.md"
    )

"""Whether an id fits into the version table."""

from dataclasses import replace

import pytest

from migrate.core.decide.observation import Server
from migrate.core.decide.widths import refuse_narrow, width_for
from migrate.core.history.graph import Revision

SERVER = Server(170000, "17.0", None, "app", "app", "UTF8", False, False, False, "public", True, True)
MISSING = replace(SERVER, has_version_table=False)
LONG = "20260202_add_payment_reference_to_invoices"
ONE = Revision("one", (), (), (), "", "one.py", "")
TWO = Revision(LONG, ("one",), (), (), "", "two.py", "")
WIDENS = "op.alter_column('alembic_version', 'version_num', type_=sa.String(128))"
MAKES = "CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(128))"


@pytest.mark.parametrize(
    ("server", "env_py", "sources", "replayed", "fits"),
    [
        (MISSING, "", {}, (), False),
        (MISSING, MAKES, {}, (), True),
        (MISSING, "DefaultImpl.version_table_impl = wide", {}, (), True),
        (MISSING, "", {"one": WIDENS}, (), True),
        (MISSING, "", {}, {LONG}, True),
        (replace(SERVER, version_width=32), "", {}, {LONG}, False),
        (replace(SERVER, version_width=32), MAKES, {}, (), False),
        (replace(SERVER, version_width=32), WIDENS, {}, (), True),
        (replace(SERVER, version_width=32), "", {LONG: WIDENS}, (), True),
        (replace(SERVER, version_width=64), "", {}, (), True),
        (replace(SERVER, version_width=None), "", {}, (), True),
    ],
)
def test_what_counts_is_how_wide_the_table_is_or_will_be_made(server, env_py, sources, replayed, fits):
    found = refuse_narrow(
        server,
        "alembic_version",
        [ONE, TWO],
        env_py=lambda: env_py,
        source_of=lambda revision: sources.get(revision.id, ""),
        replayed=replayed,
    )
    assert (found is None) is fits
    if found is not None:
        assert found.kind.code == "bad-history"
        assert str(found.fix).startswith("ALTER TABLE" if server.has_version_table else "CREATE TABLE")
        assert "two.py" in found.why


def test_a_short_id_fits_everywhere_and_a_table_is_never_narrower_than_alembics():
    said = refuse_narrow(MISSING, "v", [ONE], env_py=str, source_of=lambda _: "")
    assert said is None
    assert (width_for(["one"]), width_for(["one", LONG])) == (32, len(LONG))

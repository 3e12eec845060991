"""Secrets in places where nobody looks for them are in no line."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

SECRET = "pg-p4ss'w&rd-s3cret"


def shown(result) -> str:
    return (result.stdout + result.stderr).decode()


@pytest.mark.parametrize("how", ["PGPASSFILE", "home", "passfile in the URL", "PGSERVICEFILE"])
def test_a_password_of_libpqs_files(project, make_database, make_role, run_migrate, tmp_path, how):
    role = make_role(password=SECRET)
    database = make_database(owner=role)
    where = urlsplit(database.url)
    file = tmp_path / "secrets"
    url = f"postgresql://{role.name}@{where.hostname}:{where.port}/{database.name}"
    environment = {"DATABASE_URL": url, "HOME": str(tmp_path), "SECRETS": str(file)}
    if how == "PGSERVICEFILE":
        file.write_text(f"[mine]\npassword={SECRET}\n")
        environment |= {"PGSERVICEFILE": str(file), "DATABASE_URL": f"{url}?service=mine"}
    else:
        line = f"# the database\n*:*:{database.name}:{role.name}:{SECRET}\n"
        file.write_text(line)
        file.chmod(0o600)
        if how == "PGPASSFILE":
            environment["PGPASSFILE"] = str(file)
        elif how == "home":
            (tmp_path / ".pgpass").write_text(line)
            (tmp_path / ".pgpass").chmod(0o600)
        else:
            environment["DATABASE_URL"] = f"{url}?passfile={file}"
    head = f"""
        said = open(os.environ["SECRETS"]).read().split({"':'" if how != "PGSERVICEFILE" else "'='"})[-1].strip()
        import html, shlex
        print(html.escape(said), shlex.quote(said))
        raise RuntimeError("cannot connect with " + said)
        """
    project.write_env(head=head)
    project.linear(1)
    result = run_migrate("up", env=environment)
    assert result.exit_code == 11, shown(result)
    assert "cannot connect with ***" in result.finished["why"]
    assert "p4ss" not in shown(result)


def test_a_backup_command_with_an_open_quote_is_not_shown(project, database, run_migrate):
    command = "curl -u user:s3cr3t-t0ken https://backup 'open"
    project.linear(1)
    for arguments, environment in (
        (("--backup-command", command), {}),
        ((), {"MIGRATE_BACKUP_COMMAND": command}),
    ):
        result = run_migrate("up", *arguments, database=database, env=environment)
        assert result.exit_code in {2, 10}
        assert "quotation mark that is never closed" in shown(result)
        assert "t0ken" not in shown(result)
    (project.path / "pyproject.toml").write_text(f'[tool.migrate]\nbackup_command = "{command}"\n')
    result = run_migrate("up", database=database)
    assert result.exit_code == 10
    assert "t0ken" not in shown(result)


@pytest.mark.parametrize("spelled", ["-c {url}", "-c={url}", "--config={url}", "--config {url}"])
def test_a_url_where_a_file_belongs(project, run_migrate, spelled):
    project.linear(1)
    url = """postgresql://app:p4ss wo'r"d@db/shop"""
    arguments = [part.format(url=url) for part in spelled.split(" ")]
    result = run_migrate("plan", *arguments)
    assert result.exit_code in {2, 10}, shown(result)
    assert "p4ss" not in shown(result)


def test_where_messages_go_is_not_told_to_programs_of_the_users(project, database, run_migrate, tmp_path):
    project.write_env(head="""print("notify:", os.environ.get("MIGRATE_NOTIFY"))""")
    project.linear(1)
    environment = {
        "MIGRATE_NOTIFY": "json://localhost/?token=abcdefghijkl",
        "MIGRATE_BACKUP_COMMAND": "sh -c 'echo backup: $MIGRATE_NOTIFY.'",
        "MIGRATE_BACKUP_POLICY": "required",
    }
    said = shown(run_migrate("up", database=database, env=environment))
    assert "notify: None" in said
    assert "abcdefghijkl" not in said

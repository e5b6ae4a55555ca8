"""Commands about the machine that xpcam runs on, not about pictures."""

import os
import sys
from typing import Annotated, Literal

import typer

from xpcam.errors import SettingsError
from xpcam.service import install as installing
from xpcam.service import journal
from xpcam.service import plan as planning
from xpcam.service.plan import Plan, Scope
from xpcam.settings import default_config

service = typer.Typer(help="Run xpcam in the background under systemd.", no_args_is_help=True)

For = Annotated[
    bool, typer.Option("--system/--user", help="for the machine, started when it boots; or for this user")
]
Name = Annotated[str, typer.Option(help="with --system: which camera; its settings are /etc/xpcam/NAME.toml")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="show every file and command, and do nothing")]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="mend what needs no root, then look again")] = False,
) -> None:
    """Say what is wrong with this machine and how to mend it; the exit code is 0 where xpcam can be used."""
    from rich.console import Console

    from xpcam.doctor import checks, finding, gathering, mending, report

    journal.begin("error")
    facts = gathering.gather()
    findings = checks.examine(facts)
    if fix and (done := mending.mend(findings, facts)):
        print("\n".join(done), file=sys.stderr)
        findings = checks.examine(gathering.gather())
    if as_json:
        print(report.as_json(findings))
    else:
        report.show(findings, Console())
    raise typer.Exit(finding.exit_code(findings))


@service.command("install")
def install(
    system: For = False,
    name: Name = "camera",
    dry_run: DryRun = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="where somebody else's file is in the way, keep it beside the new one"),
    ] = False,
) -> None:
    """Write the unit's files and start it, now and whenever the machine does."""
    plan = _plan(system, name)
    if not dry_run:
        _check_rights(plan.scope, "install", name, *(["--force"] if force else []))
    installing.install(plan, print, dry=dry_run, force=force)


@service.command("uninstall")
def uninstall(system: For = False, name: Name = "camera", dry_run: DryRun = False) -> None:
    """Stop the unit and remove the files that 'install' wrote; settings stay."""
    plan = _plan(system, name)
    if not dry_run:
        _check_rights(plan.scope, "uninstall", name)
    installing.uninstall(plan, print, dry=dry_run)


@service.command("status")
def status(system: For = False, name: Name = "camera") -> None:
    """Show whether the unit runs, what it says of itself, and the state of its files."""
    print(installing.status(_plan(system, name)))


def _plan(system: bool, name: str) -> Plan:
    program = planning.this_program()
    if system:
        return planning.system_plan(program, name)
    return planning.user_plan(program, default_config(), planning.units_of_user())


def _check_rights(scope: Scope, action: Literal["install", "uninstall"], name: str, *flags: str) -> None:
    """Raises SettingsError where the plan is another user's business."""
    root = os.geteuid() == 0
    if scope == "system" and not root:
        typed = planning.as_root(
            planning.this_program(), ("service", action, "--system", "--name", name, *flags)
        )
        raise SettingsError(f"--system changes the whole machine, which needs root: run {typed}")

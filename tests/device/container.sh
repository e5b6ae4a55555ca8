#!/usr/bin/env bash
# Runs check_service.py under systemd as the first process of a container, on a copy of this machine's files
# that is thrown away: what the service does about crashes, hangs and stops, at this machine's own speed. It
# has no driver and no device; those are there in the emulated machine (XPCAM_DEVICE_CHECKS=service run.sh).
#
#   sudo tests/device/container.sh        wants systemd-container; ends with 77 and the reason where it cannot
# XPCAM_PYTHON: the interpreter with the project's dependencies (default: .venv/bin/python).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
python=${XPCAM_PYTHON:-$project/.venv/bin/python}

skip() { echo "skipped: $1"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "root is wanted: sudo $0"
command -v systemd-nspawn >/dev/null || skip "no systemd-nspawn; run: sudo apt-get install systemd-container"
[ -x "$python" ] || skip "no Python at $python; run make test, or set XPCAM_PYTHON"

# In a mount name space of its own: nothing of this stays when it ends, but its output on the way.
export python project here
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
# shellcheck disable=SC2016 # expanded inside
unshare --mount --propagation private bash -euc '
    work=$(mktemp -d) && mount -t tmpfs work "$work" && mkdir "$work"/{upper,work,root,out}
    mount -t overlay root "$work/root" -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work"
    rm -rf "$work/root/etc/systemd/system"/*.wants
    touch "$work/out/said" && { tail -f "$work/out/said" & }
    printf "#!/bin/bash\nexec >/out/said 2>&1\nexport python=%q project=%q cache=\n/bin/bash %q\necho CONTAINER_RC=\$?\n" \
        "$python" "$project" "$here/service.sh" >"$work/out/run.sh"
    chmod 755 "$work/out/run.sh"
    systemd-nspawn --quiet --link-journal=no --directory="$work/root" --bind="$work/out:/out" \
        --register=no --keep-unit --private-network --console=pipe --boot \
        systemd.run=/out/run.sh systemd.run_success_action=exit systemd.run_failure_action=exit </dev/null >/dev/null
    sleep 1 && kill %1
    grep -q "^CONTAINER_RC=0$" "$work/out/said"
'

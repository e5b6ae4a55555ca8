#!/usr/bin/env bash
# Prepares a root that is thrown away for check_service.py: an installation of xpcam for all, and its service.
# In the emulated machine this runs before systemd does, so that the boot that follows starts the service and
# the checks; in a container (container.sh) under systemd, without driver and device.
#   $python, $project: interpreter with the dependencies, checkout; $cache: kernel and drivers, or ""
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8

# Out of the homes in which the checkout and its Python may be, for a service may not read those.
mkdir -p /opt/{python,packages,checkout,xpcam/bin} /etc/xpcam
mount --bind "$("$python" -c 'import sys; print(sys.base_prefix)')" /opt/python
mount --bind "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" /opt/packages
mount --bind "$project" /opt/checkout
interpreter=/opt/python/bin/$(basename "$(readlink -f "$python")")
cat >/opt/xpcam/bin/xpcam <<END
#!/usr/bin/env -S LD_LIBRARY_PATH=/opt/python/lib $interpreter
import os, sys
os.environ["PYTHONPATH"] = "/opt/checkout:/opt/packages"  # of a keeper
sys.path[:0] = ["/opt/checkout", "/opt/packages"]
sys.dont_write_bytecode = True
from xpcam.cli import main
main()
END
chmod 755 /opt/xpcam/bin/xpcam
cp "$("$python" -c 'import openpeople; print(openpeople.curated.get("P009").asset_path("studio_portrait"))')" \
    /opt/face.jpg && chmod 644 /opt/face.jpg
cat >/etc/xpcam/studio.toml <<END
target = "/opt/face.jpg"
camera = "demo"
output = "${cache:+v4l2}"
size = "160x120"
fps = 5
END
export LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/checkout:/opt/packages PYTHONDONTWRITEBYTECODE=1

as_user() { # the same for the unit of a user who has a session with PipeWire
    command -v wireplumber >/dev/null && command -v gst-launch-1.0 >/dev/null || { echo "  user: skipped, no PipeWire"; return; }
    useradd --create-home --shell /bin/bash --groups video streamer
    local home=/home/streamer user
    user=$(id -u streamer)
    mkdir -p "$home/.config/xpcam" "$home/.config/systemd/user/xpcam.service.d"
    # A container has no /proc/kmsg that could be hidden.
    printf '[Service]\nProtectKernelLogs=no\n' >"$home/.config/systemd/user/xpcam.service.d/container.conf"
    sed 's/^output = .*/output = "pipewire"/' /etc/xpcam/studio.toml >"$home/.config/xpcam/config.toml"
    chown -R streamer: "$home"
    systemctl start dbus.socket systemd-logind
    systemctl start "user@$user.service"
    here=(runuser -u streamer -- env "HOME=$home" "XDG_RUNTIME_DIR=/run/user/$user"
        "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$user/bus")
    cd "$home"
    "${here[@]}" systemctl --user start pipewire wireplumber
    "${here[@]}" /opt/xpcam/bin/xpcam service install || { journalctl --no-pager _UID="$user"; return 1; }
    "${here[@]}" "$interpreter" -u /opt/checkout/tests/device/check_service.py user || { journalctl --no-pager _UID="$user"; return 1; }
}

if [ -z "$cache" ]; then
    sed -i 's/^output = ""/output = "none"/' /etc/xpcam/studio.toml
    ln -s /bin/true /usr/local/sbin/modprobe && ln -s /bin/true /usr/local/sbin/udevadm
    /opt/xpcam/bin/xpcam service install --system --name studio || { journalctl --unit xpcam@studio; exit 1; }
    "$interpreter" -u /opt/checkout/tests/device/check_service.py container
    as_user
    exit
fi

# Nothing of what the host's own systemd would start.
rm -rf /etc/systemd/system/*.wants /etc/systemd/system/dbus-org.freedesktop.timesync1.service
rm -f /.dockerenv # where the host is a container itself, this machine is none
ln -sfn /dev/null /etc/systemd/system/serial-getty@.service # the checks speak on that line
kernel=$(uname -r)
mkdir -p "/lib/modules/$kernel" && mount --bind "$cache/root/lib/modules/$kernel" "/lib/modules/$kernel"
/opt/xpcam/bin/xpcam service install --system --name studio
rmmod v4l2loopback # the boot has to load it
# An emulated processor needs seconds for what takes milliseconds elsewhere.
mkdir -p /etc/systemd/system/xpcam@.service.d
printf '[Service]\nWatchdogSec=60\n' >/etc/systemd/system/xpcam@.service.d/slow.conf

cat >/etc/systemd/system/check.service <<END
[Unit]
Description=the checks
[Service]
Environment=LD_LIBRARY_PATH=$LD_LIBRARY_PATH PYTHONPATH=$PYTHONPATH PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
ExecStart=$interpreter -u /opt/checkout/tests/device/check_service.py device
ExecStopPost=/bin/sh -c 'echo "GUEST_RC=\$EXIT_STATUS"; sync; poweroff -f'
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
[Install]
WantedBy=multi-user.target
END
systemctl enable check.service
# The boot empties these, file by file: hidden, they take no time (the checkout and the rest are bound above).
mount -t tmpfs tmp /tmp
mount -t tmpfs tmp /var/tmp

#!/usr/bin/env bash
# Runs in the emulated machine before its systemd, in what will be its root: installs xpcam for the machine
# with its own command, so that the boot that follows starts it, and a unit that checks it.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
kernel=$(uname -r)

# Nothing of what the host's own systemd would start.
rm -rf /etc/systemd/system/*.wants /etc/systemd/system/dbus-org.freedesktop.timesync1.service
mkdir -p /lib/modules && ln -sfn "$cache/root/lib/modules/$kernel" "/lib/modules/$kernel"

# An installation for all, out of the homes in which the checkout and its Python may be.
base=$("$python" -c 'import sys; print(sys.base_prefix)')
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p /opt/{python,packages,checkout,xpcam/bin} /etc/xpcam /var/lib/xpcam-test
cat >/opt/xpcam/bin/xpcam <<END
#!/opt/python/bin/$(basename "$(readlink -f "$python")")
import sys
sys.path[:0] = ["/opt/checkout", "/opt/packages"]
sys.dont_write_bytecode = True
from xpcam.cli import main
main()
END
chmod 755 /opt/xpcam/bin/xpcam
mount --bind "$base" /opt/python
mount --bind "$packages" /opt/packages
mount --bind "$project" /opt/checkout
cp "$("$python" -c 'import openpeople; print(openpeople.curated.get("P009").asset_path("studio_portrait"))')" \
    /opt/face.jpg && chmod 644 /opt/face.jpg

cat >/etc/xpcam/studio.toml <<END
target = "/opt/face.jpg"
camera = "demo"
output = "v4l2"
size = "160x120"
fps = 5
END
/opt/xpcam/bin/xpcam service install --system --name studio
rmmod v4l2loopback # the boot has to load it
# An emulated processor needs seconds for what takes milliseconds elsewhere.
mkdir -p /etc/systemd/system/xpcam@.service.d
printf '[Service]\nWatchdogSec=60\n' >/etc/systemd/system/xpcam@.service.d/slow.conf

cat >/etc/systemd/system/check.service <<END
[Unit]
Description=the checks
[Service]
Environment=PYTHONPATH=/opt/checkout:/opt/packages PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
ExecStart=$(head -1 /opt/xpcam/bin/xpcam | cut -c3-) -u /opt/checkout/tests/device/check_service.py
ExecStopPost=/bin/sh -c 'echo "GUEST_RC=\$EXIT_STATUS"; sync; poweroff -f'
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
[Install]
WantedBy=multi-user.target
END
systemctl enable check.service

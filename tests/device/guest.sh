#!/usr/bin/env bash
# Runs in the emulated machine: loads the drivers, then the checks.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$project:$cache/pyvirtualcam LC_ALL=C.UTF-8
busybox ifconfig lo 127.0.0.1 up
modprobe -d "$cache/root" videobuf2-v4l2
modprobe -d "$cache/root" vivid n_devs=1 node_types=0x1 # the physical webcam: /dev/video0
insmod "$cache/driver-$version/v4l2loopback.ko" devices=2 video_nr=10,11 exclusive_caps=1,1 \
    'card_label="Xpression Cam,Spare"'
[ "$checks" != camera ] || exec "$python" "$project/tests/device/check_camera.py"
exec "$python" "$project/tests/device/checks.py" "$version" "$checks"

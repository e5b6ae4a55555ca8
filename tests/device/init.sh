#!/bin/busybox sh
# First process of the emulated machine: mounts the host's files read-only and runs $guest among them.
# The kernel hands over what its command line sets: guest, version, cache, project, python, checks.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/$module"; done </modules
mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,ro,msize=1048576 root /root || poweroff -f
if [ "$checks" = service ]; then # systemd is the first process, on a root that is written to and thrown away
    mkdir -p /new /over && mount -t tmpfs over /over && mkdir /over/upper /over/work
    mount -t overlay over /new -o lowerdir=/root,upperdir=/over/upper,workdir=/over/work || poweroff -f
    mount -t proc proc /new/proc
    mount -t sysfs sys /new/sys
    mount -t devtmpfs dev /new/dev
    mount -t tmpfs run /new/run
    chroot /new /bin/bash "$project/tests/device/service.sh" || poweroff -f
    exec switch_root /new /lib/systemd/systemd
fi
mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t devtmpfs dev /root/dev
mount -t tmpfs run /root/run
mkdir -p /root/dev/shm && mount -t tmpfs shm /root/dev/shm
chroot /root /bin/bash "$guest"
echo "GUEST_RC=$?"
poweroff -f

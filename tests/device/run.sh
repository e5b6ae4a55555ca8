#!/usr/bin/env bash
# Runs the V4L2 writer, and the daemon with it, against the real v4l2loopback driver, in emulated machines (QEMU),
# so that neither this machine's kernel nor its devices are touched: kernel and drivers are fetched and unpacked,
# not installed. One machine for each version of the driver, side by side; when one fails, the others are ended.
# Where no version and no check is named and all pass, their table is written into docs/virtual-camera.md.
#
#   make test-device                      which is
#   tests/device/run.sh [VERSION...]      versions of v4l2loopback, 0.12.7 and 0.15.0 where none is named; 0.13.2
#
# Wants Debian 12 (its 6.1 kernel) and the packages named below, which root gets installed and others are
# told of; ends with 77 and the reason where it cannot run.
# XPCAM_PYTHON: the interpreter with the project's dependencies (default: .venv/bin/python).
# XPCAM_DEVICE_CHECKS: names of the checks to run, with commas between (default: all of checks.py);
#   "camera" runs check_camera.py, the webcams, instead; "service" boots systemd and runs check_service.py.
# XPCAM_DEVICE_CACHE: keeps the unpacked kernel and drivers (150 MB of packages, made once).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
python=${XPCAM_PYTHON:-$project/.venv/bin/python}
cache=${XPCAM_DEVICE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/xpcam-device}
packages="qemu-system-x86 busybox-static cpio kmod make gcc v4l-utils ffmpeg chromium"
checks=${XPCAM_DEVICE_CHECKS:-all}
# shellcheck source=machines.sh
. "$here/machines.sh"

# Debian 12, its backports, Debian 13.
declare -A package=([0.12.7]=0.12.7-2 [0.13.2]=0.13.2-1~bpo12+1 [0.15.0]=0.15.0-2)
declare -A sha256=(
    [0.12.7]=7f2bdae29e28efab6e6f1f8b187266fa3c740d3becab11e1d686b45bfcb22aa9
    [0.13.2]=fea08332aefeae5b11f1fd772b343f01a7a4909766d840f97d2cee9e8f952aab
    [0.15.0]=d9b768037e28852070d31af3376d90c8b448f9807de29d664587082bb7784cd4
)

skip() { echo "skipped: $1"; exit 77; }

missing() {
    local tool found=
    for tool in qemu-system-x86_64 busybox cpio modprobe make gcc v4l2-ctl ffmpeg chromium; do
        PATH=$PATH:/sbin:/usr/sbin command -v "$tool" >/dev/null || found+="$tool "
    done
    echo "${found% }"
}

install_packages() {
    [ "$(id -u)" -eq 0 ] || return 0
    echo "installing $packages ..."
    # shellcheck disable=SC2086 # one word for each package
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages; } \
        >/dev/null || skip "apt-get could not install $packages"
}

require() {
    grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release || skip "Debian 12 is wanted, for its 6.1 kernel"
    [ -z "$(missing)" ] || install_packages
    [ -z "$(missing)" ] || skip "missing: $(missing); run: sudo apt-get install --no-install-recommends $packages"
    [ -x "$python" ] || skip "no Python at $python; run make test, or set XPCAM_PYTHON"
}

fetch_kernel() {
    local name=$cache/kernel.name
    [ -f "$name" ] && return
    kernel=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: linux-image-\(.*-amd64\)$/\1/p' | head -1)
    [ -n "$kernel" ] || skip "apt knows no linux-image-amd64; run: sudo apt-get update"
    rm -rf "$cache/root" && mkdir -p "$cache/packages" "$cache/root"
    (cd "$cache/packages" && rm -f -- *.deb && apt-get download "linux-image-$kernel" "linux-headers-$kernel" \
        "linux-headers-${kernel%-amd64}-common" linux-kbuild-6.1) || skip "the kernel's packages cannot be fetched"
    local deb
    for deb in "$cache"/packages/*.deb; do dpkg-deb -x "$deb" "$cache/root"; done
    sed -i "s#include /usr/src/#include $cache/root/usr/src/#" "$cache/root/usr/src/linux-headers-$kernel/Makefile"
    depmod -b "$cache/root" "$kernel"
    echo "$kernel" >"$name"
}

make_initrd() {
    local tree=$cache/initrd module
    rm -rf "$tree" && mkdir -p "$tree"/{bin,proc,sys,dev,root}
    cp "$(command -v busybox)" "$tree/bin/busybox"
    install -m 755 "$here/init.sh" "$tree/init"
    modprobe -S "$kernel" -d "$cache/root" --show-depends virtio_pci >"$cache/modules"
    modprobe -S "$kernel" -d "$cache/root" --show-depends 9pnet_virtio >>"$cache/modules"
    modprobe -S "$kernel" -d "$cache/root" --show-depends 9p >>"$cache/modules"
    modprobe -S "$kernel" -d "$cache/root" --show-depends overlay >>"$cache/modules"
    sed -n 's/^insmod //p' "$cache/modules" | awk '!seen[$1]++ {print $1}' | while read -r module; do
        cp "$module" "$tree/" && basename "$module" >>"$tree/modules"
    done
    (cd "$tree" && find . | cpio --quiet -o -H newc | gzip) >"$cache/initrd.gz"
}

build_driver() {
    local version=$1 source=$cache/driver-$1
    [ -f "$source/v4l2loopback.ko" ] && return
    local here_url url
    here_url=$(apt-get download --print-uris v4l2loopback-dkms | sed "s/^'\([^']*\)'.*/\1/")
    url=${here_url%/*}/v4l2loopback-dkms_${package[$version]}_all.deb
    rm -rf "$source" && mkdir -p "$source/unpacked"
    /usr/lib/apt/apt-helper -qq download-file "$url" "$source/driver.deb" "SHA256:${sha256[$version]}" \
        || skip "v4l2loopback $version cannot be fetched"
    dpkg-deb -x "$source/driver.deb" "$source/unpacked"
    cp "$source"/unpacked/usr/src/v4l2loopback-*/* "$source/" 2>/dev/null || true  # its folders are not needed
    make -s -C "$cache/root/usr/src/linux-headers-$kernel" M="$source" modules >"$source/build.log" 2>&1 \
        || { cat "$source/build.log"; exit 1; }
}

install_driver() { # where modprobe of the emulated machine finds it
    install -D -m 644 "$cache/driver-$1/v4l2loopback.ko" "$cache/root/lib/modules/$kernel/updates/v4l2loopback.ko"
    depmod -b "$cache/root" "$kernel"
}

copy_checkout() { # compiled, which an emulated processor takes long for; and edits meanwhile do no harm
    rm -rf "$cache/checkout" && mkdir "$cache/checkout"
    (cd "$project" && cp -a xpcam engines systemd tests pyproject.toml "$cache/checkout/")
    "$python" -m compileall -q "$cache/checkout/xpcam" "$cache/checkout/tests"
}

fetch_pyvirtualcam() { # beside the environment: the project does not depend on it
    local folder=$cache/pyvirtualcam
    rm -rf "$folder"
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder" "pyvirtualcam>=0.14" \
        || echo "pyvirtualcam cannot be fetched: its check will be skipped"
}

require
PATH=$PATH:/sbin:/usr/sbin
mkdir -p "$cache"
exec 9>"$cache/lock"
flock -n 9 || { echo "another run uses $cache: wait for its end, or set XPCAM_DEVICE_CACHE"; exit 1; }
fetch_kernel
kernel=$(cat "$cache/kernel.name")
make_initrd
copy_checkout
fetch_pyvirtualcam
page=()
if [ $# -eq 0 ]; then
    set -- 0.15.0
    if [ "$checks" = all ]; then set -- 0.12.7 0.15.0; page=(--docs "$project/docs/virtual-camera.md"); fi
fi
for version in "$@"; do
    [ -n "${package[$version]:-}" ] || { echo "unknown version $version: known are ${!package[*]}"; exit 2; }
    build_driver "$version"
done
if [ "$checks" = service ]; then
    [ $# -eq 1 ] || { echo "the service is checked with one version of the driver, found $*: name one"; exit 2; }
    install_driver "$1"
fi
echo "made ready in $SECONDS s"
run_machines "$@" || { "$python" "$here/table.py" "$cache" "$@"; exit 1; }
"$python" "$here/table.py" "$cache" "$@" --seconds "$SECONDS" "${page[@]}"
echo "passed with v4l2loopback $*, in $SECONDS s"

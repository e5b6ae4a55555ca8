# Emulated machines side by side, one for each version of the driver; run.sh sources this.
# shellcheck shell=bash disable=SC2154
#   $cache, $kernel, $python, $checks: as run.sh has them

declare -A machines=() # process to version

# This process becomes the machine of version $1, which ends when its parent does, however that ends.
#
# KVM is not asked for: this has to run where there is none. Nehalem is what NumPy needs (x86-64-v2) and no more: with
# "max" QEMU 7.2 reads past the end of an array in AVX's masked loads, and programs crash by chance (np.exp of an array
# that ends where its page does). no_timer_check: on a busy host the kernel takes the late ticks of the emulated timer
# for a fault of the board, and stops.
boot() {
    exec setpriv --pdeathsig TERM timeout --foreground 1500 setpriv --pdeathsig KILL \
        qemu-system-x86_64 -accel tcg,thread=multi -cpu Nehalem -smp 2 -machine q35 -m 4096 \
        -display none -nodefaults -serial stdio -no-reboot \
        -kernel "$cache/root/boot/vmlinuz-$kernel" -initrd "$cache/initrd.gz" \
        -append "console=ttyS0 panic=-1 quiet mitigations=off nokaslr no_timer_check systemd.show_status=no \
guest=$cache/checkout/tests/device/guest.sh version=$1 cache=$cache project=$cache/checkout python=$python \
checks=$checks" \
        -fsdev "local,id=r,path=/,security_model=none,readonly=on,multidevs=remap" \
        -device virtio-9p-pci,fsdev=r,mount_tag=root </dev/null >"$cache/guest-$1.log" 2>&1
}

end_machines() {
    local version
    [ ${#machines[@]} -eq 0 ] || kill "${!machines[@]}" 2>/dev/null || true
    wait
    for version in "${machines[@]}"; do echo "ENDED" >>"$cache/guest-$version.log"; done
    machines=()
}

# A machine for each version; prints what they say. When one fails, that is said, and the others are ended.
run_machines() {
    local version machine
    trap end_machines EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    for version in "$@"; do
        : >"$cache/guest-$version.log"
        boot "$version" &
        machines[$!]=$version
        tail -q -n +1 -f --pid $! "$cache/guest-$version.log" | sed -u "s,\r,,g;s,^,$version | ," &
    done
    while [ ${#machines[@]} -gt 0 ]; do
        sleep 0.5 # wait -n forgets who ended before it was called
        for machine in "${!machines[@]}"; do
            ! kill -0 "$machine" 2>/dev/null || continue
            version=${machines[$machine]}
            unset "machines[$machine]"
            grep -q '^GUEST_RC=0' "$cache/guest-$version.log" && continue # its own exit status says nothing
            end_machines
            echo "FAILED with v4l2loopback $version"
            return 1
        done
    done
    wait # for what they said last
}

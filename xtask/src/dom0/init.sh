#!/bin/sh
# The first program on dom0's disk: mounts what the toolstack needs, greets, and gives a shell on the console.
# Words on the kernel's command line: `xenite.typed` makes it a shell without prompt and echo, for a program that types.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=vt100 PS1='dom0 \w # '
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mount -t xenfs xenfs /proc/xen
mkdir -p /dev/pts
mount -t devpts pts /dev/pts
# The kernel makes no such links; the hotplug scripts look at /dev/stdin.
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
mkdir -p /run/lock /run/xen /run/xenstored
exec </dev/console >/dev/console 2>&1
hostname dom0
ip link set lo up
memory=$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)
# What this domain may do, as the kernel was told by the hypervisor.
echo "XENITE-DOM0-READY kernel=$(uname -r) cpus=$(nproc) memory_kib=$memory xen=$(cat /proc/xen/capabilities)"
shell=sh
for word in $(cat /proc/cmdline); do
    case "$word" in
    xenite.typed) shell=typed ;;
    esac
done
while :; do
    setsid cttyhack "$shell"
    sleep 1
done

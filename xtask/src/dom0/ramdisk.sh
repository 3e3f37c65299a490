#!/bin/busybox sh
# What runs first in dom0: loads the kernel's modules, finds the disk by its label and goes on there.
# Words on the kernel's command line: `root=LABEL=NAME` chooses the disk.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
while read -r module; do
    insmod "/modules/$module.ko" || echo "XENITE-FAIL module $module"
done </modules/order
for word in $(cat /proc/cmdline); do
    case "$word" in
    root=*) root=${word#root=} ;;
    esac
done
# Disks appear a moment after their driver.
tries=0
while ! device=$(findfs "$root" 2>/dev/null) && [ "$tries" -lt 200 ]; do
    tries=$((tries + 1))
    usleep 50000
done
mount "$device" /disk || echo "XENITE-FAIL no disk $root"
mount --move /dev /disk/dev
umount /proc /sys
exec switch_root /disk /init

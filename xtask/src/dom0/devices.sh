#!/bin/sh
# What a guest does with the devices of the host that it drives: each that is there says what came of it.
# A clock tells the time and rings; a disk is mounted, written and read; a second UART answers a line with a line.
interrupts() { awk -v name="$1" '$0 ~ name { n += $2 } END { print n + 0 }' /proc/interrupts; }
clock() {
    rtc=/sys/class/rtc/rtc0
    echo +2 >"$rtc/wakealarm"
    sleep 4
    echo "XENITE-CLOCK name=$(cut -d' ' -f1 "$rtc/name") time=$(cat "$rtc/since_epoch") rings=$(interrupts rtc-pl031)"
}
disk() {
    mount -t ext4 /dev/vda /mnt || { echo "XENITE-FAIL the disk cannot be mounted"; return; }
    wrote=$(dd if=/dev/urandom bs=1M count=8 2>/dev/null | tee /mnt/data | crc32)
    umount /mnt
    mount -t ext4 /dev/vda /mnt
    echo "XENITE-DISK file=$(cat /mnt/file) wrote=$wrote read=$(crc32 </mnt/data)"
    umount /mnt
}
line() {
    stty -F /dev/ttyAMA1 raw -echo
    exec 3<>/dev/ttyAMA1
    echo "XENITE-LINE" >&3
    read -r heard <&3
    echo "XENITE-HEARD $heard" >&3
    echo "XENITE-UART heard=$heard"
    # It stays open.
    sleep 100000 <&3 &
}
[ -e /sys/class/rtc/rtc0 ] && clock
[ -b /dev/vda ] && disk
[ -e /sys/class/tty/ttyAMA1/device/driver ] && line
echo XENITE-DEVICES-DONE

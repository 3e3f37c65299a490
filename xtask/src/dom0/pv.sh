#!/bin/sh
# What a guest does with its PV devices; dom0 attaches them at some time while this waits.
# `xenite.disk`: writes 64 MiB to the first PV disk and reads them back when none of it is left in memory.
# `xenite.net=ADDRESS`: takes the address, pings dom0 at 10.0.0.1, fetches http://10.0.0.1/data from it and sends 16 MiB
# to its port 5000 + the last number of the address.
# Checksums are CRCs: others cost more time than what they check.
# So many MiB of which no two sectors are alike, in a fraction of the time that as many random bytes would take.
bytes() {
    dd if=/dev/urandom of=/tmp/random bs=1048000 count=1 2>/dev/null
    block=0
    while [ "$block" -lt "$1" ]; do
        block=$((block + 1))
        # 576 bytes, which shift the rest by more than a sector.
        printf '%576s' "$block"
        cat /tmp/random
    done
}
size() { ls -l "$1" | awk '{ print $5 }'; }
disk() {
    until [ -b /dev/xvda ]; do usleep 100000; done
    mount /dev/xvda /mnt || { echo "XENITE-FAIL the PV disk cannot be mounted"; return; }
    wrote=$(bytes 64 | tee /mnt/data | crc32)
    umount /mnt
    mount /dev/xvda /mnt
    read=$(crc32 </mnt/data)
    echo "XENITE-DISK bytes=$(size /mnt/data) wrote=$wrote read=$read"
    umount /mnt
}
net() {
    until [ -e /sys/class/net/eth0 ]; do usleep 100000; done
    ifconfig eth0 "$1" netmask 255.255.255.0 up
    # The bridge takes a moment to know a new port.
    until ping -c 1 -W 1 10.0.0.1 >/dev/null; do :; done
    answers=$(ping -c 5 -W 5 10.0.0.1 | awk '/received/ { print $4 }')
    got=$(wget -q -O - http://10.0.0.1/data | crc32)
    bytes 16 >/tmp/data
    sent=$(crc32 </tmp/data)
    nc 10.0.0.1 "$((5000 + ${1##*.}))" </tmp/data
    echo "XENITE-NET answers=$answers got=$got sent=$sent bytes=$(size /tmp/data)"
}
case "$1" in
xenite.disk) disk ;;
xenite.net=*) net "${1#xenite.net=}" ;;
esac

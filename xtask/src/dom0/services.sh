#!/bin/sh
# Starts Debian's own services of Xen in dom0, in their order, and says how each of them went.
mkdir -p /var/lib/xen /var/log/xen
say() { echo "XENITE-SERVICE $1 result=$2"; }
xenstored --pid-file /run/xenstored.pid
say xenstored $?
tries=0
while ! xenstore-exists / 2>/dev/null && [ "$tries" -lt 100 ]; do
    tries=$((tries + 1))
    usleep 50000
done
/usr/lib/xen-4.17/bin/xen-init-dom0
say xen-init-dom0 $?
xenconsoled --pid-file /run/xenconsoled.pid
say xenconsoled $?
/usr/lib/xen-4.17/bin/init-dom0less
say init-dom0less $?

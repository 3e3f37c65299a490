#!/bin/sh
# A shell for a program that types: nothing comes back but what the commands say. There is no prompt and no echo, and
# the kernel keeps its messages for `dmesg`. A console's buffers are small: a long command comes as lines of which each
# but the last ends in a backslash, and the next is not typed before this one has been acknowledged.
dmesg -n 1
stty -echo
echo "XENITE-TYPE"
whole=
while IFS= read -r line; do
    case "$line" in
    *\\)
        whole="$whole${line%\\}"
        echo "XENITE-MORE"
        ;;
    *)
        eval "$whole$line"
        whole=
        ;;
    esac
done

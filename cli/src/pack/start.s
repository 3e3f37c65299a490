// The first instructions of a raw image: go to the hypervisor with the system's tree, from wherever this was loaded.
//
// Entered as an arm64 Image is: at EL2, MMU and data cache off. The parts of the image refer to each other by address, so
// where it does not lie at `base`, because it runs from flash or a loader chose another place, it is moved there first.
// start.rs has the assembled words; a test compares.

    .arch armv8-a
    // Words 0 to 15 are the header of an arm64 Image; start.rs knows where its fields and ours are.
_head:
    b       start
    .word   0
    .quad   0                   // text_offset
    .quad   0                   // image_size
    .quad   0b1010              // little-endian, 4 KiB pages, anywhere
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0
base:   .quad 0                 // where the image must lie
size:   .quad 0                 // its bytes, a multiple of 64
tree:   .quad 0
entry:  .quad 0
start:
    adr     x5, _head
    ldr     x6, base
    ldr     x7, size
    cmp     x5, x6
    b.eq    go
    // Where source and destination overlap, the mover first moves itself behind both.
    subs    x8, x5, x6
    cneg    x8, x8, lo
    cmp     x8, x7
    b.hs    move
    cmp     x5, x6
    csel    x9, x5, x6, hi
    add     x9, x9, x7
    adr     x10, base
    adr     x11, end
    sub     x12, x9, x10
    adr     x13, move
    add     x13, x13, x12
1:  ldr     x14, [x10], #8
    str     x14, [x9], #8
    cmp     x10, x11
    b.lo    1b
    dsb     sy
    ic      iallu
    dsb     sy
    isb
    br      x13
move:
    // Nothing dirty of the destination may stay in a cache, else it would be written over what comes.
    mrs     x8, ctr_el0
    ubfx    x8, x8, #16, #4
    mov     x9, #4
    lsl     x9, x9, x8
    add     x11, x6, x7
    mov     x10, x6
2:  dc      civac, x10
    add     x10, x10, x9
    cmp     x10, x11
    b.lo    2b
    dsb     sy
    cmp     x5, x6
    b.lo    4f
    mov     x10, x6
3:  ldp     x0, x1, [x5], #16
    stp     x0, x1, [x10], #16
    cmp     x10, x11
    b.lo    3b
    b       6f
4:  add     x5, x5, x7
    mov     x10, x11
5:  ldp     x0, x1, [x5, #-16]!
    stp     x0, x1, [x10, #-16]!
    cmp     x10, x6
    b.hi    5b
6:  // What was fetched into a cache meanwhile is stale.
    dsb     sy
    mov     x10, x6
7:  dc      civac, x10
    add     x10, x10, x9
    cmp     x10, x11
    b.lo    7b
    dsb     sy
    ic      iallu
    dsb     sy
    isb
go:
    ldr     x0, tree
    ldr     x4, entry
    mov     x1, xzr
    mov     x2, xzr
    mov     x3, xzr
    br      x4
    .balign 8
end:

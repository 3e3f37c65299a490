// memcpy and memset, which the compiler calls for copies of our own objects. Those of Rust's library go byte by byte
// wherever addresses are not aligned to each other, and take several hundred instructions for the structures of a
// hypercall. No vector registers: they are the guests'. Memory is normal, and alignment is not checked, whenever
// Rust runs.

.section .text.bytes, "ax"
// x0 = destination, x1 = source, x2 = bytes; the two do not overlap; x0 stays
.balign 64
.global memcpy
memcpy:
    mov     x3, x0
    subs    x2, x2, #64
    b.lo    2f
1:  ldp     x4, x5, [x1]
    ldp     x6, x7, [x1, #16]
    ldp     x8, x9, [x1, #32]
    ldp     x10, x11, [x1, #48]
    add     x1, x1, #64
    stp     x4, x5, [x3]
    stp     x6, x7, [x3, #16]
    stp     x8, x9, [x3, #32]
    stp     x10, x11, [x3, #48]
    add     x3, x3, #64
    subs    x2, x2, #64
    b.hs    1b
2:  ands    x2, x2, #63
    b.eq    8f
    tbz     x2, #5, 3f
    ldp     x4, x5, [x1], #16
    ldp     x6, x7, [x1], #16
    stp     x4, x5, [x3], #16
    stp     x6, x7, [x3], #16
3:  tbz     x2, #4, 4f
    ldp     x4, x5, [x1], #16
    stp     x4, x5, [x3], #16
4:  tbz     x2, #3, 5f
    ldr     x4, [x1], #8
    str     x4, [x3], #8
5:  tbz     x2, #2, 6f
    ldr     w4, [x1], #4
    str     w4, [x3], #4
6:  tbz     x2, #1, 7f
    ldrh    w4, [x1], #2
    strh    w4, [x3], #2
7:  tbz     x2, #0, 8f
    ldrb    w4, [x1]
    strb    w4, [x3]
8:  ret

// x0 = destination, w1 = byte, x2 = bytes; x0 stays
.balign 64
.global memset
memset:
    mov     x3, x0
    and     x4, x1, #0xff
    mov     x5, #0x0101010101010101
    mul     x4, x4, x5
    subs    x2, x2, #64
    b.lo    2f
1:  stp     x4, x4, [x3]
    stp     x4, x4, [x3, #16]
    stp     x4, x4, [x3, #32]
    stp     x4, x4, [x3, #48]
    add     x3, x3, #64
    subs    x2, x2, #64
    b.hs    1b
2:  ands    x2, x2, #63
    b.eq    8f
    tbz     x2, #5, 3f
    stp     x4, x4, [x3], #16
    stp     x4, x4, [x3], #16
3:  tbz     x2, #4, 4f
    stp     x4, x4, [x3], #16
4:  tbz     x2, #3, 5f
    str     x4, [x3], #8
5:  tbz     x2, #2, 6f
    str     w4, [x3], #4
6:  tbz     x2, #1, 7f
    strh    w4, [x3], #2
7:  tbz     x2, #0, 8f
    strb    w4, [x3]
8:  ret

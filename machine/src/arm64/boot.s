// From the first instruction to Rust.
//
// The boot processor arrives with the MMU and data cache off, interrupts masked, x0 = device tree
// (Linux' arm64 boot protocol). Everything up to the jump to the linked address is position
// independent. Three translation tables map the image by its sections (so that no page is ever both
// writable and executable); a second root has, beside them, an identity block for the one moment in
// which the MMU is switched on. Secondary processors take the same road with the tables ready.
//
// Entered at another exception level, the same tables serve that level's MMU, so that Rust runs there,
// finds the console in the device tree and says what is wrong.

.set TABLE,     0x3
.set BLOCK_ID,  0x7c1              // block: as PAGE_RX
.set PAGE_RX,   0x00000000000007c3 // page: AF, SH inner, AP = 11 (read only), attribute 0, executable
.set PAGE_R,    0x00400000000007c3 // the same, execute never (bit 54)
.set PAGE_RW,   0x0040000000000743 // AP = 01 (read, write), execute never
// attribute 0: normal write-back; 1: device nGnRnE; 2: normal non-cacheable; 3: device nGnRE
.set MAIR,      0x044400ff

.section .head, "ax"
.global _start
_start:
    b       boot
    .long   0
    .quad   0                      // text_offset
    .quad   __image_size
    .quad   0xa                    // little endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

.section .text.entry, "ax"
boot:
    msr     daifset, #0xf
    mov     x20, x0                // device tree
    adrp    x21, __image_start     // where we really are
    bl      caches_sweep
    adrp    x0, __bss_start
    adrp    x1, __bss_end
    bl      invalidate
    adrp    x0, __bss_start
    sub     x2, x1, x0
    mov     w1, wzr
    bl      memset

    // image pages, section by section
    adrp    x2, image_l3
    mov     x4, x21
    ldr     x6, =PAGE_RX
    adrp    x5, __text_end
    bl      map_pages
    ldr     x6, =PAGE_R
    adrp    x5, __rodata_end
    bl      map_pages
    ldr     x6, =PAGE_RW
    adrp    x5, __image_end
    bl      map_pages
    // root[255] -> l1, l1[0] -> l2, l2[0] -> l3
    adrp    x3, image_l2
    adrp    x0, image_l3
    orr     x0, x0, #TABLE
    str     x0, [x3]
    adrp    x1, image_l1
    orr     x3, x3, #TABLE
    str     x3, [x1]
    orr     x1, x1, #TABLE
    adrp    x0, root
    str     x1, [x0, #255 * 8]
    adrp    x0, identity_root
    str     x1, [x0, #255 * 8]
    // identity: one 1 GiB block that holds the page of `enable`
    adrp    x2, identity_l1
    lsr     x3, x21, #30
    and     x4, x3, #0x1ff
    lsl     x5, x3, #30
    mov     x6, #BLOCK_ID
    orr     x5, x5, x6
    str     x5, [x2, x4, lsl #3]
    orr     x2, x2, #TABLE
    ubfx    x3, x21, #39, #9
    str     x2, [x0, x3, lsl #3]
    dsb     sy

    adrp    x22, boot_stack_top
    ldr     x23, =boot_on_high
    b       enable

// Secondary entry (PSCI CPU_ON): x0 = physical address of { stack top, index }.
.global secondary_start
secondary_start:
    msr     daifset, #0xf
    ldp     x22, x20, [x0]         // stack top, processor index
    ldr     x23, =secondary_on_high
    b       enable

// Switches the MMU on with `identity_root`, and jumps to x23.
enable:
    mrs     x0, CurrentEL
    cmp     x0, #0x8
    b.eq    2f
    cmp     x0, #0x4
    b.eq    1f
    // EL3
    ldr     x1, =MAIR
    msr     mair_el3, x1
    bl      translation_control
    orr     x1, x1, #(1 << 23)
    orr     x1, x1, #(1 << 31)
    msr     tcr_el3, x1
    adrp    x1, identity_root
    msr     ttbr0_el3, x1
    tlbi    alle3
    dsb     sy
    isb
    bl      control
    msr     sctlr_el3, x1
    isb
    br      x23
1:  ldr     x1, =MAIR
    msr     mair_el1, x1
    bl      translation_control
    lsr     x2, x1, #16
    and     x2, x2, #7
    bic     x1, x1, #(7 << 16)
    orr     x1, x1, x2, lsl #32
    orr     x1, x1, #(1 << 23)     // no walks by TTBR1
    msr     tcr_el1, x1
    adrp    x1, identity_root
    msr     ttbr0_el1, x1
    tlbi    vmalle1
    dsb     sy
    isb
    bl      control
    msr     sctlr_el1, x1
    isb
    br      x23
2:  mov     x1, #0x80000000        // HCR_EL2: AArch64 below; E2H clear before its registers are used
    msr     hcr_el2, x1
    isb
    ldr     x1, =MAIR
    msr     mair_el2, x1
    bl      translation_control
    orr     x1, x1, #(1 << 23)
    orr     x1, x1, #(1 << 31)
    msr     tcr_el2, x1
    adrp    x1, identity_root
    msr     ttbr0_el2, x1
    tlbi    alle2
    dsb     sy
    isb
    bl      control
    msr     sctlr_el2, x1
    isb
    br      x23

// x1 = TCR: 48-bit addresses, 4 KiB granule, write-back inner shareable walks, PS from PARange.
translation_control:
    mrs     x2, id_aa64mmfr0_el1
    and     x2, x2, #0xf
    mov     x3, #5
    cmp     x2, x3
    csel    x2, x2, x3, lo
    mov     x1, #0x3510
    orr     x1, x1, x2, lsl #16
    ret

// x1 = SCTLR: MMU, caches, stack alignment, write implies never execute; plus the bits that are one.
control:
    ldr     x1, =0x30cd183d
    ret

// Maps pages from x4 up to x5 with attributes x6 at table slot x2.
map_pages:
1:  orr     x7, x4, x6
    str     x7, [x2], #8
    add     x4, x4, #4096
    cmp     x4, x5
    b.lo    1b
    ret

// Invalidates [x0, x1) to the point of coherency, so that no stale line hides what is written uncached.
invalidate:
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4
    mov     x3, #4
    lsl     x3, x3, x2
1:  dc      ivac, x0
    add     x0, x0, x3
    cmp     x0, x1
    b.lo    1b
    dsb     sy
    ret

// Cleans and invalidates this processor's caches by set and way, up to the level of coherency: what
// firmware left must not come back over the guests' memory, which is written uncached.
caches_sweep:
    mrs     x0, clidr_el1
    ubfx    x1, x0, #24, #3        // level of coherency
    mov     x2, #0                 // level * 2
1:  lsr     x3, x2, #1
    cmp     x3, x1
    b.hs    5f
    add     x4, x3, x3, lsl #1
    lsr     x4, x0, x4
    and     x4, x4, #7
    cmp     x4, #2                 // 2 and more: there is a data cache
    b.lo    4f
    msr     csselr_el1, x2
    isb
    mrs     x5, ccsidr_el1
    and     x6, x5, #7
    add     x6, x6, #4             // log2 of the line
    mrs     x12, id_aa64mmfr2_el1
    ubfx    x12, x12, #20, #4
    cbnz    x12, 6f
    ubfx    x7, x5, #3, #10        // ways - 1
    ubfx    x8, x5, #13, #15       // sets - 1
    b       7f
6:  ubfx    x7, x5, #3, #21
    ubfx    x8, x5, #32, #24
7:  clz     w9, w7
    cbnz    w7, 8f
    mov     w9, #31                // a direct-mapped cache has no way field
8:  mov     x10, x7
2:  lsl     x11, x10, x9
    orr     x11, x11, x2
    mov     x13, #1
    lsl     x13, x13, x6           // step of one set
    mov     x14, x8
    lsl     x15, x14, x6
    orr     x11, x11, x15
3:  dc      cisw, x11
    sub     x11, x11, x13
    subs    x14, x14, #1
    b.pl    3b
    subs    x10, x10, #1
    b.pl    2b
4:  add     x2, x2, #2
    b       1b
5:  msr     csselr_el1, xzr
    dsb     sy
    isb
    ret

boot_on_high:
    ldr     x0, =boot_stack_top
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr
    bl      leave_identity
    mov     x0, x20
    mov     x1, x21
    bl      boot_processor
1:  wfe
    b       1b

secondary_on_high:
    mov     sp, x22
    mov     x29, xzr
    mov     x30, xzr
    bl      leave_identity
    mov     x0, x20
    bl      secondary_processor
1:  wfe
    b       1b

// Drops the identity map, sets the vectors.
leave_identity:
    adrp    x0, root
    // `root` by its physical address: translate our own address
    mrs     x2, CurrentEL
    cmp     x2, #0x8
    b.ne    2f
    at      s1e2r, x0
    isb
    mrs     x1, par_el1
    ldr     x3, =0x0000fffffffff000
    and     x1, x1, x3
    msr     ttbr0_el2, x1
    ldr     x1, =vectors
    msr     vbar_el2, x1
    isb
    tlbi    alle2
    dsb     sy
    isb
2:  ret
.ltorg

.section .bss.boot, "aw", %nobits
.balign 4096
.global root
root:           .space 4096
identity_root:  .space 4096
identity_l1:    .space 4096
.global image_l1
image_l1:       .space 4096
.global image_l2
image_l2:       .space 4096
.global image_l3
image_l3:       .space 4096
.global boot_stack_guard
boot_stack_guard: .space 4096
.global boot_stack
boot_stack:     .space 32768
.global boot_stack_top
boot_stack_top:
.global emergency_stack_guard
emergency_stack_guard: .space 4096
emergency_stack: .space 8192
.global emergency_stack_top
emergency_stack_top:
.balign 4096

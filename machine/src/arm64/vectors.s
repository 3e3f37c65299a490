// Into the guest and back out: `enter_guest` is a function call whose return is the guest's next trap.
//
// x0 = `Registers` (model/src/arm64/registers.rs): x0..x30 at 0, pc at 248, pstate at 256. Its address waits on the
// stack while the guest runs, with x19, x29 and x30; no other register is as it was after the call. The answer in w0:
// 0 a synchronous exception, 1 an interrupt, 2 a system error. Exceptions of the hypervisor itself are faults: they go
// to one emergency stack, because the ordinary one may be the cause.

.section .text.vectors, "ax"
.balign 64
.global enter_guest
enter_guest:
    stp     x29, x30, [sp, #-48]!
    stp     x19, x0, [sp, #16]
    ldp     x1, x2, [x0, #248]
    msr     elr_el2, x1
    msr     spsr_el2, x2
    ldp     x2, x3, [x0, #16]
    ldp     x4, x5, [x0, #32]
    ldp     x6, x7, [x0, #48]
    ldp     x8, x9, [x0, #64]
    ldp     x10, x11, [x0, #80]
    ldp     x12, x13, [x0, #96]
    ldp     x14, x15, [x0, #112]
    ldp     x16, x17, [x0, #128]
    ldp     x18, x19, [x0, #144]
    ldp     x20, x21, [x0, #160]
    ldp     x22, x23, [x0, #176]
    ldp     x24, x25, [x0, #192]
    ldp     x26, x27, [x0, #208]
    ldp     x28, x29, [x0, #224]
    ldr     x30, [x0, #240]
    ldp     x0, x1, [x0]
    eret
    // nothing is to be speculated past an exception return
    dsb     nsh
    isb

// All of it has room in a vector: 32 instructions.
.macro leave_guest cause
    stp     x0, x1, [sp, #32]
    ldr     x0, [sp, #24]
    stp     x2, x3, [x0, #16]
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    stp     x10, x11, [x0, #80]
    stp     x12, x13, [x0, #96]
    stp     x14, x15, [x0, #112]
    stp     x16, x17, [x0, #128]
    stp     x18, x19, [x0, #144]
    stp     x20, x21, [x0, #160]
    stp     x22, x23, [x0, #176]
    stp     x24, x25, [x0, #192]
    stp     x26, x27, [x0, #208]
    stp     x28, x29, [x0, #224]
    str     x30, [x0, #240]
    ldp     x2, x3, [sp, #32]
    stp     x2, x3, [x0]
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x2, x3, [x0, #248]
    mov     w0, #\cause
    ldr     x19, [sp, #16]
    ldp     x29, x30, [sp], #48
    ret
.endm

.macro fault kind
    msr     tpidr_el2, x0
    mov     x0, #\kind
    b       hypervisor_fault
.endm

.macro slot body:vararg
    .balign 128
    \body
.endm

.balign 2048
.global vectors
vectors:
    slot fault 0
    slot fault 1
    slot fault 2
    slot fault 3
    slot fault 4
    slot fault 5
    slot fault 6
    slot fault 7
    slot leave_guest 0
    slot leave_guest 1
    slot leave_guest 1
    slot leave_guest 2
    slot leave_guest 0
    slot leave_guest 1
    slot leave_guest 1
    slot leave_guest 2

// The hypervisor has faulted. x0 = vector number, the true x0 in TPIDR_EL2. The first processor to come
// here owns the emergency stack for good; any other stops.
.balign 64
hypervisor_fault:
    msr     tpidrro_el0, x1        // the guest's: lost, and nobody will miss it
    msr     tpidr_el0, x2
    msr     tpidr_el1, x0
    ldr     x1, =fault_taken
1:  ldaxr   w2, [x1]
    cbnz    w2, 9f
    add     w2, w2, #1
    stxr    w0, w2, [x1]
    cbnz    w0, 1b
    mov     x1, sp
    ldr     x2, =emergency_stack_top
    mov     sp, x2
    sub     sp, sp, #288
    str     x1, [sp, #248]         // sp at the fault
    mrs     x0, tpidr_el1
    str     x0, [sp, #256]         // vector
    mrs     x0, tpidr_el2
    mrs     x1, tpidrro_el0
    mrs     x2, tpidr_el0
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    str     x30, [sp, #240]
    mrs     x0, elr_el2
    str     x0, [sp, #264]
    mov     x0, sp
    bl      report_fault
9:  wfe
    b       9b
.ltorg

.section .bss.fault, "aw", %nobits
.balign 4
fault_taken: .space 4

// Copies and clears. One instruction a line of 64 bytes: the registers used are the guests', and no
// guest has run when these do.
.section .text.bulk, "ax"
.arch_extension fp
.arch_extension simd
// x0 = destination (64-byte aligned), x1 = bytes (a multiple of 4096)
.balign 64
.global clear_frames
clear_frames:
    movi    v0.16b, #0
    movi    v1.16b, #0
    movi    v2.16b, #0
    movi    v3.16b, #0
    // As much first as makes the rest a multiple of 16 KiB: into the middle of the loop.
    and     x2, x1, #0x3000
    sub     x1, x1, x2
    add     x1, x1, #0x4000
    adr     x3, 2f
    sub     x3, x3, x2, lsr #4     // an instruction for 64 bytes
    br      x3
1:
.rept 256
    st1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x0], #64
.endr
2:  subs    x1, x1, #0x4000
    b.ne    1b
    ret

// Between guests' memory and ours while guests run. The vector registers are the guests': much is copied with eight
// of them, which are put back; little, and what is left, without (`bytes.s`).
// x0 = destination, x1 = source, x2 = bytes
.balign 64
.global copy_foreign
copy_foreign:
    cmp     x2, #512
    b.lo    memcpy
    stp     q0, q1, [sp, #-128]!
    stp     q2, q3, [sp, #32]
    stp     q4, q5, [sp, #64]
    stp     q6, q7, [sp, #96]
    sub     x2, x2, #256
1:  ldp     q0, q1, [x1], #256
    ldp     q2, q3, [x1, #-224]
    ldp     q4, q5, [x1, #-192]
    ldp     q6, q7, [x1, #-160]
    stp     q0, q1, [x0], #256
    stp     q2, q3, [x0, #-224]
    stp     q4, q5, [x0, #-192]
    stp     q6, q7, [x0, #-160]
    ldp     q0, q1, [x1, #-128]
    ldp     q2, q3, [x1, #-96]
    ldp     q4, q5, [x1, #-64]
    ldp     q6, q7, [x1, #-32]
    stp     q0, q1, [x0, #-128]
    stp     q2, q3, [x0, #-96]
    stp     q4, q5, [x0, #-64]
    stp     q6, q7, [x0, #-32]
    subs    x2, x2, #256
    b.hs    1b
    add     x2, x2, #256
    ldp     q2, q3, [sp, #32]
    ldp     q4, q5, [sp, #64]
    ldp     q6, q7, [sp, #96]
    ldp     q0, q1, [sp], #128
    cbnz    x2, memcpy
    ret

// x0 = a page, which reads as zero afterwards, with caches or without; x1 = whether line by line, which is for lines of
// 64 bytes.
.balign 64
.global clear_foreign
clear_foreign:
    add     x2, x0, #4096
    tbz     w1, #0, 2f
1:
.rept 16
    dc      zva, x0
    dc      cvac, x0
    add     x0, x0, #64
.endr
    cmp     x0, x2
    b.lo    1b
    dsb     sy
    ret
2:  stp     xzr, xzr, [x0], #16
    stp     xzr, xzr, [x0], #16
    cmp     x0, x2
    b.lo    2b
    mrs     x3, ctr_el0
    ubfx    x3, x3, #16, #4
    mov     x4, #4
    lsl     x3, x4, x3
    sub     x0, x2, #4096
3:  dc      cvac, x0
    add     x0, x0, x3
    cmp     x0, x2
    b.lo    3b
    dsb     sy
    ret

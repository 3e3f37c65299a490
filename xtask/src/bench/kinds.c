/*
 * A plugin for QEMU (TCG, aarch64) that counts what kinds of instructions run outside of the guest while the guest
 * measures something.
 *
 * The guest says so without any instruction of its own: a measured sequence begins with the virtual counter read into
 * x20 or x10, and ends with it read into x21 or x15, or with the physical one read into x20, which is a vCPU's second
 * instruction. Two moves into the zero register stand around all samples of a figure. Only instructions in the guest's
 * image, which arguments name, are such marks; only instructions outside of it are counted. For each figure a line is
 * written: the number of samples, and the instructions of each kind in the sample that is in the middle by all its
 * instructions; and, where that is wanted, a line with the address of each of them, in the order of their execution.
 * What happens before the first instruction of the first guest can be a sample of its own.
 *
 * Arguments: from=ADDRESS,to=ADDRESS (the image, virtual), out=FILE, where=FILE (the addresses), boot=on (one sample, from
 * reset on), wake=on (samples begin anew where the hypervisor sleeps).
 *
 * QEMU's interface for plugins is declared here as its documentation gives it ("QEMU TCG Plugins", API version 3 and
 * later), as far as it is used. The kinds follow the encodings in the Arm Architecture Reference Manual, chapter C4.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct {
    const char *target_name;
    struct {
        int min;
        int cur;
    } version;
    bool system_emulation;
    union {
        struct {
            int smp_vcpus;
            int max_vcpus;
        } system;
    };
} qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
typedef void (*tb_translated)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*insn_executed)(unsigned int, void *);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_translated);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, insn_executed, enum qemu_plugin_cb_flags, void *);

__attribute__((visibility("default"))) int qemu_plugin_version = 3;

/* The order of the columns, which kinds.rs knows as well. */
enum kind { ALU, BRANCH, LOAD, STORE, EXCLUSIVE, SYSREG, GICREG, ISB, DSB, DMB, TLBI_AT, CACHE, TRAP, KINDS };
enum mark { FIGURE_BEGINS, FIGURE_ENDS, SAMPLE_BEGINS, SAMPLE_ENDS };

static uint64_t from, to;
static FILE *out, *where;
static bool in_figure, in_sample, is_boot, is_wake;

/* An instruction as it was translated. */
struct instruction {
    enum kind kind;
    bool sleeps;
    uint64_t address;
};

/* A sample: how many instructions of each kind, how many in all, and where they are, if that is wanted. */
struct sample {
    uint64_t kinds[KINDS];
    uint64_t all;
    uint64_t *path;
};
enum { MOST = 512 };
static struct sample samples[MOST], sample;
static size_t count, room;

/* op0 2 and 3 are registers, 1 is SYS, 0 hints, barriers and fields of PSTATE. */
static enum kind system_kind(uint32_t code)
{
    unsigned op0 = code >> 19 & 3, op1 = code >> 16 & 7, crn = code >> 12 & 15, crm = code >> 8 & 15;
    unsigned op2 = code >> 5 & 7;

    if (op0 >= 2) {
        bool gic = op0 == 3 && ((crn == 12 && crm >= 8) || (crn == 4 && crm == 6 && op1 == 0));
        return gic ? GICREG : SYSREG;
    }
    if (op0 == 1) {
        /* DC ZVA is no maintenance: it stores zeroes, as much of them as a line has. */
        if (op1 == 3 && crn == 7 && crm == 4 && op2 == 1) {
            return STORE;
        }
        bool translation = crn == 8 || crn == 9 || (crn == 7 && (crm == 8 || crm == 9));
        return translation ? TLBI_AT : CACHE;
    }
    if (crn == 3) {
        return op2 == 6 || op2 == 7 ? ISB : op2 == 5 ? DMB : op2 == 4 || op2 == 1 ? DSB : ALU;
    }
    if (crn == 2) {
        return crm == 0 && (op2 == 2 || op2 == 3) ? TRAP : ALU;
    }
    return SYSREG;
}

static enum kind memory_kind(uint32_t code)
{
    if ((code & 0x3f000000) == 0x08000000) {
        /* LDAR and STLR are loads and stores that are ordered; the rest is exclusive, or compare and swap. */
        bool ordered = (code & 0x00a00000) == 0x00800000;
        return !ordered ? EXCLUSIVE : code & 0x00400000 ? LOAD : STORE;
    }
    if ((code & 0x3b200c00) == 0x38200000) {
        return EXCLUSIVE;
    }
    if ((code & 0x3b000000) == 0x18000000) {
        return LOAD;
    }
    if ((code & 0x3a000000) == 0x38000000) {
        bool vector = code & 0x04000000;
        unsigned opc = code >> 22 & 3;
        return opc == 0 || (vector && opc == 2) ? STORE : LOAD;
    }
    return code & 0x00400000 ? LOAD : STORE;
}

static enum kind kind_of(uint32_t code)
{
    if ((code & 0x0a000000) == 0x08000000) {
        return memory_kind(code);
    }
    if ((code & 0x1c000000) != 0x14000000) {
        return ALU;
    }
    if ((code & 0xff000000) == 0xd4000000 || code == 0xd69f03e0) {
        return TRAP;
    }
    return (code & 0xffc00000) == 0xd5000000 ? system_kind(code) : BRANCH;
}

static void begin_sample(void)
{
    free(sample.path);
    memset(&sample, 0, sizeof(sample));
    room = 0;
}

static void counted(unsigned int cpu, void *data)
{
    const struct instruction *instruction = data;

    (void)cpu;
    if (!in_sample) {
        return;
    }
    if (is_wake && instruction->sleeps) {
        begin_sample();
        return;
    }
    if (where) {
        if (sample.all == room) {
            room = room ? 2 * room : 4096;
            sample.path = realloc(sample.path, room * sizeof(uint64_t));
            if (!sample.path) {
                abort();
            }
        }
        sample.path[sample.all] = instruction->address;
    }
    sample.kinds[instruction->kind]++;
    sample.all++;
}

static int by_instructions(const void *one, const void *other)
{
    uint64_t a = ((const struct sample *)one)->all, b = ((const struct sample *)other)->all;
    return (a > b) - (a < b);
}

static void end_sample(void)
{
    if (in_sample && count < MOST) {
        samples[count++] = sample;
        sample.path = NULL;
    }
    in_sample = false;
    begin_sample();
}

static void write_middle(void)
{
    const struct sample *middle = &samples[count / 2];

    fprintf(out, "%zu", count);
    qsort(samples, count, sizeof(samples[0]), by_instructions);
    for (int kind = 0; kind < KINDS; kind++) {
        fprintf(out, " %llu", count ? (unsigned long long)middle->kinds[kind] : 0);
    }
    fprintf(out, "\n");
    fflush(out);
    if (where) {
        for (uint64_t index = 0; count && index < middle->all; index++) {
            fprintf(where, "%llx ", (unsigned long long)middle->path[index]);
        }
        fprintf(where, "\n");
        fflush(where);
    }
    while (count) {
        free(samples[--count].path);
    }
}

static void marked(unsigned int cpu, void *mark)
{
    (void)cpu;
    switch ((enum mark)(uintptr_t)mark) {
    case FIGURE_BEGINS:
        in_figure = !is_boot;
        break;
    case SAMPLE_BEGINS:
        begin_sample();
        in_sample = in_figure;
        break;
    case SAMPLE_ENDS:
        end_sample();
        if (in_figure && is_boot) {
            in_figure = false;
            write_middle();
        }
        break;
    case FIGURE_ENDS:
        if (in_figure) {
            write_middle();
        }
        in_figure = false;
        break;
    }
}

/* The mark that an instruction of the guest is, or -1. */
static int mark_of(uint32_t code)
{
    switch (code) {
    case 0xd2800000 | 0x6b31 << 5 | 31: /* movz xzr, #0x6b31 */
        return FIGURE_BEGINS;
    case 0xd2800000 | 0x6b32 << 5 | 31: /* movz xzr, #0x6b32 */
        return FIGURE_ENDS;
    case 0xd53be040 | 20: /* mrs x20, cntvct_el0 */
    case 0xd53be040 | 10:
        return SAMPLE_BEGINS;
    case 0xd53be040 | 21:
    case 0xd53be040 | 15:
    case 0xd53be020 | 20: /* mrs x20, cntpct_el0 */
        return SAMPLE_ENDS;
    default:
        return -1;
    }
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    size_t count = qemu_plugin_tb_n_insns(block);
    for (size_t index = 0; index < count; index++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, index);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        uint32_t code = 0;
        qemu_plugin_insn_data(insn, &code, sizeof(code));
        if (address < from || address >= to) {
            struct instruction *instruction = malloc(sizeof(*instruction));
            if (!instruction) {
                abort();
            }
            *instruction = (struct instruction){kind_of(code), code == 0xd503207f /* WFI */, address};
            qemu_plugin_register_vcpu_insn_exec_cb(insn, counted, QEMU_PLUGIN_CB_NO_REGS, instruction);
        } else if (mark_of(code) >= 0) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)mark_of(code));
        }
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                                               char **argv)
{
    (void)info;
    for (int index = 0; index < argc; index++) {
        if (strncmp(argv[index], "from=", 5) == 0) {
            from = strtoull(argv[index] + 5, NULL, 0);
        } else if (strncmp(argv[index], "to=", 3) == 0) {
            to = strtoull(argv[index] + 3, NULL, 0);
        } else if (strncmp(argv[index], "out=", 4) == 0) {
            out = fopen(argv[index] + 4, "w");
        } else if (strncmp(argv[index], "where=", 6) == 0) {
            where = fopen(argv[index] + 6, "w");
        } else if (strcmp(argv[index], "wake=on") == 0) {
            is_wake = true;
        } else if (strcmp(argv[index], "boot=on") == 0) {
            is_boot = in_figure = in_sample = true;
        }
    }
    if (!out || to <= from) {
        fprintf(stderr, "kinds: from=ADDRESS,to=ADDRESS,out=FILE are needed\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}

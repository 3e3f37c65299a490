//! Of `public/domctl.h`: how much memory a domain may have, and from where.

use crate::layout::{Handle, constants, layout};
use crate::memory::Vmemrange;
use crate::xen::XenctlBitmap;

constants! {
    // shadow_op.op.
    /// `XEN_DOMCTL_SHADOW_OP_OFF`: ends what was enabled.
    pub XEN_DOMCTL_SHADOW_OP_OFF: u32 = 0;
    /// `XEN_DOMCTL_SHADOW_OP_ENABLE_TEST`: shadow page tables, as a test.
    pub XEN_DOMCTL_SHADOW_OP_ENABLE_TEST: u32 = 1;
    /// `XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY`: dirty pages are noted.
    pub XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY: u32 = 2;
    /// `XEN_DOMCTL_SHADOW_OP_CLEAN`: tells dirty pages and forgets them.
    pub XEN_DOMCTL_SHADOW_OP_CLEAN: u32 = 11;
    /// `XEN_DOMCTL_SHADOW_OP_PEEK`: tells dirty pages.
    pub XEN_DOMCTL_SHADOW_OP_PEEK: u32 = 12;
    /// `XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION`: tells the pool for page tables.
    pub XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION: u32 = 30;
    /// `XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION`: sets the pool for page tables.
    pub XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION: u32 = 31;
    /// `XEN_DOMCTL_SHADOW_OP_ENABLE`: enables by mode.
    pub XEN_DOMCTL_SHADOW_OP_ENABLE: u32 = 32;
    /// `XEN_DOMCTL_SHADOW_ENABLE_REFCOUNT`: mode of enabling: references are counted.
    pub XEN_DOMCTL_SHADOW_ENABLE_REFCOUNT: u32 = 2;
    /// `XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY`: mode of enabling: dirty pages are noted.
    pub XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY: u32 = 4;
    /// `XEN_DOMCTL_SHADOW_ENABLE_TRANSLATE`: mode of enabling: frame numbers are translated.
    pub XEN_DOMCTL_SHADOW_ENABLE_TRANSLATE: u32 = 8;
    /// `XEN_DOMCTL_SHADOW_ENABLE_EXTERNAL`: mode of enabling: the guest does not see it.
    pub XEN_DOMCTL_SHADOW_ENABLE_EXTERNAL: u32 = 16;
    /// `XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL`: mode: nobody will ask again.
    pub XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL: u32 = 1;

    // Types of frames, in the upper bits of getpageframeinfo3's entries.
    /// `XEN_DOMCTL_PFINFO_LTAB_SHIFT`: the type's place.
    pub XEN_DOMCTL_PFINFO_LTAB_SHIFT: u32 = 28;
    /// `XEN_DOMCTL_PFINFO_NOTAB`: a page.
    pub XEN_DOMCTL_PFINFO_NOTAB: u32 = 0;
    /// `XEN_DOMCTL_PFINFO_L1TAB`: a page table.
    pub XEN_DOMCTL_PFINFO_L1TAB: u32 = 0x1000_0000;
    /// `XEN_DOMCTL_PFINFO_L2TAB`: a page table.
    pub XEN_DOMCTL_PFINFO_L2TAB: u32 = 0x2000_0000;
    /// `XEN_DOMCTL_PFINFO_L3TAB`: a page table.
    pub XEN_DOMCTL_PFINFO_L3TAB: u32 = 0x3000_0000;
    /// `XEN_DOMCTL_PFINFO_L4TAB`: a page table.
    pub XEN_DOMCTL_PFINFO_L4TAB: u32 = 0x4000_0000;
    /// `XEN_DOMCTL_PFINFO_LPINTAB`: a page table that is pinned.
    pub XEN_DOMCTL_PFINFO_LPINTAB: u32 = 0x8000_0000;
    /// `XEN_DOMCTL_PFINFO_BROKEN`: a page that cannot be read.
    pub XEN_DOMCTL_PFINFO_BROKEN: u32 = 0xd000_0000;
    /// `XEN_DOMCTL_PFINFO_XALLOC`: a page that is only allocated.
    pub XEN_DOMCTL_PFINFO_XALLOC: u32 = 0xe000_0000;
    /// `XEN_DOMCTL_PFINFO_XTAB`: no page.
    pub XEN_DOMCTL_PFINFO_XTAB: u32 = 0xf000_0000;
    /// `XEN_DOMCTL_PFINFO_LTAB_MASK`: the type's bits.
    pub XEN_DOMCTL_PFINFO_LTAB_MASK: u32 = 0xf000_0000;
}

layout! {
    /// `struct xen_domctl_max_mem`: how much memory it may have.
    pub struct MaxMem: "struct xen_domctl_max_mem", 8 {
        /// IN: KiB.
        0 => pub max_memkb: u64,
    }

    /// `struct xen_domctl_paging_mempool`: the pool for its page tables.
    pub struct PagingMempool: "struct xen_domctl_paging_mempool", 8 {
        /// IN or OUT: bytes.
        0 => pub size: u64,
    }

    /// `struct xen_domctl_cacheflush`: frames whose caches are cleaned and invalidated.
    pub struct Cacheflush: "struct xen_domctl_cacheflush", 16 {
        /// IN: the first.
        0 => pub start_pfn: u64,
        /// IN: how many.
        8 => pub nr_pfns: u64,
    }

    /// `struct xen_domctl_nodeaffinity`: the nodes whose memory it gets.
    pub struct Nodeaffinity: "struct xen_domctl_nodeaffinity", 16 {
        /// IN or OUT: the nodes.
        0 => pub nodemap: XenctlBitmap,
    }

    /// `struct xen_domctl_shadow_op_stats`: what was counted.
    pub struct ShadowOpStats: "struct xen_domctl_shadow_op_stats", 8 {
        /// Faults.
        0 => pub fault_count: u32,
        /// Dirty pages.
        4 => pub dirty_count: u32,
    }

    /// `struct xen_domctl_shadow_op`: shadow page tables, and notes of dirty pages.
    pub struct ShadowOp: "struct xen_domctl_shadow_op", 40 {
        /// IN: `XEN_DOMCTL_SHADOW_OP_*`.
        0 => pub op: u32,
        /// IN: the mode.
        4 => pub mode: u32,
        /// IN or OUT: the pool's MiB.
        8 => pub mb: u32,
        /// OUT: dirty pages.
        16 => pub dirty_bitmap: Handle<u8>,
        /// IN: size of the bitmap. OUT: pages in it.
        24 => pub pages: u64,
        /// OUT: what was counted.
        32 => pub stats: ShadowOpStats,
    }

    /// `struct xen_domctl_getpageframeinfo3`: types of frames.
    pub struct Getpageframeinfo3: "struct xen_domctl_getpageframeinfo3", 16 {
        /// IN: number of frames.
        0 => pub num: u64,
        /// IN: the frames. OUT: their types.
        8 => pub array: Handle<u64>,
    }

    /// `struct xen_domctl_set_access_required`: whether accesses wait for a monitor.
    pub struct SetAccessRequired: "struct xen_domctl_set_access_required", 1 {
        /// IN: not zero for yes.
        0 => pub access_required: u8,
    }

    /// `struct xen_domctl_vnuma`: its virtual nodes.
    pub struct Vnuma: "struct xen_domctl_vnuma", 48 {
        /// IN: number of nodes.
        0 => pub nr_vnodes: u32,
        /// IN: number of ranges.
        4 => pub nr_vmemranges: u32,
        /// IN: number of vCPUs.
        8 => pub nr_vcpus: u32,
        /// C's padding.
        12 => pub pad: u32,
        /// IN: distances.
        16 => pub vdistance: Handle<u32>,
        /// IN: nodes of the vCPUs.
        24 => pub vcpu_to_vnode: Handle<u32>,
        /// IN: the host's nodes behind them.
        32 => pub vnode_to_pnode: Handle<u32>,
        /// IN: the ranges.
        40 => pub vmemrange: Handle<Vmemrange>,
    }
}

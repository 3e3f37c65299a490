//! What dom0 asks of the machine and of other domains: each domctl, sysctl and platform_op that is served, with
//! what it says compared with what is the case.

use abi::domctl as control;
use abi::domctl::domain::{
    Getdomaininfo, SchedCredit2, SchedulerOp, Setdomainhandle, XEN_DOMCTL_SCHEDOP_GETINFO,
    XEN_DOMCTL_SCHEDOP_PUTINFO, XEN_DOMINF_PAUSED, XEN_SCHEDULER_CREDIT2,
};
use abi::domctl::memory::{Cacheflush, MaxMem};
use abi::domctl::vcpu::{Getvcpuinfo, Vcpuaffinity, XEN_VCPUAFFINITY_HARD, XEN_VCPUAFFINITY_SOFT};
use abi::errno::Errno;
use abi::hvm_op::{HVMOP_GET_PARAM, HVMOP_SET_PARAM, HvmParam};
use abi::hvm_params::{HVM_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_PFN};
use abi::hypercall::{DOMCTL, HVM_OP, PLATFORM_OP, SYSCTL};
use abi::layout::{Field, Handle, Layout};
use abi::platform::{PLATFORM_OP_U, Settime64, XENPF_INTERFACE_VERSION, XENPF_SETTIME64};
use abi::sysctl::{self as of, CpupoolOp, Cputopo, Cputopoinfo, DebugKeys, Getdomaininfolist};
use abi::sysctl::{Meminfo, Numainfo, Physinfo, Readconsole, SchedId};
use abi::xen::{DOMID_SELF, XenctlBitmap};
use hypervisor::event::channel::Binding;
use machine::contract::{Machine, Word};
use machine::sim::Cpu;
use model::arm64::AccessSize;

use crate::calls::{INVAL, domctl, error, get, hypercall, perform_as, put, store, store_words, sysctl};
use crate::world::guest::{DOM0_RAM, RAM};
use crate::world::{Journal, MIB, Setup, System};

const FRAME: u64 = DOM0_RAM + MIB;
const BUFFER: u64 = DOM0_RAM + 2 * MIB;
const SRCH: i64 = error(Errno::Srch);
const NO_SYS: i64 = error(Errno::NoSys);
const NOT_SUPPORTED: i64 = error(Errno::OpNotSupp);

/// dom0 with two vCPUs and two domains with one, on two processors.
fn setup() -> Setup {
    Setup::new(2, &[1, 1]).enhanced().control(2)
}

async fn of_domain<T: Layout>(cpu: &Cpu, command: u32, domain: u16, own: &T) -> (i64, T) {
    domctl(cpu, FRAME, (command, domain), own).await
}

async fn of_machine<T: Layout>(cpu: &Cpu, command: u32, own: &T) -> (i64, T) {
    sysctl(cpu, FRAME, command, own).await
}

#[test]
fn dom0_reads_what_the_machine_is() {
    let mut system = setup().construct();
    let free = system.sim().frames().free_frames();
    perform_as(&mut system, 0, move |cpu| async move {
        let (answer, machine) = of_machine(&cpu, of::XEN_SYSCTL_PHYSINFO, &Physinfo::default()).await;
        assert_eq!((answer, machine.nr_cpus, machine.max_cpu_id, machine.nr_nodes), (0, 2, 1, 1));
        assert_eq!((machine.total_pages, machine.free_pages, machine.cpu_khz), (512 * 256, free, 1000));
        let (answer, scheduler) = of_machine(&cpu, of::XEN_SYSCTL_SCHED_ID, &SchedId::default()).await;
        assert_eq!((answer, scheduler.sched_id), (0, XEN_SCHEDULER_CREDIT2));

        store_words(&cpu, BUFFER, &[u32::MAX; 8]).await;
        let places = Cputopoinfo { num_cpus: 1, cputopo: Handle::new(BUFFER) };
        let (answer, places) = of_machine(&cpu, of::XEN_SYSCTL_CPUTOPOINFO, &places).await;
        assert_eq!((answer, places.num_cpus), (0, 2));
        assert_eq!(get::<Cputopo>(&cpu, BUFFER).await, Cputopo::default());
        assert_eq!(cpu.read(BUFFER + 12).await, u64::from(u32::MAX), "there was room for one");

        let nodes =
            Numainfo { num_nodes: 4, meminfo: Handle::new(BUFFER), distance: Handle::new(BUFFER + 64) };
        let (answer, nodes) = of_machine(&cpu, of::XEN_SYSCTL_NUMAINFO, &nodes).await;
        assert_eq!((answer, nodes.num_nodes), (0, 1));
        let memory = Meminfo { memsize: 512 * MIB, memfree: free << 12 };
        assert_eq!(get::<Meminfo>(&cpu, BUFFER).await, memory);
        assert_eq!(cpu.read(BUFFER + 64).await, 10);
        // Who gives no room for it is told how many there are.
        let (answer, nodes) = of_machine(&cpu, of::XEN_SYSCTL_NUMAINFO, &Numainfo::default()).await;
        assert_eq!((answer, nodes.num_nodes), (0, 1));
    });
}

#[test]
fn dom0_reads_what_pools_and_schedulers_are_and_changes_for_how_long_nobody_is_preempted() {
    perform_as(&mut setup().construct(), 0, |cpu| async move {
        let pool = |op, cpupool_id, bits| CpupoolOp {
            op,
            cpupool_id,
            cpumap: XenctlBitmap { bitmap: Handle::new(BUFFER), nr_bits: bits },
            ..CpupoolOp::default()
        };
        store(&cpu, BUFFER, &[u64::MAX; 4]).await;
        let (answer, info) =
            of_machine(&cpu, of::XEN_SYSCTL_CPUPOOL_OP, &pool(of::XEN_SYSCTL_CPUPOOL_OP_INFO, 0, 64)).await;
        assert_eq!((answer, info.n_dom, info.sched_id), (0, 3, XEN_SCHEDULER_CREDIT2));
        assert_eq!(cpu.try_read(BUFFER, AccessSize::Double).await, Ok(3));
        assert_eq!(cpu.try_read(BUFFER + 8, AccessSize::Double).await, Ok(u64::MAX));
        let (answer, _) =
            of_machine(&cpu, of::XEN_SYSCTL_CPUPOOL_OP, &pool(of::XEN_SYSCTL_CPUPOOL_OP_FREEINFO, 0, 64))
                .await;
        assert_eq!((answer, cpu.try_read(BUFFER, AccessSize::Double).await), (0, Ok(0)));
        for (op, id, wanted) in [(3, 1, error(Errno::NoEnt)), (1, 0, NOT_SUPPORTED), (6, 0, NOT_SUPPORTED)] {
            assert_eq!(
                of_machine(&cpu, of::XEN_SYSCTL_CPUPOOL_OP, &pool(op, id, 8)).await.0,
                wanted,
                "{op} {id}"
            );
        }
        let microseconds = |count: u32| {
            let mut words = [0; 16];
            words[..4].copy_from_slice(&count.to_le_bytes());
            words
        };
        let nonsense = [0xff; 16];
        for (cmd, sched_id, cpupool_id, given, wanted, told) in [
            (1, XEN_SCHEDULER_CREDIT2, 0, nonsense, 0, microseconds(500)),
            (0, XEN_SCHEDULER_CREDIT2, 0, nonsense, INVAL, nonsense),
            (0, XEN_SCHEDULER_CREDIT2, 0, microseconds(1000), 0, microseconds(1000)),
            (1, XEN_SCHEDULER_CREDIT2, 0, nonsense, 0, microseconds(1000)),
            (1, 5, 0, nonsense, INVAL, nonsense),
            (1, 6, 1, nonsense, INVAL, nonsense),
        ] {
            let order = of::SchedulerOp { cpupool_id, sched_id, cmd, u: given };
            let (answer, order) = of_machine(&cpu, of::XEN_SYSCTL_SCHEDULER_OP, &order).await;
            assert_eq!((answer, order.u), (wanted, told), "{cmd} {sched_id} {cpupool_id}");
        }
    });
}

#[test]
fn dom0_lists_the_domains_and_asks_for_more_from_behind_the_last() {
    let mut system = setup().construct();
    perform_as(&mut system, 0, |cpu| async move {
        for (first_domain, max_domains, wanted) in [
            (0, 8, vec![0, 1, 2]),
            (0, 2, vec![0, 1]),
            (1, 1, vec![1]),
            (2, 5, vec![2]),
            (3, 5, vec![]),
            (0, 0, vec![]),
        ] {
            let order =
                Getdomaininfolist { first_domain, max_domains, buffer: Handle::new(BUFFER), num_domains: 99 };
            let (answer, list) = of_machine(&cpu, of::XEN_SYSCTL_GETDOMAININFOLIST, &order).await;
            assert_eq!((answer, list.num_domains), (0, wanted.len() as u32));
            for (index, id) in (0..).zip(wanted) {
                let info: Getdomaininfo = get(&cpu, BUFFER + index * Getdomaininfo::SIZE as u64).await;
                let pages = if id == 0 { 4096 } else { 2048 };
                assert_eq!((info.domain, info.tot_pages, info.max_pages), (id, pages, pages));
            }
        }
        // A list that cannot be written.
        let order =
            Getdomaininfolist { max_domains: 3, buffer: Handle::new(u64::MAX - 7), ..Default::default() };
        assert_eq!(of_machine(&cpu, of::XEN_SYSCTL_GETDOMAININFOLIST, &order).await.0, error(Errno::Fault));
    });
}

#[test]
fn dom0_reads_the_console_and_types_to_it() {
    let mut system = setup().construct();
    let read = Journal::new();
    let journal = read.clone();
    perform_as(&mut system, 0, move |cpu| {
        let journal = journal.clone();
        async move {
            store(&cpu, BUFFER, &[u64::from_le_bytes(*b"q\0\0\0\0\0\0\0")]).await;
            let keys = DebugKeys { keys: Handle::new(BUFFER), nr_keys: 1 };
            assert_eq!(of_machine(&cpu, of::XEN_SYSCTL_DEBUG_KEYS, &keys).await.0, 0);
            let mut order = Readconsole { buffer: Handle::new(BUFFER), count: 4000, ..Default::default() };
            loop {
                let (answer, told) = of_machine(&cpu, of::XEN_SYSCTL_READCONSOLE, &order).await;
                assert!(answer == 0 && told.count <= 1024, "{told:?}");
                if told.count == 0 {
                    break;
                }
                for at in 0..u64::from(told.count) {
                    journal.note(cpu.try_read(BUFFER + at, AccessSize::Byte).await.unwrap() as u8);
                }
                order = Readconsole { incremental: 1, index: told.index, ..order };
            }
            // What has been cleared does not come again.
            let (_, told) =
                of_machine(&cpu, of::XEN_SYSCTL_READCONSOLE, &Readconsole { clear: 1, ..order }).await;
            assert_eq!(told.count, 0);
            let (_, told) =
                of_machine(&cpu, of::XEN_SYSCTL_READCONSOLE, &Readconsole { incremental: 0, ..order }).await;
            assert_eq!(told.count, 0);
        }
    });
    let text = String::from_utf8(read.all()).unwrap();
    assert!(text.contains("d1: 1 vCPUs") && text.contains("d0: 2 vCPUs"), "{text}");
    let printed = system.output().replace('\r', "");
    for line in text.lines() {
        assert!(printed.contains(line), "{line:?} was not printed");
    }
}

#[test]
fn dom0_reads_and_changes_what_a_domain_is() {
    let mut system = setup().construct();
    let domain = system.domain(1);
    perform_as(&mut system, 0, move |cpu| async move {
        let (answer, _) =
            of_domain(&cpu, control::XEN_DOMCTL_MAX_MEM, 1, &MaxMem { max_memkb: 16 << 10 }).await;
        assert_eq!((answer, domain.frames.most()), (0, 4096));
        let (answer, _) = of_domain(
            &cpu,
            control::XEN_DOMCTL_SETDOMAINHANDLE,
            1,
            &Setdomainhandle { handle: *b"sixteen letters!" },
        )
        .await;
        assert_eq!(answer, 0);
        let (answer, info) =
            of_domain(&cpu, control::XEN_DOMCTL_GETDOMAININFO, 1, &Getdomaininfo::default()).await;
        assert_eq!((answer, info.domain, info.max_pages, &info.handle), (0, 1, 4096, b"sixteen letters!"));
        assert_eq!((info.max_vcpu_id, info.nr_online_vcpus, info.flags & XEN_DOMINF_PAUSED), (0, 1, 0));
        for (id, wanted) in [(3, SRCH), (0x7fef, SRCH), (DOMID_SELF, INVAL), (0xffff, INVAL)] {
            let told =
                of_domain(&cpu, control::XEN_DOMCTL_GETDOMAININFO, id, &Getdomaininfo::default()).await;
            assert_eq!(told.0, wanted, "{id:#x}");
        }
        for (vcpu, wanted) in [(0, 0), (1, INVAL), (u32::MAX, INVAL)] {
            let order = Getvcpuinfo { vcpu, ..Default::default() };
            let (answer, info) = of_domain(&cpu, control::XEN_DOMCTL_GETVCPUINFO, 1, &order).await;
            assert_eq!((answer, info.vcpu, info.online), (wanted, vcpu, u8::from(wanted == 0)));
        }
        let order =
            SchedulerOp { sched_id: XEN_SCHEDULER_CREDIT2, cmd: XEN_DOMCTL_SCHEDOP_GETINFO, u: [0xff; 16] };
        let (answer, told) = of_domain(&cpu, control::XEN_DOMCTL_SCHEDULER_OP, 1, &order).await;
        assert_eq!((answer, SchedCredit2::load(&told.u)), (0, SchedCredit2 { weight: 256, cap: 0 }));
        let mut words = [0; 16];
        SchedCredit2 { weight: 512, cap: 50 }.store(&mut words);
        for (changed, wanted) in [
            (SchedulerOp { cmd: XEN_DOMCTL_SCHEDOP_PUTINFO, u: words, ..order }, 0),
            (SchedulerOp { sched_id: 99, ..order }, INVAL),
        ] {
            assert_eq!(of_domain(&cpu, control::XEN_DOMCTL_SCHEDULER_OP, 1, &changed).await.0, wanted);
        }
        let (_, told) = of_domain(&cpu, control::XEN_DOMCTL_SCHEDULER_OP, 1, &order).await;
        assert_eq!(SchedCredit2::load(&told.u), SchedCredit2 { weight: 512, cap: 50 });
    });
}

#[test]
fn dom0_reads_where_vcpus_may_run_and_writes_caches_back_in_pieces() {
    let mut system = setup().construct();
    system.sim().take_counts(0);
    system.sim().take_counts(1);
    perform_as(&mut system, 0, |cpu| async move {
        let map = |at| XenctlBitmap { bitmap: Handle::new(at), nr_bits: 12 };
        for (vcpu, flags, wanted) in [
            (0, XEN_VCPUAFFINITY_HARD, 0),
            (0, XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT, 0),
            (0, 0, INVAL),
            (1, XEN_VCPUAFFINITY_HARD, SRCH),
        ] {
            store(&cpu, BUFFER, &[u64::MAX, u64::MAX]).await;
            let order = Vcpuaffinity { vcpu, flags, cpumap_hard: map(BUFFER), cpumap_soft: map(BUFFER + 8) };
            assert_eq!(of_domain(&cpu, control::XEN_DOMCTL_GETVCPUAFFINITY, 1, &order).await.0, wanted);
            for (flag, at) in [(XEN_VCPUAFFINITY_HARD, 0), (XEN_VCPUAFFINITY_SOFT, 8)] {
                let told = wanted == 0 && flags & flag != 0;
                let map = if told { !0xffff | 3 } else { u64::MAX };
                assert_eq!(cpu.try_read(BUFFER + at, AccessSize::Double).await, Ok(map), "{vcpu} {flags}");
            }
        }
        for (start_pfn, nr_pfns, wanted) in
            [(RAM >> 12, 200, 0), (0, 33, 0), (1 << 35, 1 << 35, INVAL), (u64::MAX, 2, INVAL)]
        {
            let order = Cacheflush { start_pfn, nr_pfns };
            let (answer, left) = of_domain(&cpu, control::XEN_DOMCTL_CACHEFLUSH, 1, &order).await;
            assert_eq!(answer, wanted);
            assert!(wanted != 0 || left.nr_pfns <= 16, "the last piece needs no note: {left:?}");
        }
    });
    let runs = system.sim().take_counts(0).runs + system.sim().take_counts(1).runs;
    assert!(runs >= 200 / 16, "{runs}: all in one piece");
}

#[test]
fn what_is_not_served_says_so_to_dom0_and_other_versions_and_domains_are_refused() {
    let mut system = setup().construct();
    perform_as(&mut system, 0, |cpu| async move {
        let known = [
            control::XEN_DOMCTL_DESTROYDOMAIN,
            control::XEN_DOMCTL_PAUSEDOMAIN,
            control::XEN_DOMCTL_UNPAUSEDOMAIN,
            control::XEN_DOMCTL_GETDOMAININFO,
            control::XEN_DOMCTL_MAX_MEM,
            control::XEN_DOMCTL_GETVCPUINFO,
            control::XEN_DOMCTL_SETVCPUAFFINITY,
            control::XEN_DOMCTL_SCHEDULER_OP,
            control::XEN_DOMCTL_SETDOMAINHANDLE,
            control::XEN_DOMCTL_GETVCPUAFFINITY,
            control::XEN_DOMCTL_CACHEFLUSH,
        ];
        for command in (0..100).chain([u32::MAX]) {
            let id = if known.contains(&command) { 9 } else { 1 };
            let wanted = if known.contains(&command) { SRCH } else { NO_SYS };
            assert_eq!(of_domain(&cpu, command, id, &0_u64).await.0, wanted, "{command}");
        }
        let machine = [
            of::XEN_SYSCTL_READCONSOLE,
            of::XEN_SYSCTL_PHYSINFO,
            of::XEN_SYSCTL_SCHED_ID,
            of::XEN_SYSCTL_GETDOMAININFOLIST,
            of::XEN_SYSCTL_DEBUG_KEYS,
            of::XEN_SYSCTL_CPUTOPOINFO,
            of::XEN_SYSCTL_NUMAINFO,
            of::XEN_SYSCTL_CPUPOOL_OP,
            of::XEN_SYSCTL_SCHEDULER_OP,
        ];
        for command in (0..40).chain([u32::MAX]).filter(|command| !machine.contains(command)) {
            assert_eq!(of_machine(&cpu, command, &0_u64).await.0, NO_SYS, "{command}");
        }
        for (number, version, wanted) in
            [(DOMCTL, 0x14, Errno::Acces), (SYSCTL, 0x14, Errno::Acces), (PLATFORM_OP, 0x15, Errno::Acces)]
        {
            store_words(&cpu, FRAME, &[3, version, 1, 0]).await;
            assert_eq!(hypercall(&cpu, number, &[FRAME]).await, error(wanted));
            assert_eq!(hypercall(&cpu, number, &[u64::MAX - 3]).await, error(Errno::Fault));
        }
        // Nothing of all this happens to dom0 itself.
        for command in [
            control::XEN_DOMCTL_DESTROYDOMAIN,
            control::XEN_DOMCTL_PAUSEDOMAIN,
            control::XEN_DOMCTL_UNPAUSEDOMAIN,
        ] {
            assert_eq!(of_domain(&cpu, command, 0, &0_u64).await.0, INVAL);
        }
    });
}

#[test]
fn a_paused_domain_does_nothing_until_it_is_let_go() {
    for processors in [1, 2] {
        let mut system = Setup::new(processors, &[1, 1]).enhanced().control(1).construct();
        let (done, sim) = (Journal::new(), system.sim());
        for id in [1, 2] {
            sim.guest(id, 0, |cpu| async move {
                loop {
                    cpu.compute(1).await;
                }
            });
        }
        let journal = done.clone();
        perform_as(&mut system, 0, move |cpu| {
            let journal = journal.clone();
            async move {
                let work = || [1, 2].map(|id| sim.work(id, 0));
                let rest = async || cpu.compute(400).await;
                rest().await;
                for _ in 0..2 {
                    assert_eq!(of_domain(&cpu, control::XEN_DOMCTL_PAUSEDOMAIN, 1, &0_u64).await.0, 0);
                }
                // A processor may have been in the middle of it.
                cpu.compute(2).await;
                let before = work();
                rest().await;
                let after = work();
                assert_eq!(after[0], before[0], "it runs");
                assert!(after[1] > before[1] + 50, "the other one does not: {before:?} {after:?}");
                let (_, info) =
                    of_domain(&cpu, control::XEN_DOMCTL_GETDOMAININFO, 1, &Getdomaininfo::default()).await;
                assert_ne!(info.flags & XEN_DOMINF_PAUSED, 0);
                for _ in 0..2 {
                    assert_eq!(of_domain(&cpu, control::XEN_DOMCTL_UNPAUSEDOMAIN, 1, &0_u64).await.0, 0);
                }
                rest().await;
                assert!(work()[0] > after[0] + 50, "it does not go on");
                journal.note(());
            }
        });
        assert_eq!(done.len(), 1);
    }
}

/// What a domain has in a parameter, as it or dom0 reads it.
async fn parameter(cpu: &Cpu, at: u64, (domid, index): (u16, u32), set: Option<u64>) -> (i64, u64) {
    let order = HvmParam { domid, index, value: set.unwrap_or(7), ..Default::default() };
    put(cpu, at, &order).await;
    let command = if set.is_some() { HVMOP_SET_PARAM } else { HVMOP_GET_PARAM };
    let answer = hypercall(cpu, HVM_OP, &[u64::from(command), at]).await;
    (answer, get::<HvmParam>(cpu, at).await.value)
}

fn told_port(system: &System) -> u64 {
    let place = system.domain(1).pv.as_ref().unwrap().parameter(HVM_PARAM_STORE_EVTCHN).unwrap();
    place.load(std::sync::atomic::Ordering::SeqCst)
}

#[test]
fn a_domain_finds_its_xenstore_by_what_dom0_has_set() {
    let mut system = setup().construct();
    let seen = Journal::new();
    let journal = seen.clone();
    system.sim().guest(1, 0, move |cpu| {
        let journal = journal.clone();
        async move {
            let at = RAM + MIB;
            let mut page = parameter(&cpu, at, (DOMID_SELF, HVM_PARAM_STORE_PFN), None).await;
            assert_eq!(page, (0, u64::MAX), "dom0 has not said where yet");
            let changed = parameter(&cpu, at, (DOMID_SELF, HVM_PARAM_STORE_PFN), Some(1)).await;
            assert_eq!(changed.0, error(Errno::Perm), "it does not say so itself");
            while page.1 == u64::MAX {
                cpu.compute(1).await;
                page = parameter(&cpu, at, (DOMID_SELF, HVM_PARAM_STORE_PFN), None).await;
            }
            journal.note(page.1);
            let other = parameter(&cpu, at, (2, HVM_PARAM_STORE_PFN), None).await;
            assert_eq!(other.0, error(Errno::Perm), "another one's");
        }
    });
    perform_as(&mut system, 0, |cpu| async move {
        cpu.compute(50).await;
        let (answer, port) = parameter(&cpu, BUFFER, (1, HVM_PARAM_STORE_EVTCHN), None).await;
        assert!(answer == 0 && port != 0, "{answer} {port}");
        assert_eq!(parameter(&cpu, BUFFER, (1, HVM_PARAM_STORE_PFN), Some(0x3_9000)).await.0, 0);
        assert_eq!(parameter(&cpu, BUFFER, (9, HVM_PARAM_STORE_PFN), Some(1)).await.0, SRCH);
        for index in [3, 37, 38, u32::MAX] {
            assert_eq!(parameter(&cpu, BUFFER, (1, index), None).await.0, INVAL, "{index}");
        }
    });
    system.until("the domain has read it", |_| seen.len() == 1);
    assert_eq!(seen.all(), [0x3_9000]);
    let port = told_port(&system) as u32;
    let events = system.domain(1).pv.as_ref().unwrap().events.lock();
    assert_eq!(events.channels.get(port).map(|channel| channel.binding), Some(Binding::Unbound(0)));
}

async fn set_time(cpu: &Cpu, time: &Settime64) -> i64 {
    store_words(cpu, FRAME, &[XENPF_SETTIME64, XENPF_INTERFACE_VERSION]).await;
    put(cpu, FRAME + PLATFORM_OP_U as u64, time).await;
    hypercall(cpu, PLATFORM_OP, &[FRAME]).await
}

#[test]
fn dom0_sets_the_clock_for_everybody() {
    use abi::arch_arm as offset;
    let mut system = setup().construct();
    perform_as(&mut system, 0, |cpu| async move {
        let time = Settime64 { secs: 1_700_000_000, nsecs: 500, mbz: 0, system_time: 1_000_000_000 };
        assert_eq!(set_time(&cpu, &time).await, 0);
        for wrong in [
            Settime64 { mbz: 1, ..time },
            Settime64 { secs: u64::MAX, ..time },
            Settime64 { secs: 0, ..time },
        ] {
            assert_eq!(set_time(&cpu, &wrong).await, INVAL);
        }
        for command in (0..64).filter(|command| *command != XENPF_SETTIME64) {
            store_words(&cpu, FRAME, &[command, XENPF_INTERFACE_VERSION]).await;
            assert_eq!(hypercall(&cpu, PLATFORM_OP, &[FRAME]).await, NO_SYS, "{command}");
        }
    });
    for id in [0, 1, 2] {
        let page = &system.domain(id).pv.as_ref().unwrap().shared_info;
        let word = |at| system.sim().word(page, at, Word::Load32).unwrap();
        let told = [offset::SHARED_INFO_WC_SEC, offset::SHARED_INFO_WC_SEC_HI, offset::SHARED_INFO_WC_NSEC];
        assert_eq!(told.map(word), [1_699_999_999, 0, 500], "d{id}");
        assert!(word(offset::SHARED_INFO_WC_VERSION).is_multiple_of(2));
    }
}

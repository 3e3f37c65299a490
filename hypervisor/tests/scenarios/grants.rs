//! Grants between domains: mapped, copied, taken back, and what is left when a domain has gone.

use std::collections::{BTreeMap, BTreeSet};

use abi::grant_table as grant;
use hypervisor::domain::Domain;
use hypervisor::grant::{FRAMES, Use, Wanted, Way};
use hypervisor::memory::SharedPage;
use machine::contract::{Machine, Showing};
use machine::frames::GuestFrame;
use machine::sim::{Cpu, Sim, on_processor};
use machine::stage2::Kind;

use crate::calls::{hypercall, store_words};
use crate::world::{Journal, Random, Setup, System, guest};

const PAGE: u64 = 4096;
/// The first page of guests' RAM that the tests use: no kernel is there.
const FIRST: u64 = (guest::RAM >> 12) + 512;
/// Where grants are mapped.
const HOLE: u64 = 0x9000_0000;
const TABLE: u64 = 0x3800_0000;
pub(crate) const READ_WRITE: u16 = grant::GTF_PERMIT_ACCESS;
const READ_ONLY: u16 = grant::GTF_PERMIT_ACCESS | grant::GTF_READONLY;
const MARKS: u16 = grant::GTF_READING | grant::GTF_WRITING;
const MAP_WRITE: Use = Use { way: Way::Map, write: true };
pub(crate) const COPY_READ: Use = Use { way: Way::Copy, write: false };
pub(crate) const COPY_WRITE: Use = Use { way: Way::Copy, write: true };

/// Domains 1 to 3 with Xen's interface, who may talk to each other.
fn three() -> System {
    Setup::new(2, &[1, 1, 1]).enhanced().options("xsm=dummy").construct()
}

fn entry_place(granter: &Domain<Sim>, reference: u32) -> (&GuestFrame, usize) {
    let pv = granter.pv.as_ref().expect("a PV side");
    (&pv.grant_frames[reference as usize / 512], reference as usize % 512 * 8)
}

/// Writes an entry as the granting guest does.
pub(crate) fn write_entry(
    system: &System,
    (granter, reference): (&Domain<Sim>, u32),
    (to, frame, flags): (u16, u64, u16),
) {
    let word = u64::from(flags) | u64::from(to) << 16 | frame << 32;
    let (page, offset) = entry_place(granter, reference);
    assert!(system.sim().write_frame(page, offset, &word.to_le_bytes()));
}

pub(crate) fn flags(system: &System, granter: &Domain<Sim>, reference: u32) -> u16 {
    let mut bytes = [0; 2];
    let (page, offset) = entry_place(granter, reference);
    assert!(system.sim().read_frame(page, offset, &mut bytes));
    u16::from_le_bytes(bytes)
}

/// The host address of a domain's page, and how many hold it.
pub(crate) fn page(system: &System, domain: &Domain<Sim>, number: u64) -> Option<(u64, u32)> {
    let (frame, ..) = system.sim().frame_at(&domain.map, number * PAGE)?;
    Some((frame.address(), frame.count() - 1))
}

fn wanted(reference: u32, at: u64) -> Wanted {
    Wanted { reference, at, writable: true }
}

fn shown(domain: &Domain<Sim>, at: u64) -> Option<(u64, Kind, bool)> {
    domain.map.shown(at).map(|shown| (shown.host, shown.kind, shown.writable))
}

#[test]
fn a_mapping_shows_the_page_and_marks_the_entry_until_it_goes() {
    let system = three();
    let (one, two) = (system.domain(1), system.domain(2));
    write_entry(&system, (one, 8), (2, FIRST, READ_WRITE));
    let (host, _) = page(&system, one, FIRST).unwrap();
    let (handle, address) = system.hypervisor.map_grant(two, one, wanted(8, HOLE)).unwrap();
    assert_eq!((address, shown(two, HOLE)), (host, Some((host, Kind::Granted, true))));
    assert_eq!(flags(&system, one, 8), READ_WRITE | MARKS);
    assert_eq!(page(&system, one, FIRST), Some((host, 2)), "the map's and the grant's");
    assert_eq!(system.hypervisor.unmap_grant(two, handle, HOLE), Ok(()));
    assert_eq!((shown(two, HOLE), flags(&system, one, 8)), (None, READ_WRITE));
    assert_eq!(page(&system, one, FIRST), Some((host, 1)));
    assert_eq!(system.hypervisor.unmap_grant(two, handle, HOLE), Err(grant::GNTST_BAD_HANDLE));
}

#[test]
fn the_frame_of_the_first_use_stays_whatever_the_entry_says_later() {
    let system = three();
    let (one, two) = (system.domain(1), system.domain(2));
    let hypervisor = system.hypervisor;
    write_entry(&system, (one, 8), (2, FIRST, READ_ONLY));
    let (host, _) = page(&system, one, FIRST).unwrap();
    let reader = hypervisor.pin(one, 8, (two, COPY_READ)).unwrap();
    // Another frame, for writing: the writer gets what the reader has, or nothing.
    write_entry(&system, (one, 8), (2, FIRST + 1, READ_WRITE));
    let writer = hypervisor.pin(one, 8, (two, COPY_WRITE)).unwrap();
    assert_eq!((reader.frame.address(), writer.frame.address()), (host, host));
    // It is given back meanwhile, and nobody gets it.
    let free = system.sim().frames().free_frames();
    drop(system.sim().hide(&one.map, FIRST * PAGE).unwrap());
    assert_eq!(system.sim().frames().free_frames(), free);
    write_entry(&system, (one, 8), (2, FIRST, READ_ONLY));
    drop(writer);
    assert_eq!(flags(&system, one, 8) & grant::GTF_WRITING, 0);
    assert_eq!(system.sim().frames().free_frames(), free);
    drop(reader);
    assert_eq!(system.sim().frames().free_frames(), free + 1);
    assert!(hypervisor.pin(one, 8, (two, COPY_READ)).is_err(), "the page is gone");
}

#[test]
fn a_reader_does_not_become_a_writer_of_what_is_read_only() {
    let system = three();
    let (one, two, three) = (system.domain(1), system.domain(2), system.domain(3));
    let hypervisor = system.hypervisor;
    write_entry(&system, (one, 8), (2, FIRST, READ_ONLY));
    let refused = |domain, how| i16::from(hypervisor.pin(one, 8, (domain, how)).map(|_| ()).unwrap_err());
    assert_eq!(refused(two, MAP_WRITE), grant::GNTST_GENERAL_ERROR);
    let reader = hypervisor.pin(one, 8, (two, COPY_READ)).unwrap();
    assert_eq!(refused(two, MAP_WRITE), grant::GNTST_GENERAL_ERROR);
    assert_eq!(refused(three, COPY_READ), grant::GNTST_GENERAL_ERROR);
    assert_eq!(flags(&system, one, 8), READ_ONLY | grant::GTF_READING);
    drop(reader);
    assert_eq!(flags(&system, one, 8), READ_ONLY);
}

#[test]
fn a_grant_has_so_many_users_and_no_more() {
    let system = three();
    let (one, two) = (system.domain(1), system.domain(2));
    write_entry(&system, (one, 8), (2, FIRST, READ_WRITE));
    let mut pins = Vec::new();
    let error = loop {
        match system.hypervisor.pin(one, 8, (two, COPY_READ)) {
            Ok(pin) => pins.push(pin),
            Err(refused) => break i16::from(refused),
        }
    };
    assert_eq!((pins.len(), error), (128, grant::GNTST_GENERAL_ERROR));
    drop(pins);
    assert_eq!(flags(&system, one, 8), READ_WRITE);
    assert!(one.pv.as_ref().unwrap().grants.is_unused());
}

#[test]
fn a_domain_has_as_many_mappings_as_it_may_and_all_come_back() {
    let system = three();
    let (one, two) = (system.domain(1), system.domain(2));
    let hypervisor = system.hypervisor;
    for reference in 0..16 {
        write_entry(&system, (one, reference), (2, FIRST + u64::from(reference), READ_WRITE));
    }
    let mut handles = Vec::new();
    let error = loop {
        let number = handles.len() as u64;
        let at = HOLE + number * PAGE;
        match hypervisor.map_grant(two, one, wanted(number as u32 % 16, at)) {
            Ok((handle, _)) => handles.push((handle, at)),
            Err(refused) => break refused,
        }
    };
    assert_eq!((handles.len(), error), (1024, grant::GNTST_NO_DEVICE_SPACE));
    let grants = &two.pv.as_ref().unwrap().grants;
    assert_eq!(grants.mappings(), 1024);
    let (handle, at) = handles[7];
    assert_eq!(hypervisor.unmap_grant(two, handle, at), Ok(()));
    assert_eq!(hypervisor.map_grant(two, one, wanted(3, at)).unwrap().0, handle, "the only free one");
    // The domain goes away, some at a time.
    let mut calls = 1;
    while !hypervisor.relinquish_grants(two, 100) {
        calls += 1;
    }
    assert_eq!((calls, grants.mappings()), (11, 0));
    assert!(one.pv.as_ref().unwrap().grants.is_unused());
    assert!((0..1024).all(|number| shown(two, HOLE + number * PAGE).is_none()));
}

#[test]
fn references_and_handles_out_of_range_are_refused() {
    let system = three();
    let (one, two) = (system.domain(1), system.domain(2));
    let hypervisor = system.hypervisor;
    for reference in [512, 32767, 32768, 65536 + 8, u32::MAX] {
        let refused = hypervisor.map_grant(two, one, wanted(reference, HOLE)).unwrap_err();
        assert_eq!(refused, grant::GNTST_BAD_GNTREF, "{reference}");
    }
    let grants = &one.pv.as_ref().unwrap().grants;
    assert!(grants.grow_to(FRAMES - 1) && !grants.grow_to(FRAMES));
    assert_eq!(grants.frames(), FRAMES);
    let refused = hypervisor.map_grant(two, one, wanted(32767, HOLE)).unwrap_err();
    assert_eq!(refused, grant::GNTST_GENERAL_ERROR);
    for handle in [0, 1023, 1024, 65536, u32::MAX] {
        assert_eq!(hypervisor.unmap_grant(two, handle, HOLE), Err(grant::GNTST_BAD_HANDLE));
    }
    write_entry(&system, (one, 8), (2, FIRST, READ_WRITE));
    for at in [1 << 40, 1 << 48, !0xfff] {
        let refused = hypervisor.map_grant(two, one, wanted(8, at)).unwrap_err();
        assert_eq!(refused, grant::GNTST_GENERAL_ERROR);
    }
    assert!(grants.is_unused());
}

#[test]
fn what_cannot_be_mapped_is_not_in_use() {
    let system = three();
    let (one, two) = (system.domain(1), system.domain(2));
    let hypervisor = system.hypervisor;
    let mappings = &two.pv.as_ref().unwrap().grants;
    write_entry(&system, (one, 8), (2, FIRST, READ_WRITE));
    let (host, _) = page(&system, one, FIRST).unwrap();
    let fails = || hypervisor.map_grant(two, one, wanted(8, 1 << 48)) == Err(grant::GNTST_GENERAL_ERROR);
    assert!(fails());
    assert_eq!((flags(&system, one, 8), mappings.mappings()), (READ_WRITE, 0));
    assert_eq!(page(&system, one, FIRST), Some((host, 1)));
    // One that reads stays one that reads.
    let reader = hypervisor.pin(one, 8, (two, COPY_READ)).unwrap();
    assert!(fails());
    assert_eq!((flags(&system, one, 8), mappings.mappings()), (READ_WRITE | grant::GTF_READING, 0));
    assert_eq!(page(&system, one, FIRST), Some((host, 3)), "the map's, the grant's and the reader's");
    drop(reader);
    assert_eq!((flags(&system, one, 8), page(&system, one, FIRST)), (READ_WRITE, Some((host, 1))));
    let (handle, _) = hypervisor.map_grant(two, one, wanted(8, HOLE)).unwrap();
    assert_eq!(handle, 2, "each that failed has had a handle");
}

/// A page that a guest's program writes its lists to.
const LIST: u64 = guest::RAM + 0x30_0000;

async fn call(cpu: &Cpu, command: u32, count: u64) -> i64 {
    hypercall(cpu, abi::hypercall::GRANT_TABLE_OP, &[u64::from(command), LIST, count]).await
}

async fn put(cpu: &Cpu, offset: u64, words: &[u32]) {
    store_words(cpu, LIST + offset, words).await;
}

/// Shows the grant tables to the guests, as they would do for themselves.
fn show_tables(system: &System) {
    for domain in &system.hypervisor.domains {
        system.hypervisor.show_page(domain, SharedPage::GrantTable(0), TABLE >> 12).unwrap();
    }
}

#[test]
fn a_guest_maps_a_long_list_and_each_element_has_its_own_result() {
    let mut system = three();
    show_tables(&system);
    for reference in (0..100).filter(|reference| reference % 7 != 3) {
        write_entry(&system, (system.domain(1), reference), (2, FIRST + u64::from(reference), READ_WRITE));
    }
    let notes = Journal::new();
    let journal = notes.clone();
    system.sim().guest(2, 0, move |cpu| {
        let journal = journal.clone();
        async move {
            for number in 0..100 {
                let at = (HOLE + u64::from(number) * PAGE) as u32;
                put(
                    &cpu,
                    u64::from(number) * 32,
                    &[at, 0, grant::GNTMAP_HOST_MAP, number, 1 | 0x5a5a << 16, 5000],
                )
                .await;
            }
            assert_eq!(call(&cpu, grant::GNTTABOP_MAP_GRANT_REF, 100).await, 0);
            let mut handles = Vec::new();
            for number in 0..100_u64 {
                let status = (cpu.read(LIST + number * 32 + 16).await >> 16) as u16 as i16;
                assert_eq!(status, if number % 7 == 3 { grant::GNTST_GENERAL_ERROR } else { 0 }, "{number}");
                handles.push(cpu.read(LIST + number * 32 + 20).await as u32);
                if status == 0 {
                    cpu.write(HOLE + number * PAGE, 1000 + number).await;
                }
            }
            journal.note(1);
            for (number, handle) in (0_u64..).zip(&handles) {
                put(&cpu, number * 24, &[(HOLE + number * PAGE) as u32, 0, 0, 0, *handle, 0x5a5a]).await;
            }
            assert_eq!(call(&cpu, grant::GNTTABOP_UNMAP_GRANT_REF, 100).await, 0);
            for number in 0..100_u64 {
                let status = cpu.read(LIST + number * 24 + 20).await as u16 as i16;
                assert_eq!(status == 0, number % 7 != 3, "{number}: {status}");
            }
            journal.note(2);
        }
    });
    system.start();
    system.until("both lists are served", |_| notes.len() == 2);
    let one = system.domain(1);
    for number in 0..100_u64 {
        let (host, _) = page(&system, one, FIRST + number).unwrap();
        let mut word = [0; 4];
        assert!(system.sim().peek(host, &mut word));
        assert_eq!(u32::from_le_bytes(word), if number % 7 == 3 { 0 } else { 1000 + number as u32 });
    }
}

/// Each end of a copy in all its kinds, after another copy in the same list that names the same domain rightly:
/// by frame number a guest reaches its own memory alone.
#[test]
fn no_copy_in_a_list_gets_rights_from_another_one() {
    let mut system = three();
    show_tables(&system);
    let one = system.domain(1);
    write_entry(&system, (one, 8), (2, FIRST, READ_WRITE));
    let marked = system.sim().frame_at(&one.map, (FIRST + 9) * PAGE).unwrap().0;
    system.sim().write_frame(&marked, 0, b"not to be read");
    let notes = Journal::new();
    let journal = notes.clone();
    system.sim().guest(2, 0, move |cpu| {
        let journal = journal.clone();
        async move {
            let own = (FIRST + 1) as u32;
            for kind in 0..16_u32 {
                let (source, dest) = (kind & 4 != 0, kind & 8 != 0);
                let id = |foreign: bool| if foreign { 1 } else { u32::from(abi::xen::DOMID_SELF) };
                // By reference 8 where the flag says so, which is the caller's bad one for itself.
                let what = |by_reference: bool, foreign: bool| match (by_reference, foreign) {
                    (true, _) => 8,
                    (false, true) => (FIRST + 9) as u32,
                    (false, false) => own,
                };
                let right = [8, 0, 1, 0, own, 0, u32::from(abi::xen::DOMID_SELF), 0, 16 | 1 << 16, 0x5a5a];
                let tried = [
                    what(kind & 1 != 0, source),
                    0,
                    id(source),
                    0,
                    what(kind & 2 != 0, dest),
                    0,
                    id(dest),
                    0,
                    16 | (kind & 3) << 16,
                    0x5a5a,
                ];
                put(&cpu, 0, &right).await;
                put(&cpu, 40, &tried).await;
                assert_eq!(call(&cpu, grant::GNTTABOP_COPY, 2).await, 0);
                let first = cpu.read(LIST + 36).await as u16 as i16;
                let second = cpu.read(LIST + 76).await as u16 as i16;
                let foreign_frame = source && kind & 1 == 0 || dest && kind & 2 == 0;
                let bad_reference = !source && kind & 1 != 0 || !dest && kind & 2 != 0;
                let expected = match (foreign_frame, bad_reference) {
                    (true, _) => grant::GNTST_PERMISSION_DENIED,
                    (false, true) => grant::GNTST_GENERAL_ERROR,
                    (false, false) => grant::GNTST_OKAY,
                };
                journal.note((kind, first, second, expected));
            }
        }
    });
    system.start();
    system.until("all are tried", |_| notes.len() == 16);
    for (kind, first, second, expected) in notes.all() {
        assert_eq!((first, second), (grant::GNTST_OKAY, expected), "{kind:#06b}");
    }
    let mut bytes = [0; 14];
    system.sim().read_frame(&marked, 0, &mut bytes);
    assert_eq!(&bytes, b"not to be read");
}

#[test]
fn domains_that_must_not_talk_do_not_reach_each_others_grants() {
    let mut system = Setup::new(1, &[1, 1]).enhanced().construct();
    write_entry(&system, (system.domain(1), 8), (2, FIRST, READ_WRITE));
    let notes = Journal::new();
    let journal = notes.clone();
    system.sim().guest(2, 0, move |cpu| {
        let journal = journal.clone();
        async move {
            put(&cpu, 0, &[HOLE as u32, 0, grant::GNTMAP_HOST_MAP, 8, 1]).await;
            call(&cpu, grant::GNTTABOP_MAP_GRANT_REF, 1).await;
            journal.note((cpu.read(LIST + 16).await >> 16) as u16 as i16);
            let own = (FIRST + 1) as u32;
            put(&cpu, 0, &[8, 0, 1, 0, own, 0, u32::from(abi::xen::DOMID_SELF), 0, 16 | 1 << 16, 0]).await;
            call(&cpu, grant::GNTTABOP_COPY, 1).await;
            journal.note(cpu.read(LIST + 36).await as u16 as i16);
        }
    });
    system.start();
    system.until("both are refused", |_| notes.len() == 2);
    assert_eq!(notes.all(), [grant::GNTST_PERMISSION_DENIED; 2]);
    assert_eq!(flags(&system, system.domain(1), 8), READ_WRITE);
}

/// What a random story does with grants.
struct Story {
    system: System,
    random: Random,
    /// Handles of each domain, by domain and handle: where.
    handles: BTreeMap<(u16, u32), u64>,
    /// Pages that a domain has given back, by domain and number.
    lost: BTreeSet<(u16, u64)>,
}

const STORY_PAGES: u64 = 6;
const STORY_REFERENCES: u64 = 5;

impl Story {
    fn step(&mut self) {
        let one = self.random.below(3) as u16 + 1;
        let other = self.random.below(3) as u16 + 1;
        let (granter, mapper) = (self.system.domain(one), self.system.domain(other));
        let reference = self.random.below(STORY_REFERENCES) as u32;
        let number = FIRST + self.random.below(STORY_PAGES);
        let at = HOLE + self.random.below(8) * PAGE;
        let hypervisor = self.system.hypervisor;
        match self.random.below(10) {
            0 | 1 => {
                let to = self.random.below(3) as u16 + 1;
                let flags = self.random.pick(&[READ_WRITE, READ_WRITE, READ_ONLY, 0, 2, 0xffff]);
                write_entry(&self.system, (granter, reference), (to, number, flags));
            }
            2 | 3 => {
                let want = Wanted { reference, at, writable: self.random.chance(2) };
                if let Ok((handle, _)) = hypervisor.map_grant(mapper, granter, want) {
                    let before = self.handles.insert((other, handle), at);
                    assert_eq!(before, None, "a handle is given out twice");
                }
            }
            4 | 5 => {
                let known = self.handles.iter().find(|((by, _), _)| *by == other);
                let Some(((_, handle), at)) = known else { return };
                let (handle, right) = (*handle, *at);
                let at = if self.random.chance(4) { HOLE + self.random.below(9) * PAGE } else { right };
                match hypervisor.unmap_grant(mapper, handle, at) {
                    Ok(()) => drop(self.handles.remove(&(other, handle))),
                    Err(error) => assert_eq!(error, grant::GNTST_GENERAL_ERROR),
                }
            }
            6 => self.copy(granter, mapper, reference),
            // The granting domain gives a page back, or gets another one.
            7 if self.lost.insert((one, number)) => {
                let _ = self.system.sim().hide(&granter.map, number * PAGE).unwrap();
            }
            7 => {
                self.lost.remove(&(one, number));
                let frame = self.system.sim().frames().take(one, 0).unwrap().next().unwrap();
                let shown = self.system.sim().show(&granter.map, number * PAGE, Showing::Ram(frame), true);
                assert!(shown.unwrap().is_none());
            }
            // What is mapped goes by another way.
            8 => {
                let _ = self.system.sim().hide(&mapper.map, at).unwrap();
            }
            _ => {
                let others = (reference, self.random.below(STORY_REFERENCES) as u32);
                let _ = hypervisor.swap_grants(granter, others);
            }
        }
    }

    fn copy(&mut self, granter: &'static Domain<Sim>, by: &Domain<Sim>, reference: u32) {
        let how = Use { way: Way::Copy, write: self.random.chance(2) };
        let Ok(pin) = self.system.hypervisor.pin(granter, reference, (by, how)) else { return };
        // Meanwhile anything may happen.
        for _ in 0..self.random.below(3) {
            self.step();
        }
        assert!(pin.frame.count() >= 1);
    }
}

#[test]
fn whatever_happens_to_grants_every_frame_is_free_in_the_end() {
    for seed in 0..40 {
        let system = three();
        let frames = system.sim().frames();
        let free = frames.free_frames();
        let mut story =
            Story { system, random: Random(seed), handles: BTreeMap::new(), lost: BTreeSet::new() };
        on_processor(0, || {
            for _ in 0..400 {
                story.step();
                // A page that is shown by a grant is held by that grant.
                for id in 1..4 {
                    let domain = story.system.domain(id);
                    for place in 0..9 {
                        let shown = story.system.sim().frame_at(&domain.map, HOLE + place * PAGE);
                        if let Some((frame, kind, _)) = shown {
                            assert_eq!(kind, Kind::Granted);
                            assert!(frame.count() >= 2, "a granted page is shown that nobody holds");
                        }
                    }
                }
            }
            for id in [2, 1, 3] {
                while !story.system.hypervisor.relinquish_grants(story.system.domain(id), 3) {}
            }
        });
        let lost = story.lost.len() as u64;
        assert_eq!(frames.free_frames(), free + lost, "seed {seed}");
        for id in 1..4 {
            let domain = story.system.domain(id);
            let grants = &domain.pv.as_ref().unwrap().grants;
            assert!(grants.is_unused() && grants.mappings() == 0, "seed {seed}");
            for number in FIRST..FIRST + STORY_PAGES {
                let count = page(&story.system, domain, number).map(|(_, count)| count);
                let expected = (!story.lost.contains(&(id, number))).then_some(1);
                assert_eq!(count, expected, "seed {seed}: d{id} {number:#x}");
            }
        }
    }
}

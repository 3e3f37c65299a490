//! Trees damaged at random are refused or planned, and never stop the hypervisor.

use plan::fdt::Fdt;

use crate::world::{KERNEL_BYTES, Node, VIRT_GICV2, VIRT_GICV3, World, domain, kernel_node};

/// Marsaglia's xorshift64: the same damage on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Changes one to six bytes; sometimes cuts the end off.
fn damage(blob: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(6) {
        let at = random.below(blob.len());
        blob[at] = match random.below(4) {
            0 => 0,
            1 => 0xff,
            2 => blob[at] ^ (1 << random.below(8)),
            _ => random.next() as u8,
        };
    }
    if random.below(16) == 0 {
        blob.truncate(random.below(blob.len()));
    }
}

fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for blob in [VIRT_GICV3, VIRT_GICV2] {
        let mut world = World::new(blob);
        world.reservations.push((0x6000_0000, 0x1000));
        world.command_line("console=dtuart dtuart=serial0 noreboot sched=null loglvl=all");
        world.add(domain("domU1", 131_072, 2).texts("xen,enhanced", &["no-xenstore"]));
        world.add(domain("domU2", 131_072, 3).numbers("xen,static-mem", &[0x6800_0000, 0x800_0000]));
        worlds.push(world.clone());
        // The same with dom0, and the bus of a real board.
        let bus = Node::new("bus@b000000").texts("compatible", &["simple-bus"]).cells("#address-cells", &[1]);
        let bus = bus.cells("#size-cells", &[1]).cells("ranges", &[0, 0, 0x0b00_0000, 0x10_0000]);
        let device = Node::new("device@1000").cells("reg", &[0x1000, 0x1000]);
        let device = device.cells("interrupts-extended", &[0x8003, 0, 60, 1, 0x8004, 0]);
        let kept = Node::new("kept@2000").cells("reg", &[0x2000, 0x1000]).bytes("xen,passthrough", &[]);
        world.tree.children.push(bus.child(device).child(kept));
        world.add(kernel_node(0x5000_0000, KERNEL_BYTES));
        world.command_line("console=dtuart dtuart=serial0 dom0_mem=128M,max:1G dom0_max_vcpus=1-4");
        worlds.push(world);
    }
    worlds
}

#[test]
fn no_damage_to_a_tree_stops_the_reader() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let worlds: Vec<(World, Vec<u8>)> =
        worlds().into_iter().map(|world| (world.clone(), world.blob())).collect();
    let (mut refused, mut planned) = (0, 0);
    for round in 0..20_000 {
        let (world, blob) = &worlds[round % worlds.len()];
        let mut blob = blob.clone();
        damage(&mut blob, &mut random);
        // A console may be found where the rest is refused, or not; it must only return.
        let _ = plan::console(&blob);
        match world.read_blob(&blob) {
            Ok(plan) => {
                planned += 1;
                assert!(plan.domains.iter().all(|domain| Fdt::open(&domain.tree).is_ok()));
            }
            Err(refusals) => {
                refused += 1;
                assert!(!refusals.is_empty());
                assert!(
                    crate::world::words(&refusals).chars().all(|c| c == '\n' || (' '..='~').contains(&c))
                );
            }
        }
    }
    // Both happen often, or the damage tests nothing.
    assert!(refused > 2_000 && planned > 2_000, "{refused} refused, {planned} planned");
}

#[test]
fn every_truncation_is_refused() {
    let world = World::with_a_domain();
    let blob = world.blob();
    for length in 0..blob.len() {
        let refusals = world.read_blob(&blob[..length]).expect_err("a part is no tree");
        assert_eq!(refusals.len(), 1);
        assert!(refusals[0].to_string().starts_with("device tree: byte 0x"));
    }
}

#[test]
fn no_extreme_word_stops_the_reader() {
    // Cells are where the meaning is: each word of the structure becomes extreme in turn.
    for world in worlds() {
        let blob = world.blob();
        for at in (0..blob.len() - 4).step_by(4) {
            for word in [0, 1, 3, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
                let mut blob = blob.clone();
                blob[at..at + 4].copy_from_slice(&u32::to_be_bytes(word));
                let _ = world.read_blob(&blob);
            }
        }
    }
}

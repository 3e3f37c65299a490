//! Boot on the board. Nothing is taken before the whole tree has been read and found good.
#![expect(unsafe_code, reason = "the symbol that the entry code calls")]

extern crate alloc;

use alloc::boxed::Box;

use hypervisor::construct::construct;
use hypervisor::hypervisor::{Hypervisor, Level};
use hypervisor::sizes::sizes;
use machine::arm64::{self, Board, Boot, Taken};
use machine::contract::Machine;
use plan::gzip::Inflater;
use plan::{Input, Plan, Sizes};

const _: () = assert!(
    sizes::<Board>().fit(&Sizes::BUILT),
    "the hypervisor's objects have outgrown what the plan reckons with: raise plan::Sizes::BUILT"
);

#[unsafe(no_mangle)]
fn xenite_start(boot: Boot) -> ! {
    let (tree_at, tree) = match boot.device_tree() {
        Ok(tree) => tree,
        Err(_) => boot.stop(),
    };
    if let Some(uart) = plan::console(tree) {
        boot.open_console(uart);
    }
    boot.say(format_args!("(XEN) {}", plan::BANNER));
    if boot.level() != 2 {
        boot.say(format_args!("(XEN) entered at EL{}, but a hypervisor needs EL2", boot.level()));
        boot.say(format_args!("(XEN)   hint: with QEMU, -machine virt,virtualization=on"));
        boot.stop();
    }
    let image = boot.image();
    let facts = boot.facts(tree);
    let plan = match plan::read(&Input { tree, tree_at, image, modules: &boot, facts }) {
        Ok(plan) => plan,
        Err(refusals) => refuse(&boot, &refusals),
    };
    arm64::set_noreboot(plan.options.noreboot);
    let account = (image, plan::fingerprint(&plan, image));
    plan::account(&plan, account, |line| boot.say(format_args!("(XEN) {line}")));
    // In the memory of planning, as the plan.
    let unpacker = plan.domains.iter().any(|domain| domain.kernel.gzip).then(Inflater::new);
    match boot.take(&plan, tree_at) {
        Ok(taken) => run((taken, unpacker), plan, account),
        Err(words) => arm64::stop(format_args!("(XEN) Boot stops: {words}")),
    }
}

fn refuse(boot: &Boot, refusals: &[plan::Refusal]) -> ! {
    for refusal in refusals {
        boot.say(format_args!("(XEN) refused: {refusal}"));
    }
    boot.say(format_args!("(XEN) Boot stops: {} errors, and no guest has run", refusals.len()));
    boot.stop()
}

/// Says again what boot has said, for those who read the console's history.
fn remember(hypervisor: &Hypervisor<Board>, plan: &Plan, account: (plan::Range, u64)) {
    let mut console = hypervisor.console();
    console.remember(format_args!("{}", plan::BANNER));
    plan::account(plan, account, |line| console.remember(line));
}

fn run((taken, unpacker): (Taken, Option<Inflater>), plan: Plan, account: (plan::Range, u64)) -> ! {
    let Taken { board, frames, planning } = taken;
    let hypervisor: &'static Hypervisor<Board> = match construct(board, (frames, unpacker), &plan) {
        Ok(hypervisor) => Box::leak(Box::new(hypervisor)),
        Err(failure) => arm64::stop(format_args!("(XEN) Boot stops: {failure}")),
    };
    let processors = Box::leak(Box::new(|cpu| hypervisor.run(cpu)));
    hypervisor.machine.start_processors(processors, |cpu, why| {
        let pool = plan.pools.iter().find(|pool| pool.cpus.contains(&cpu) && !pool.path.is_empty());
        if let Some(pool) = pool {
            // Its owner counts on it.
            arm64::stop(format_args!(
                "(XEN) Boot stops: processor {cpu} of {} does not start: {why}",
                pool.path
            ));
        }
        hypervisor.leave_out(cpu);
        hypervisor.say(Level::Error, format_args!("processor {cpu} does not start: {why}"));
    });
    let frames = hypervisor.machine.frames();
    let sealed = arm64::show_ram(frames).and_then(|()| {
        remember(hypervisor, &plan, account);
        hypervisor.prepare_domains(&plan);
        if plan.board.uart.is_some_and(|uart| uart.interrupt.is_some()) {
            hypervisor.console().use_interrupts();
        }
        drop(plan);
        arm64::seal(frames, planning)
    });
    if let Err(words) = sealed {
        arm64::stop(format_args!("(XEN) Boot stops: {words}"));
    }
    hypervisor.start_domains();
    hypervisor.run(0);
    arm64::stop(format_args!("(XEN) the loop has ended"))
}

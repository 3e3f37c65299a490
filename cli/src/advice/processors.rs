//! Processors: more virtual ones in a domain than there are real ones.

use plan::Plan;

use super::Domain;
use crate::remark::{Level, Remark};

pub(super) fn advise(domains: &[Domain<'_>], plan: Option<&Plan>, remarks: &mut Vec<Remark>) {
    let Some(plan) = plan else { return };
    let real = plan.board.cpus.len();
    for domain in domains {
        let vcpus = domain.node.property("cpus").and_then(|value| value.u32()).unwrap_or(0);
        if usize::try_from(vcpus).is_ok_and(|vcpus| vcpus > real) {
            let reason =
                format!("cpus is {vcpus}, and the board has {real} processors: they wait for each other");
            let hint = format!("cpus = <{real}>; is as fast");
            remarks.push(Remark::new(Level::Warning, &domain.path, "cpus", reason).hint(hint));
        }
    }
}

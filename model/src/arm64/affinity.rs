//! Which vCPU has which affinity: 16 vCPUs to a cluster, because the target list of a GICv3 SGI has
//! 16 bits. Aff0 is the vCPU's number in its cluster, Aff1 is the cluster, Aff2 and Aff3 are zero.

use crate::bits::low_u32;

/// The most vCPUs that a domain may have.
pub const VCPUS: usize = 128;

/// The affinity fields of MPIDR_EL1: Aff3 39:32, Aff2 23:16, Aff1 15:8, Aff0 7:0.
const FIELDS: u64 = 0xff_00ff_ffff;

/// The affinity of a vCPU as the fields lie in MPIDR_EL1; also the `reg` of its device tree node.
pub fn of_vcpu(vcpu: usize) -> u64 {
    let vcpu = u64::try_from(vcpu).unwrap_or(0);
    ((vcpu & 0x7f) >> 4) << 8 | vcpu & 0xf
}

/// The value of VMPIDR_EL2 for a vCPU: its affinity, and bit 31, which is always set.
pub fn mpidr(vcpu: usize) -> u64 {
    1 << 31 | of_vcpu(vcpu)
}

/// The affinity of a vCPU in 32 bits, Aff3 first, as GICR_TYPER has it in its upper half.
pub fn packed(vcpu: usize) -> u32 {
    low_u32(of_vcpu(vcpu))
}

/// The vCPU with this affinity (fields as in MPIDR_EL1, other bits ignored), if the domain has it.
pub fn vcpu(affinity: u64, vcpus: usize) -> Option<usize> {
    let fields = affinity & FIELDS;
    if fields & !0xff0f != 0 {
        return None;
    }
    let number = usize::try_from(fields >> 4 & 0xff0 | fields & 0xf).ok()?;
    (number < vcpus).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vcpu_is_found_by_its_affinity() {
        for number in 0..VCPUS {
            assert_eq!(vcpu(of_vcpu(number), VCPUS), Some(number));
            assert_eq!(vcpu(mpidr(number), VCPUS), Some(number));
        }
        assert_eq!(of_vcpu(17), 0x101);
        assert_eq!(mpidr(127), 0x8000_070f);
        assert_eq!(packed(35), 0x203);
    }

    #[test]
    fn an_affinity_that_the_domain_lacks_has_no_vcpu() {
        assert_eq!(vcpu(of_vcpu(4), 4), None);
        assert_eq!(vcpu(0x10, VCPUS), None);
        assert_eq!(vcpu(0x1_0000, VCPUS), None);
        assert_eq!(vcpu(0x1_0000_0000, VCPUS), None);
        assert_eq!(vcpu(u64::MAX, VCPUS), None);
        assert_eq!(vcpu(0xff00, VCPUS), None);
    }
}

//! The processor's identification registers (Arm ARM D17.2, op0 = 3, op1 = 0, CRn = 0).
#![expect(unsafe_code, reason = "reads system registers")]

use model::arm64::SystemRegister;

use super::system::read;

/// One arm for each register of the space: a register's encoding is part of the instruction.
macro_rules! space {
    ($register:expr; $($m:literal),*) => {
        match ($register.bits() >> 3 & 15, $register.bits() & 7) {
            $(($m, 0) => read!(concat!("s3_0_c0_c", $m, "_0")),
              ($m, 1) => read!(concat!("s3_0_c0_c", $m, "_1")),
              ($m, 2) => read!(concat!("s3_0_c0_c", $m, "_2")),
              ($m, 3) => read!(concat!("s3_0_c0_c", $m, "_3")),
              ($m, 4) => read!(concat!("s3_0_c0_c", $m, "_4")),
              ($m, 5) => read!(concat!("s3_0_c0_c", $m, "_5")),
              ($m, 6) => read!(concat!("s3_0_c0_c", $m, "_6")),
              ($m, 7) => read!(concat!("s3_0_c0_c", $m, "_7")),)*
            _ => 0,
        }
    };
}

/// The value of one of them; 0 for any other register.
pub(crate) fn read(register: SystemRegister) -> u64 {
    space!(register; 1, 2, 3, 4, 5, 6, 7)
}

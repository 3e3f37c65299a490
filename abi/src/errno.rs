//! `public/errno.h`: the error numbers of hypercalls.

/// A hypercall's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Errno {
    /// `XEN_EPERM`: not allowed to the caller.
    Perm = 1,
    /// `XEN_ENOENT`: there is no such thing.
    NoEnt = 2,
    /// `XEN_ESRCH`: there is no such domain.
    Srch = 3,
    /// `XEN_EAGAIN`: try again.
    Again = 11,
    /// `XEN_ENOMEM`: no memory.
    NoMem = 12,
    /// `XEN_EACCES`: wrong interface version.
    Acces = 13,
    /// `XEN_EFAULT`: a guest address that cannot be reached.
    Fault = 14,
    /// `XEN_EBUSY`: in use.
    Busy = 16,
    /// `XEN_EEXIST`: it is there already.
    Exist = 17,
    /// `XEN_EINVAL`: an argument makes no sense.
    Inval = 22,
    /// `XEN_ENOSPC`: no room.
    NoSpc = 28,
    /// `XEN_ENOSYS`: there is no such operation.
    NoSys = 38,
    /// `XEN_EOPNOTSUPP`: the operation is not supported.
    OpNotSupp = 95,
}

impl Errno {
    /// The number, as the header has it: positive.
    pub fn number(self) -> u8 {
        match self {
            Errno::Perm => 1,
            Errno::NoEnt => 2,
            Errno::Srch => 3,
            Errno::Again => 11,
            Errno::NoMem => 12,
            Errno::Acces => 13,
            Errno::Fault => 14,
            Errno::Busy => 16,
            Errno::Exist => 17,
            Errno::Inval => 22,
            Errno::NoSpc => 28,
            Errno::NoSys => 38,
            Errno::OpNotSupp => 95,
        }
    }

    /// What a hypercall returns for it: the negated number.
    pub fn result(self) -> u64 {
        u64::from(self.number()).wrapping_neg()
    }
}

//! `public/errno.h`: the error numbers of hypercalls.

use crate::layout::{Constant, Value, View};

/// Makes the enumeration, its numbers and the table of them.
macro_rules! errors {
    ($($(#[$about:meta])* $name:ident as $c:literal = $number:literal,)*) => {
        /// A hypercall's error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        // As wide as a result, so that a result or an error passes in two registers.
        #[repr(u64)]
        pub enum Errno {
            $($(#[$about])* $name = $number,)*
        }

        impl Errno {
            /// The number, as the header has it: positive.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self {
                    $(Errno::$name => $number,)*
                }
            }
        }

        /// The table of this module's constants.
        pub const CONSTANTS: &[Constant] = &[
            $(Constant { name: $c, value: Value::U8(Errno::$name.number()), view: View::Both },)*
        ];
    };
}

errors! {
    /// `XEN_EPERM`: not allowed to the caller.
    Perm as "XEN_EPERM" = 1,
    /// `XEN_ENOENT`: there is no such thing.
    NoEnt as "XEN_ENOENT" = 2,
    /// `XEN_ESRCH`: there is no such domain.
    Srch as "XEN_ESRCH" = 3,
    /// `XEN_EINTR`: interrupted. Hypervisors' own; no guest sees it.
    Intr as "XEN_EINTR" = 4,
    /// `XEN_EIO`: a device failed.
    Io as "XEN_EIO" = 5,
    /// `XEN_ENXIO`: there is no such device or address.
    NxIo as "XEN_ENXIO" = 6,
    /// `XEN_E2BIG`: an argument is too large.
    TooBig as "XEN_E2BIG" = 7,
    /// `XEN_ENOEXEC`: this cannot be executed.
    NoExec as "XEN_ENOEXEC" = 8,
    /// `XEN_EBADF`: there is no such open thing.
    BadF as "XEN_EBADF" = 9,
    /// `XEN_ECHILD`: nothing to wait for.
    Child as "XEN_ECHILD" = 10,
    /// `XEN_EAGAIN`: try again.
    Again as "XEN_EAGAIN" = 11,
    /// `XEN_ENOMEM`: no memory.
    NoMem as "XEN_ENOMEM" = 12,
    /// `XEN_EACCES`: wrong interface version.
    Acces as "XEN_EACCES" = 13,
    /// `XEN_EFAULT`: a guest address that cannot be reached.
    Fault as "XEN_EFAULT" = 14,
    /// `XEN_EBUSY`: in use.
    Busy as "XEN_EBUSY" = 16,
    /// `XEN_EEXIST`: it is there already.
    Exist as "XEN_EEXIST" = 17,
    /// `XEN_EXDEV`: it belongs to another one.
    XDev as "XEN_EXDEV" = 18,
    /// `XEN_ENODEV`: there is no such device.
    NoDev as "XEN_ENODEV" = 19,
    /// `XEN_ENOTDIR`: it is no directory.
    NotDir as "XEN_ENOTDIR" = 20,
    /// `XEN_EISDIR`: it is a directory.
    IsDir as "XEN_EISDIR" = 21,
    /// `XEN_EINVAL`: an argument makes no sense.
    Inval as "XEN_EINVAL" = 22,
    /// `XEN_ENFILE`: no more of these for all.
    NFile as "XEN_ENFILE" = 23,
    /// `XEN_EMFILE`: no more of these for the caller.
    MFile as "XEN_EMFILE" = 24,
    /// `XEN_ENOSPC`: no room.
    NoSpc as "XEN_ENOSPC" = 28,
    /// `XEN_EROFS`: it cannot be written.
    RoFs as "XEN_EROFS" = 30,
    /// `XEN_EMLINK`: too many refer to it.
    MLink as "XEN_EMLINK" = 31,
    /// `XEN_EDOM`: an argument is out of its domain.
    Dom as "XEN_EDOM" = 33,
    /// `XEN_ERANGE`: a result cannot be told.
    Range as "XEN_ERANGE" = 34,
    /// `XEN_EDEADLK`: nobody could go on.
    DeadLk as "XEN_EDEADLK" = 35,
    /// `XEN_ENAMETOOLONG`: a name is too long.
    NameTooLong as "XEN_ENAMETOOLONG" = 36,
    /// `XEN_ENOLCK`: no more locks.
    NoLck as "XEN_ENOLCK" = 37,
    /// `XEN_ENOSYS`: there is no such operation.
    NoSys as "XEN_ENOSYS" = 38,
    /// `XEN_ENOTEMPTY`: something is left in it.
    NotEmpty as "XEN_ENOTEMPTY" = 39,
    /// `XEN_ENODATA`: there is nothing to tell.
    NoData as "XEN_ENODATA" = 61,
    /// `XEN_ETIME`: the time is past.
    Time as "XEN_ETIME" = 62,
    /// `XEN_EBADMSG`: it is garbled.
    BadMsg as "XEN_EBADMSG" = 74,
    /// `XEN_EOVERFLOW`: a value is too large for its place.
    Overflow as "XEN_EOVERFLOW" = 75,
    /// `XEN_EILSEQ`: bytes that are no text.
    IlSeq as "XEN_EILSEQ" = 84,
    /// `XEN_ERESTART`: to be called again. The hypervisor's own; no guest sees it.
    Restart as "XEN_ERESTART" = 85,
    /// `XEN_ENOTSOCK`: it is no socket.
    NotSock as "XEN_ENOTSOCK" = 88,
    /// `XEN_EMSGSIZE`: the message is too long.
    MsgSize as "XEN_EMSGSIZE" = 90,
    /// `XEN_EOPNOTSUPP`: the operation is not supported.
    OpNotSupp as "XEN_EOPNOTSUPP" = 95,
    /// `XEN_EADDRINUSE`: somebody else has it.
    AddrInUse as "XEN_EADDRINUSE" = 98,
    /// `XEN_EADDRNOTAVAIL`: the address is not to be had.
    AddrNotAvail as "XEN_EADDRNOTAVAIL" = 99,
    /// `XEN_ENOBUFS`: the buffer is too small.
    NoBufs as "XEN_ENOBUFS" = 105,
    /// `XEN_EISCONN`: it is connected already.
    IsConn as "XEN_EISCONN" = 106,
    /// `XEN_ENOTCONN`: it is not connected.
    NotConn as "XEN_ENOTCONN" = 107,
    /// `XEN_ETIMEDOUT`: it took too long.
    TimedOut as "XEN_ETIMEDOUT" = 110,
    /// `XEN_ECONNREFUSED`: the other one does not want to.
    ConnRefused as "XEN_ECONNREFUSED" = 111,
}

impl Errno {
    /// What a hypercall returns for it: the negated number.
    #[must_use]
    pub fn result(self) -> u64 {
        u64::from(self.number()).wrapping_neg()
    }
}

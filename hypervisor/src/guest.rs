//! What a guest passes by address: copied in as a value, copied out as bytes.
//!
//! A hypercall's buffers are where the calling vCPU has them by its own translation. A [`Handle`] is only an
//! allegation of that; what can fail here is `EFAULT`, and a handler has all that it wants to read before it
//! acts.

use abi::errno::Errno;
use abi::layout::{Handle, Layout};
use machine::contract::Machine;

use crate::cpu::Current;
use crate::hypervisor::Hypervisor;

impl<M: Machine> Hypervisor<M> {
    /// The value that the calling guest has there.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read<T: Layout>(&self, current: &Current<'_, M>, handle: Handle<T>) -> Result<T, Errno> {
        let mut bytes = T::zeroed();
        self.read_bytes(current, handle.address(), bytes.as_mut())?;
        Ok(T::from_bytes(&bytes))
    }

    /// The same where it is called, for what is done very often.
    ///
    /// # Errors
    /// `EFAULT`.
    #[inline(always)]
    pub fn read_often<T: Layout>(&self, current: &Current<'_, M>, handle: Handle<T>) -> Result<T, Errno> {
        let mut bytes = T::zeroed();
        let of = (&current.state.registers, &current.domain.map);
        let read = self.machine.read_guest::<true>(of, handle.address(), bytes.as_mut());
        if read { Ok(T::from_bytes(&bytes)) } else { Err(Errno::Fault) }
    }

    /// Gives the calling guest a value.
    ///
    /// # Errors
    /// `EFAULT`; some of it may have been written.
    pub fn write<T: Layout>(
        &self,
        current: &Current<'_, M>,
        handle: Handle<T>,
        value: &T,
    ) -> Result<(), Errno> {
        self.write_bytes(current, handle.address(), value.to_bytes().as_ref())
    }

    /// The same where it is called, for what is done very often, and from the byte `FROM` of the value on.
    ///
    /// # Errors
    /// `EFAULT`; some of it may have been written.
    #[inline(always)]
    pub fn write_from<T: Layout, const FROM: usize>(
        &self,
        current: &Current<'_, M>,
        handle: Handle<T>,
        value: &T,
    ) -> Result<(), Errno> {
        let of = (&current.state.registers, &current.domain.map);
        let at = handle.address().wrapping_add(u64::try_from(FROM).unwrap_or(0));
        let bytes = value.to_bytes();
        let written = self.machine.write_guest::<true>(of, at, bytes.as_ref().get(FROM..).unwrap_or(&[]));
        if written { Ok(()) } else { Err(Errno::Fault) }
    }

    /// One value of an array that the calling guest has there.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read_element<T: Layout>(
        &self,
        current: &Current<'_, M>,
        handle: Handle<T>,
        index: u64,
    ) -> Result<T, Errno> {
        self.read(current, handle.element(index).ok_or(Errno::Fault)?)
    }

    /// Gives the calling guest one value of an array.
    ///
    /// # Errors
    /// `EFAULT`; some of it may have been written.
    pub fn write_element<T: Layout>(
        &self,
        current: &Current<'_, M>,
        (handle, index): (Handle<T>, u64),
        value: &T,
    ) -> Result<(), Errno> {
        self.write(current, handle.element(index).ok_or(Errno::Fault)?, value)
    }

    /// Bytes that the calling guest has there.
    ///
    /// # Errors
    /// `EFAULT`.
    #[inline(never)]
    pub fn read_bytes(&self, current: &Current<'_, M>, address: u64, into: &mut [u8]) -> Result<(), Errno> {
        let of = (&current.state.registers, &current.domain.map);
        let read = self.machine.read_guest::<false>(of, address, into);
        if read { Ok(()) } else { Err(Errno::Fault) }
    }

    /// Gives the calling guest bytes.
    ///
    /// # Errors
    /// `EFAULT`; some of them may have been written.
    #[inline(never)]
    pub fn write_bytes(&self, current: &Current<'_, M>, address: u64, from: &[u8]) -> Result<(), Errno> {
        let of = (&current.state.registers, &current.domain.map);
        let written = self.machine.write_guest::<false>(of, address, from);
        if written { Ok(()) } else { Err(Errno::Fault) }
    }
}

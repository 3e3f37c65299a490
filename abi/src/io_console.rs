//! `public/io/console.h`: the page of a paravirtual console: two rings of bytes, whose indexes run on and are taken
//! modulo the ring's size.

use crate::layout::constants;

constants! {
    /// `offsetof(struct xencons_interface, in)`: bytes that were typed.
    pub XENCONS_IN as "offsetof(struct xencons_interface, in)": usize = 0;
    /// `sizeof(((struct xencons_interface *)0)->in)`: a power of two.
    pub XENCONS_IN_SIZE as "sizeof(((struct xencons_interface *)0)->in)": usize = 1024;
    /// `offsetof(struct xencons_interface, out)`: bytes that the guest prints.
    pub XENCONS_OUT as "offsetof(struct xencons_interface, out)": usize = 1024;
    /// `sizeof(((struct xencons_interface *)0)->out)`: a power of two.
    pub XENCONS_OUT_SIZE as "sizeof(((struct xencons_interface *)0)->out)": usize = 2048;
    /// `offsetof(struct xencons_interface, in_cons)`: the guest has read up to here.
    pub XENCONS_IN_CONS as "offsetof(struct xencons_interface, in_cons)": usize = 3072;
    /// `offsetof(struct xencons_interface, in_prod)`: it may read up to here.
    pub XENCONS_IN_PROD as "offsetof(struct xencons_interface, in_prod)": usize = 3076;
    /// `offsetof(struct xencons_interface, out_cons)`: the console has read up to here.
    pub XENCONS_OUT_CONS as "offsetof(struct xencons_interface, out_cons)": usize = 3080;
    /// `offsetof(struct xencons_interface, out_prod)`: it may read up to here.
    pub XENCONS_OUT_PROD as "offsetof(struct xencons_interface, out_prod)": usize = 3084;
    /// `sizeof(struct xencons_interface)`: bytes in use.
    pub XENCONS_INTERFACE_SIZE as "sizeof(struct xencons_interface)": usize = 3088;
}

//! `public/xsm/flask_op.h`: the security module FLASK, as its tools ask for it. There is none; the frame is what one
//! must know to say so.

use crate::layout::{Handle, constants, layout};

constants! {
    /// `XEN_FLASK_INTERFACE_VERSION`: the version that callers must speak.
    pub XEN_FLASK_INTERFACE_VERSION: u32 = 1;
    /// `FLASK_LOAD`: a policy.
    pub FLASK_LOAD: u32 = 1;
    /// `FLASK_GETENFORCE`: whether it is enforced.
    pub FLASK_GETENFORCE: u32 = 2;
    /// `FLASK_SETENFORCE`: enforces it or not.
    pub FLASK_SETENFORCE: u32 = 3;
    /// `FLASK_CONTEXT_TO_SID`: a label's number.
    pub FLASK_CONTEXT_TO_SID: u32 = 4;
    /// `FLASK_SID_TO_CONTEXT`: a number's label.
    pub FLASK_SID_TO_CONTEXT: u32 = 5;
    /// `FLASK_ACCESS`: what is allowed.
    pub FLASK_ACCESS: u32 = 6;
    /// `FLASK_CREATE`: the label of something new.
    pub FLASK_CREATE: u32 = 7;
    /// `FLASK_RELABEL`: a new label.
    pub FLASK_RELABEL: u32 = 8;
    /// `FLASK_USER`: no more.
    pub FLASK_USER: u32 = 9;
    /// `FLASK_POLICYVERS`: the policy's version.
    pub FLASK_POLICYVERS: u32 = 10;
    /// `FLASK_GETBOOL`: a switch.
    pub FLASK_GETBOOL: u32 = 11;
    /// `FLASK_SETBOOL`: a switch.
    pub FLASK_SETBOOL: u32 = 12;
    /// `FLASK_COMMITBOOLS`: the switches become valid.
    pub FLASK_COMMITBOOLS: u32 = 13;
    /// `FLASK_MLS`: whether there are levels.
    pub FLASK_MLS: u32 = 14;
    /// `FLASK_DISABLE`: no more FLASK.
    pub FLASK_DISABLE: u32 = 15;
    /// `FLASK_GETAVC_THRESHOLD`: of the cache.
    pub FLASK_GETAVC_THRESHOLD: u32 = 16;
    /// `FLASK_SETAVC_THRESHOLD`: of the cache.
    pub FLASK_SETAVC_THRESHOLD: u32 = 17;
    /// `FLASK_AVC_HASHSTATS`: of the cache.
    pub FLASK_AVC_HASHSTATS: u32 = 18;
    /// `FLASK_AVC_CACHESTATS`: of the cache.
    pub FLASK_AVC_CACHESTATS: u32 = 19;
    /// `FLASK_MEMBER`: no more.
    pub FLASK_MEMBER: u32 = 20;
    /// `FLASK_ADD_OCONTEXT`: a resource's label.
    pub FLASK_ADD_OCONTEXT: u32 = 21;
    /// `FLASK_DEL_OCONTEXT`: no such label.
    pub FLASK_DEL_OCONTEXT: u32 = 22;
    /// `FLASK_GET_PEER_SID`: the label at the other end of a channel.
    pub FLASK_GET_PEER_SID: u32 = 23;
    /// `FLASK_RELABEL_DOMAIN`: a domain's new label.
    pub FLASK_RELABEL_DOMAIN: u32 = 24;
    /// `FLASK_DEVICETREE_LABEL`: a node's label.
    pub FLASK_DEVICETREE_LABEL: u32 = 25;
    /// `offsetof(struct xen_flask_op, u)`: where the operation's own part is.
    pub FLASK_OP_U as "offsetof(struct xen_flask_op, u)": usize = 8;
}

layout! {
    /// `struct xen_flask_op`: an operation.
    pub struct FlaskOp: "struct xen_flask_op", 40 {
        /// IN: `FLASK_*`.
        0 => pub cmd: u32,
        /// IN: [`XEN_FLASK_INTERFACE_VERSION`].
        4 => pub interface_version: u32,
        /// The operation's own part.
        8 => pub u: [u8; 32],
    }

    /// `struct xen_flask_sid_context`: a label.
    pub struct FlaskSidContext: "struct xen_flask_sid_context", 16 {
        /// IN or OUT: its number.
        0 => pub sid: u32,
        /// IN: room or length.
        4 => pub size: u32,
        /// IN or OUT: its text.
        8 => pub context: Handle<u8>,
    }
}

//! `public/io/xs_wire.h`: the page of xenstore: two rings of bytes, and words about the connection.

use crate::layout::constants;

constants! {
    /// `XENSTORE_RING_SIZE`: bytes of each ring.
    pub XENSTORE_RING_SIZE: usize = 1024;
    /// `offsetof(struct xenstore_domain_interface, req)`: the guest's requests.
    pub XENSTORE_REQ as "offsetof(struct xenstore_domain_interface, req)": usize = 0;
    /// `offsetof(struct xenstore_domain_interface, rsp)`: answers, and news of watches.
    pub XENSTORE_RSP as "offsetof(struct xenstore_domain_interface, rsp)": usize = 1024;
    /// `offsetof(struct xenstore_domain_interface, req_cons)`: xenstore has read up to here.
    pub XENSTORE_REQ_CONS as "offsetof(struct xenstore_domain_interface, req_cons)": usize = 2048;
    /// `offsetof(struct xenstore_domain_interface, req_prod)`: it may read up to here.
    pub XENSTORE_REQ_PROD as "offsetof(struct xenstore_domain_interface, req_prod)": usize = 2052;
    /// `offsetof(struct xenstore_domain_interface, rsp_cons)`: the guest has read up to here.
    pub XENSTORE_RSP_CONS as "offsetof(struct xenstore_domain_interface, rsp_cons)": usize = 2056;
    /// `offsetof(struct xenstore_domain_interface, rsp_prod)`: it may read up to here.
    pub XENSTORE_RSP_PROD as "offsetof(struct xenstore_domain_interface, rsp_prod)": usize = 2060;
    /// `offsetof(struct xenstore_domain_interface, server_features)`: `XENSTORE_SERVER_FEATURE_*`.
    pub XENSTORE_SERVER_FEATURES as "offsetof(struct xenstore_domain_interface, server_features)": usize = 2064;
    /// `offsetof(struct xenstore_domain_interface, connection)`: `XENSTORE_CONNECTED` or
    /// `XENSTORE_RECONNECT`.
    pub XENSTORE_CONNECTION as "offsetof(struct xenstore_domain_interface, connection)": usize = 2068;
    /// `offsetof(struct xenstore_domain_interface, error)`: `XENSTORE_ERROR_*`.
    pub XENSTORE_ERROR as "offsetof(struct xenstore_domain_interface, error)": usize = 2072;
    /// `XENSTORE_SERVER_FEATURE_RECONNECTION`: a guest may ask for a new connection.
    pub XENSTORE_SERVER_FEATURE_RECONNECTION: u32 = 1;
    /// `XENSTORE_SERVER_FEATURE_ERROR`: the error is told.
    pub XENSTORE_SERVER_FEATURE_ERROR: u32 = 2;
    /// `XENSTORE_CONNECTED`: the connection stands.
    pub XENSTORE_CONNECTED: u32 = 0;
    /// `XENSTORE_RECONNECT`: the guest waits for a new one.
    pub XENSTORE_RECONNECT: u32 = 1;
    /// `XENSTORE_ERROR_NONE`: no error.
    pub XENSTORE_ERROR_NONE: u32 = 0;
    /// `XENSTORE_ERROR_COMM`: a broken message.
    pub XENSTORE_ERROR_COMM: u32 = 1;
    /// `XENSTORE_ERROR_RINGIDX`: an index makes no sense.
    pub XENSTORE_ERROR_RINGIDX: u32 = 2;
    /// `XENSTORE_ERROR_PROTO`: against the protocol.
    pub XENSTORE_ERROR_PROTO: u32 = 3;
}

//! Tests of the crate from outside: real trees with domains added, read as boot reads them.

mod account;
mod board;
mod channels;
mod devices;
mod dom0;
mod golden;
mod options;
mod placement;
mod places;
mod pools;
mod random;
mod refusals;
mod shared_memory;
mod static_heap;
mod world;

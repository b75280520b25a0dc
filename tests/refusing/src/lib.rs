//! A guard that denies every request, until a worker gets its second configuration:
//! that one fails. It does not ship; a test shows with it what stock Envoy makes of a
//! worker's failure that the VM in which Envoy tried the configuration did not have.
//!
//! Without the sdk, which never fails there.
#![cfg(target_arch = "wasm32")]

use std::sync::atomic::{AtomicBool, Ordering};

const STOP: u32 = 1;

static CONFIGURED: AtomicBool = AtomicBool::new(false);

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Box::leak(vec![0; size].into_boxed_slice()).as_mut_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(_id: u32, _root: u32) {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _size: usize) -> u32 {
    1
}

/// The second one is answered with false, or with a trap when its length is odd.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(_root: u32, size: usize) -> u32 {
    let second = CONFIGURED.swap(true, Ordering::Relaxed);
    if second && size % 2 == 1 {
        std::process::abort();
    }
    u32::from(!second)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(_id: u32, _count: usize, _end: u32) -> u32 {
    let none = std::ptr::null();
    // SAFETY: no pointer is read, all sizes are 0.
    unsafe { proxy_send_local_response(403, none, 0, none, 0, none, 0, -1) };
    STOP
}

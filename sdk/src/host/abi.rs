//! The imports, and safe calls over them. The only unsafe code of the pack
//! besides the arena.
#![allow(unsafe_code)]

use super::{Buffer, HostError, Map};
use std::time::Duration;

mod raw {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) fn proxy_log(level: u32, data: *const u8, size: usize) -> u32;
        pub(super) fn proxy_get_log_level(level: *mut u32) -> u32;
        pub(super) fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
        pub(super) fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
        pub(super) fn proxy_get_buffer_bytes(
            kind: u32,
            start: usize,
            max: usize,
            data: *mut *const u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_header_map_pairs(
            map: u32,
            data: *mut *const u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_header_map_value(
            map: u32,
            key: *const u8,
            key_size: usize,
            data: *mut *const u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_add_header_map_value(
            map: u32,
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_replace_header_map_value(
            map: u32,
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_remove_header_map_value(
            map: u32,
            key: *const u8,
            key_size: usize,
        ) -> u32;
        pub(super) fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            data: *mut *const u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_set_property(
            path: *const u8,
            path_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_get_shared_data(
            key: *const u8,
            key_size: usize,
            data: *mut *const u8,
            size: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub(super) fn proxy_set_shared_data(
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
            cas: u32,
        ) -> u32;
        pub(super) fn proxy_define_metric(
            kind: u32,
            name: *const u8,
            size: usize,
            id: *mut u32,
        ) -> u32;
        pub(super) fn proxy_increment_metric(id: u32, offset: i64) -> u32;
        pub(super) fn proxy_record_metric(id: u32, value: u64) -> u32;
        pub(super) fn proxy_get_metric(id: u32, value: *mut u64) -> u32;
        pub(super) fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc_status: i32,
        ) -> u32;
        pub(super) fn proxy_call_foreign_function(
            name: *const u8,
            name_size: usize,
            arguments: *const u8,
            arguments_size: usize,
            data: *mut *const u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_http_call(
            upstream: *const u8,
            upstream_size: usize,
            headers: *const u8,
            headers_size: usize,
            body: *const u8,
            body_size: usize,
            trailers: *const u8,
            trailers_size: usize,
            timeout: u32,
            token: *mut u32,
        ) -> u32;
        pub(super) fn proxy_done() -> u32;
        pub(super) fn proxy_set_effective_context(context: u32) -> u32;
    }
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) fn random_get(buffer: *mut u8, size: usize) -> u32;
    }
}

/// Runs the constructors of what is linked into the module; its first instructions.
#[doc(hidden)]
pub fn run_constructors() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: the linker makes the function, and `_initialize` alone calls this, once.
    unsafe { __wasm_call_ctors() };
}

/// Turns what the host wrote into our arena into a slice.
///
/// # Safety
/// `data` and `size` come from a host call that succeeded.
unsafe fn returned(data: *const u8, size: usize) -> &'static [u8] {
    if data.is_null() || size == 0 {
        return &[];
    }
    // SAFETY: the host allocated `size` bytes with `memory_allocate`.
    unsafe { std::slice::from_raw_parts(data, size) }
}

/// Runs a call that returns bytes.
fn bytes(call: impl FnOnce(*mut *const u8, *mut usize) -> u32) -> Result<&'static [u8], HostError> {
    let (mut data, mut size) = (std::ptr::null(), 0);
    HostError::check(call(&mut data, &mut size))?;
    // SAFETY: the call succeeded.
    Ok(unsafe { returned(data, size) })
}

pub(crate) fn log(level: u32, text: &[u8]) {
    // SAFETY: pointer and length of a live slice.
    let _ = unsafe { raw::proxy_log(level, text.as_ptr(), text.len()) };
}

pub(crate) fn log_level() -> Result<u32, HostError> {
    let mut level = 0;
    // SAFETY: a live out pointer.
    HostError::check(unsafe { raw::proxy_get_log_level(&mut level) })?;
    Ok(level)
}

pub(crate) fn now() -> Result<Duration, HostError> {
    let mut nanos = 0;
    // SAFETY: a live out pointer.
    HostError::check(unsafe { raw::proxy_get_current_time_nanoseconds(&mut nanos) })?;
    Ok(Duration::from_nanos(nanos))
}

pub(crate) fn random() -> u64 {
    let mut buffer = [0; 8];
    // SAFETY: a live buffer of that size.
    let _ = unsafe { raw::random_get(buffer.as_mut_ptr(), buffer.len()) };
    u64::from_le_bytes(buffer)
}

pub(crate) fn set_tick_period(period: Duration) -> Result<(), HostError> {
    let millis = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: no pointers.
    HostError::check(unsafe { raw::proxy_set_tick_period_milliseconds(millis) })
}

pub(crate) fn buffer(kind: Buffer, start: usize, max: usize) -> Result<&'static [u8], HostError> {
    // SAFETY: live out pointers.
    bytes(|data, size| unsafe { raw::proxy_get_buffer_bytes(kind as u32, start, max, data, size) })
}

pub(crate) fn header_pairs(map: Map) -> Result<&'static [u8], HostError> {
    // SAFETY: live out pointers.
    bytes(|data, size| unsafe { raw::proxy_get_header_map_pairs(map as u32, data, size) })
}

pub(crate) fn header(map: Map, name: &[u8]) -> Result<&'static [u8], HostError> {
    // SAFETY: a live slice and live out pointers.
    bytes(|data, size| unsafe {
        raw::proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, size)
    })
}

pub(crate) fn add_header(map: Map, name: &[u8], value: &[u8]) -> Result<(), HostError> {
    // SAFETY: live slices.
    HostError::check(unsafe {
        raw::proxy_add_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

pub(crate) fn replace_header(map: Map, name: &[u8], value: &[u8]) -> Result<(), HostError> {
    // SAFETY: live slices.
    HostError::check(unsafe {
        raw::proxy_replace_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

pub(crate) fn remove_header(map: Map, name: &[u8]) -> Result<(), HostError> {
    // SAFETY: a live slice.
    HostError::check(unsafe {
        raw::proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len())
    })
}

pub(crate) fn property(path: &[u8]) -> Result<&'static [u8], HostError> {
    // SAFETY: a live slice and live out pointers.
    bytes(|data, size| unsafe { raw::proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

pub(crate) fn set_property(path: &[u8], value: &[u8]) -> Result<(), HostError> {
    // SAFETY: live slices.
    HostError::check(unsafe {
        raw::proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len())
    })
}

pub(crate) fn shared_data(key: &[u8]) -> Result<(&'static [u8], u32), HostError> {
    let mut cas = 0;
    // SAFETY: a live slice and live out pointers.
    let data = bytes(|data, size| unsafe {
        raw::proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &mut cas)
    })?;
    Ok((data, cas))
}

pub(crate) fn set_shared_data(key: &[u8], value: &[u8], cas: u32) -> Result<(), HostError> {
    // SAFETY: live slices.
    HostError::check(unsafe {
        raw::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas)
    })
}

pub(crate) fn define_metric(kind: u32, name: &[u8]) -> Result<u32, HostError> {
    let mut id = 0;
    // SAFETY: a live slice and a live out pointer.
    HostError::check(unsafe {
        raw::proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id)
    })?;
    Ok(id)
}

pub(crate) fn increment_metric(id: u32, offset: i64) -> Result<(), HostError> {
    // SAFETY: no pointers.
    HostError::check(unsafe { raw::proxy_increment_metric(id, offset) })
}

pub(crate) fn record_metric(id: u32, value: u64) -> Result<(), HostError> {
    // SAFETY: no pointers.
    HostError::check(unsafe { raw::proxy_record_metric(id, value) })
}

pub(crate) fn metric(id: u32) -> Result<u64, HostError> {
    let mut value = 0;
    // SAFETY: a live out pointer.
    HostError::check(unsafe { raw::proxy_get_metric(id, &mut value) })?;
    Ok(value)
}

pub(crate) fn send_local_response(
    status: u32,
    details: &[u8],
    body: &[u8],
    headers: &[u8],
    grpc_status: i32,
) -> Result<(), HostError> {
    // SAFETY: live slices.
    HostError::check(unsafe {
        raw::proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status,
        )
    })
}

pub(crate) fn call_foreign_function(
    name: &[u8],
    arguments: &[u8],
) -> Result<&'static [u8], HostError> {
    // SAFETY: live slices and live out pointers.
    bytes(|data, size| unsafe {
        raw::proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            data,
            size,
        )
    })
}

pub(crate) fn http_call(
    cluster: &[u8],
    headers: &[u8],
    body: &[u8],
    timeout: Duration,
) -> Result<u32, HostError> {
    let mut token = 0;
    let no_trailers = 0_u32.to_le_bytes();
    let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: live slices and a live out pointer.
    HostError::check(unsafe {
        raw::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            no_trailers.as_ptr(),
            no_trailers.len(),
            millis,
            &mut token,
        )
    })?;
    Ok(token)
}

pub(crate) fn done() -> Result<(), HostError> {
    // SAFETY: no pointers.
    HostError::check(unsafe { raw::proxy_done() })
}

/// Makes the calls that follow in this callback speak of another context.
pub(crate) fn set_effective_context(context: u32) -> Result<(), HostError> {
    // SAFETY: no pointers.
    HostError::check(unsafe { raw::proxy_set_effective_context(context) })
}
